"""The reward model as a noisy instrument: how far to believe its scores, from labelled steps.

`calibrate` fits a small hierarchical model of when the reward model is right (`reliability`) by
NUTS (`sampling`), checks the fit (`checks`, `predictive`), and gives a reward model whose scores
average over what the fit leaves open (`reward`).
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
