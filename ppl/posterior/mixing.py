"""Measure whether chains have mixed: R-hat and effective sample size of summaries.

Rank-normalised split R-hat and bulk ESS (Vehtari, Gelman, Simpson, Carpenter and Bürkner 2021), by
ArviZ, across chains and along them, of

    log_density     log gamma(x), nats
    length          tokens
    answer ...      whether the trajectory states this answer

They are for chains: the particles of one filter are neither independent nor a chain.
"""

from __future__ import annotations

import warnings
from math import inf, nan
from typing import NamedTuple

import numpy as np

FEWEST = 4  # draws of a chain that can be split and ranked
R_HAT = 1.01  # what is wanted at most: Vehtari et al. (2021)
FEW_DRAWS = 100  # effective draws a chain, at least: Vehtari et al. (2021)
RARE = 0.05  # probability of an answer that chains may miss, whose R-hat is not looked at


class Mixing(NamedTuple):
    """How well one quantity has mixed.

    Attributes:
        r_hat: 1 where chains agree; plus infinity where each stands still at a place of its own;
            NaN where there is one chain, or too few draws, or all draws are equal.
        ess: effective number of draws, of all chains together; NaN where there are too few draws,
            or all draws are equal.
        mcse: standard error of the mean over all draws, in the quantity's units; NaN where the ESS
            is NaN.

    Example:
        >>> import motes
        >>> from motes.models import TableLM
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> ask = {"lm": lm, "prm": None, "max_steps": 4, "chains": 2, "iterations": 20}
        >>> posterior = motes.solve("?", sampler="suffix_metropolis", **ask)
        >>> sorted(posterior.mixing)[:2]
        ['length', 'log_density']
    """

    r_hat: float
    ess: float
    mcse: float


def mixed(draws: np.ndarray) -> Mixing:
    """Measure how well one quantity has mixed; its draws have shape (chains, draws)."""
    from arviz_stats.base import array_stats

    if draws.shape[1] < FEWEST or np.isnan(draws).any() or np.all(draws == draws.flat[0]):
        return Mixing(nan, nan, nan)
    if np.all(draws == draws[:, :1]):
        return Mixing(inf, float(len(draws)), nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # one chain of several may stand still
        r_hat = array_stats.rhat(draws) if len(draws) > 1 else nan
        return Mixing(
            *(
                np.asarray(value).item()
                for value in (r_hat, array_stats.ess(draws), array_stats.mcse(draws))
            )
        )
