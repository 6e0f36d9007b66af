"""The language: declared posteriors over reasoning, and what is known of them after a run."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
