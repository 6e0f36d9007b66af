"""Programs: NumPyro models with sites for steps of a language model and for judgements of them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
