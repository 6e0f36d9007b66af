"""Hosts of language and reward models, the trajectories they write, and the pocket reasoner."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
