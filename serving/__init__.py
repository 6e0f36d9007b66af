"""An OpenAI-compatible server: a request is solved, and its reply says what the answer is worth."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
