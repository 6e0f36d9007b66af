"""Monte Carlo error from one run: the variance of a filter's estimate, read off its genealogy.

A filter's particles are dependent, but those that descend from different particles of the first step (their
*eves*, E_i) met only through resampling. Grouping the weighted deviations by eve gives, for the estimate
f-bar = sum_i W_i f_i of an expectation,

    SE^2 = c sum_e ( sum_{i: E_i = e} W_i (f_i - f-bar) )^2,    c = (N / (N - 1))^(k + 1),  k resampling events

The sum is Chan and Lai's (2013, *A general theory of particle filters in hidden Markov models and some
applications*), the factor Lee and Whiteley's (2018, *Variance estimation in the particle filter*): it tends to 1,
and makes up for the eves that resampling lost where N is small. Without resampling this is importance sampling's
delta method with Bessel's correction. It is consistent for multinomial resampling and approximate for the other
schemes, usually too large. It is undefined, not a number, when all weight descends from one eve, and unreliable
when it descends from a few.
"""

from __future__ import annotations

from math import sqrt

import numpy as np

from .history import History


def eves(history: History) -> np.ndarray:
    """The slot after the first step from which each final slot descends; int64, shape (N,)."""
    lineage = np.arange(history.ancestors.shape[1])
    for ancestors in history.ancestors[1:]:  # before the first step all slots are alike
        lineage = lineage[ancestors]
    return lineage


def living_eves(history: History, log_weights: np.ndarray) -> int:
    """How many eves the particles of positive weight descend from.

    Args:
        history: of N particles.
        log_weights: final, shape (N,).
    """
    return len(np.unique(eves(history)[log_weights > -np.inf]))


def standard_error(history: History, log_weights: np.ndarray, values: np.ndarray) -> float:
    """The standard error of sum_i W_i f_i, in the units of f; not a number where it is undefined.

    Args:
        history: of N particles.
        log_weights: final and normalised, shape (N,).
        values: f_i, shape (N,).
    """
    if living_eves(history, log_weights) < 2:
        return float("nan")
    slots, weights = len(log_weights), np.exp(log_weights)
    by_eve = np.bincount(eves(history), weights=weights * (values - weights @ values), minlength=slots)
    factor = (slots / (slots - 1)) ** (1 + int(history.resampled[1:].sum()))
    return sqrt(factor * float(by_eve @ by_eve))
