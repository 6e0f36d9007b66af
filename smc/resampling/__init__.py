"""Resampling: which particles have offspring, and how many.

A *scheme* draws ancestors A_1..A_N such that particle i is expected to have N W_i offspring.
Schemes differ in how much the counts vary around that (Douc, Cappe and Moulines 2005), and in
whether slots keep their particle. A *conditional* scheme draws from the same law given that slot 0
has a given ancestor: what conditional SMC needs. `optimal` keeps some of many weighted candidates,
none of them twice.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
