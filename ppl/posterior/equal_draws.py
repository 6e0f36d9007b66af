"""Equal draws from a weighted population: which ones, and as many as the population is worth.

Let W_t(a) be the final weight of all that descend from particle a of generation t, and

    E_t = 1 / sum_a W_t(a)^2,    t = 1, ..., T

what the lineages of that generation are worth: E_T is the effective sample size of the final
weights. The variance of an average over trajectories adds up over the steps at which they differ,
each of which rests on E_t draws, so that a run is worth

    n = T / sum_t 1 / E_t

draws: exactly so for a sum over steps of independent terms of one variance, and the effective
sample size of the weights where nothing was resampled. Runs k that are pooled with shares s_k are
worth 1 / sum_k (s_k^2 / n_k), since their variances add up.
"""

from __future__ import annotations

from math import inf

import numpy as np

from ...models.randomness import SlotUniforms
from ...smc import History, RunKeys, ess, lineages
from .errors import NoErrors, run_shares


def equal_draws(log_weights: np.ndarray, draws: int, seed: int = 0) -> np.ndarray:
    """Choose draws that may be taken as equally weighted, by systematic resampling.

    Args:
        log_weights: normalised, shape (N,).
        draws: M, how many to choose, at least 1.
        seed: in [0, 2**32).

    Returns:
        Positions in ascending order, shape (M,); one of weight W occurs M W times, rounded up or
        down, and one of weight zero never.

    Raises:
        ValueError: the seed is out of range.

    Example:
        >>> equal_draws(np.log([0.5, 0.25, 0.25]), 4).tolist()
        [0, 0, 1, 2]
    """
    uniform = float(SlotUniforms(RunKeys(seed).moves(0, 1, [0]), 1).at(0)[0])
    cumulative = np.cumsum(np.exp(log_weights))
    places = (np.arange(draws) + uniform) / draws * cumulative[-1]
    last = np.flatnonzero(log_weights > -inf)[-1]
    return np.minimum(np.searchsorted(cumulative, places, side="right"), last)


def effective_draws(log_weights: np.ndarray, errors: NoErrors) -> float:
    """Compute how many independent draws a weighted population is worth; see this module.

    Args:
        log_weights: normalised, shape (N,).
        errors: of the population, which knows its genealogy or its runs; not of chains.
    """
    if errors.runs:
        shares = run_shares(errors.runs, 0)
        worths = np.array([_of_one_run(run.log_weights, run.errors.history) for run in errors.runs])
        return float(1 / (shares**2 / worths).sum())
    return _of_one_run(log_weights, errors.history)


def _of_one_run(log_weights: np.ndarray, history: History | None) -> float:
    of_weights = float(ess(log_weights))
    if history is None or not len(history.ess):
        return of_weights
    whole = history.ancestors.shape[1] == len(log_weights)
    # a slot may hold several trajectories, and then has a weight of its own
    weights = np.exp(log_weights if whole else history.log_weights[-1])
    worths = []
    for generation in lineages(history.ancestors)[1:]:
        by_ancestor = np.bincount(generation, weights=weights)
        worths.append(1 / (by_ancestor @ by_ancestor))
    harmonic = len(worths) / float((1 / np.array(worths)).sum())
    return min(harmonic, of_weights)
