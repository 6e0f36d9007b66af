"""Arithmetic of log-weights, in float64 on the host.

N particles carry log-weights l_1..l_N. Minus infinity is a legal weight, that of a dead particle, and a
population may be dead altogether; not a number and plus infinity are faults of whatever made the weight and
are never passed on. Nothing here is exponentiated before the largest weight has been taken out:

    log sum_i exp(l_i) = m + log sum_i exp(l_i - m),   m = max_i l_i
    ESS = (sum_i W_i)^2 / sum_i W_i^2                  (Kong, Liu and Wong 1994)
"""

from __future__ import annotations

from math import log

import numpy as np


def log_sum_exp(log_weights: np.ndarray) -> float:
    """log sum_i exp(l_i), in nats; minus infinity where all are dead or there are none.

    Args:
        log_weights: shape (N,).
    """
    largest = float(np.max(log_weights, initial=-np.inf))
    if not np.isfinite(largest):
        return largest
    return largest + log(float(np.exp(np.asarray(log_weights, np.float64) - largest).sum()))


def log_mean_exp(log_weights: np.ndarray) -> float:
    """log of the mean of exp(l_i), in nats; `log_weights` has shape (N,), N at least 1."""
    return log_sum_exp(log_weights) - log(len(log_weights))


def normalise(log_weights: np.ndarray, *, source: str = "log_weights") -> tuple[np.ndarray, float]:
    """Log-weights that sum to one on the natural scale, and the log of what they summed to.

    Args:
        log_weights: shape (N,).
        source: what made the weights; an error names it.

    Returns:
        float64 log-weights, shape (N,), all minus infinity where every particle is dead; and their log-sum.

    Raises:
        FloatingPointError: a weight is not a number, or plus infinity.
    """
    log_weights = np.asarray(log_weights, np.float64)
    total = log_sum_exp(log_weights)
    if not total < np.inf:  # true of not-a-number too
        slots = np.flatnonzero(~(log_weights < np.inf))
        raise FloatingPointError(f"{source} is {log_weights[slots[0]]} at slot {slots[0]}: it must be a number below infinity")
    if total == -np.inf:
        return np.full(log_weights.shape, -np.inf), total
    return log_weights - total, total


def ess(log_weights: np.ndarray) -> float:
    """Effective sample size, in particles: between 1 and N, and 0 where every particle is dead.

    Args:
        log_weights: shape (N,), normalised or not.
    """
    total = log_sum_exp(log_weights)
    if total == -np.inf:
        return 0.0
    weights = np.exp(log_weights - total)
    return float(1.0 / np.dot(weights, weights))
