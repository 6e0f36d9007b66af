"""Decisions: what to answer, as pure functions of a pool of draws; see `docs/deciding.md`."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
