"""Whether chains have mixed: R-hat and effective sample size of what trajectories can be summarised by.

Rank-normalised split R-hat and bulk ESS (Vehtari, Gelman, Simpson, Carpenter and Bürkner 2021), by ArviZ, across chains
and along them, of

    log_density     log gamma(x), nats
    length          tokens
    answer ...      whether the trajectory states this answer

They are for chains: the particles of one filter are neither independent nor a chain.
"""

from __future__ import annotations

import warnings
from math import inf, nan
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from .posterior import Posterior

FEWEST = 4  # draws of a chain that can be split and ranked
R_HAT = 1.01  # what is wanted at most: Vehtari et al. (2021)
FEW_DRAWS = 100  # effective draws a chain, at least: likewise
RARE = 0.05  # probability of an answer that chains may miss, whose R-hat is not looked at


class Mixing(NamedTuple):
    """How well one quantity has mixed.

    Attributes:
        r_hat: 1 where chains agree; plus infinity where each stands still at a place of its own; not a number where there is one
            chain, or too few draws, or all draws are equal.
        ess: effective number of draws, of all chains together; not a number likewise, but for one chain.
        mcse: standard error of the mean over all draws, in the quantity's units; likewise.
    """

    r_hat: float
    ess: float
    mcse: float


def mixing(posterior: Posterior) -> dict[str, Mixing]:
    """Of each quantity by name; those of answers are called "answer 17", or "no answer"."""
    quantities = measures(posterior)
    for answer in posterior.answers:
        name = "no answer" if answer is None else f"answer {answer}"
        quantities[name] = np.array([label == answer for label in posterior.labels], np.float64).reshape(posterior.chains, -1)
    return {name: mixed(values) for name, values in quantities.items()}


def measures(posterior: Posterior) -> dict[str, np.ndarray]:
    """Log-density and length of every draw, by name, each of shape (chains, draws)."""
    firsts: dict[object, float] = {}  # the same trajectory drawn twice differs by rounding, which ranks would take for movement
    told = zip(posterior.trajectories, posterior.log_density.tolist(), strict=True)
    log_density = [firsts.setdefault((x.token_ids, x.finished, x.truncated), value) for x, value in told]
    length = [len(x.token_ids) for x in posterior.trajectories]
    return {
        name: np.array(values, np.float64).reshape(posterior.chains, -1)
        for name, values in (("log_density", log_density), ("length", length))
    }


def mixed(draws: np.ndarray) -> Mixing:
    """How well one quantity has mixed; its draws have shape (chains, draws)."""
    from arviz_stats.base import array_stats

    if draws.shape[1] < FEWEST or np.isnan(draws).any() or np.all(draws == draws.flat[0]):
        return Mixing(nan, nan, nan)
    if np.all(draws == draws[:, :1]):
        return Mixing(inf, float(len(draws)), nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # one chain of several may stand still
        r_hat = array_stats.rhat(draws) if len(draws) > 1 else nan
        return Mixing(*(np.asarray(value).item() for value in (r_hat, array_stats.ess(draws), array_stats.mcse(draws))))
