"""Sequential Monte Carlo: weights, resampling, the Feynman-Kac driver. It knows nothing of language."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
