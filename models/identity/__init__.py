"""Whether two things do the same.

Digests of functions, objects, weights and files, and names where these do not suffice.

Results belong to the models and functions that made them. `identify` gives what a value is in a few
characters (`marks`), from what it does: a function by its code and all that its code refers to
(`digests`, `code_references`), a hosted model by its weights, tokenizer and settings
(`weight_digests`), a model on disk by its files. What cannot be known from outside is vouched for
by a name (`vouching`).
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
