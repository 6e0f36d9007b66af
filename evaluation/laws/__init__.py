"""Laws of how an evaluation would go on, and limits that no number of runs passes."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
