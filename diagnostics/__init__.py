"""What a posterior shows: its findings, plots, report and summary.

Everything here reads a posterior, as ArviZ reads its data, and changes nothing.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
