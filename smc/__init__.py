"""Sequential Monte Carlo for any Feynman-Kac model. It knows nothing of language.

A way to read it, from the ground up:

    weights, resampling          populations: log-weights, and who has offspring
    feynman_kac, transforms      models, and other ways to sample the same thing (guided, twisted)
    driver, running, collectors  one step; whole runs; what is kept of them
    generations, genealogy       who descends from whom
    variance, psis, islands      how far an estimate is to be believed
    conditional_smc, backward, particle_gibbs    chains of whole paths
    tempering_model, tempering   from a prior to a posterior without time

    arrays, keys                 what all of it stands on: two kinds of arrays, and random numbers
                                 that belong to places
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
