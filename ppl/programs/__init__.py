"""Programs: NumPyro models some of whose sites are steps of a language model and judgements of a reward model."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
