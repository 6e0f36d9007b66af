"""The report of an evaluation: one HTML file that needs nothing from outside."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
