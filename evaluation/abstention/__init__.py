"""Rules that say when not to answer, each calibrated on records and with a promise that holds."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
