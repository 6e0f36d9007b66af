"""motes: language-model reasoning as a latent trajectory, a process reward model as its likelihood.

Importing it is quick: torch, jax and transformers are loaded when something first needs them. See
`solve` for the whole path from a question to a posterior, and the subpackages for its parts:
`models` (language and reward models), `smc` (sequential Monte Carlo), `ppl` (declared posteriors),
`samplers`, `diagnostics`, `evaluation` and `serving`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

__version__ = "0.1.0"
