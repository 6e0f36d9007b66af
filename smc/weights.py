"""Arithmetic of log-weights, in float64.

N particles carry log-weights l_1..l_N. Minus infinity is a legal weight, that of a dead particle,
and a population may be dead altogether; NaN and plus infinity are faults of whatever made
the weight and are never passed on. Nothing here is exponentiated before the largest weight has been
taken out:

    log sum_i exp(l_i) = m + log sum_i exp(l_i - m),   m = max_i l_i
    ESS = (sum_i W_i)^2 / sum_i W_i^2                  (Kong, Liu and Wong 1994)
    entropy = - sum_i W_i log W_i

Every function takes NumPy or JAX arrays and can be traced; on NumPy arrays it returns Python floats
and raises.
"""

from __future__ import annotations

from math import log
from typing import Any

import numpy as np

from ..aliases import Array
from .arrays import float64, namespace


def log_sum_exp(log_weights: Array) -> Any:
    """Compute log sum_i exp(l_i), in nats; minus infinity where all are dead or there are none.

    Args:
        log_weights: shape (N,).

    Example:
        >>> import numpy as np
        >>> round(float(log_sum_exp(np.log([1.0, 2.0]))), 3)
        1.099
    """
    xp = namespace(log_weights)
    if xp is np:
        largest = float(np.max(log_weights, initial=-np.inf))
        if not np.isfinite(largest):
            return largest
        return largest + log(float(np.exp(np.asarray(log_weights, np.float64) - largest).sum()))
    with float64():
        log_weights = log_weights.astype(np.float64)
        largest = xp.max(log_weights, initial=-np.inf)
        shift = xp.where(xp.isfinite(largest), largest, 0.0)
        return shift + xp.log(xp.exp(log_weights - shift).sum())


def log_mean_exp(log_weights: Array) -> Any:
    """Compute the log of the mean of exp(l_i), in nats; `log_weights` has shape (N,), N >= 1.

    Example:
        >>> import numpy as np
        >>> round(float(log_mean_exp(np.log([1.0, 3.0]))), 3)
        0.693
    """
    with float64():
        return log_sum_exp(log_weights) - log(len(log_weights))


def normalise(log_weights: Array, *, source: str = "log_weights") -> tuple[Array, Any]:
    """Normalise log-weights to sum to one on the natural scale, and return the log of their sum.

    Args:
        log_weights: shape (N,).
        source: what made the weights; an error names it.

    Returns:
        float64 log-weights, shape (N,), all minus infinity where every particle is dead; and their
        log-sum. In a trace, which cannot raise, both are NaN, or the log-sum plus
        infinity, where a weight is.

    Raises:
        FloatingPointError: a weight is NaN, or plus infinity.

    Example:
        >>> import numpy as np
        >>> log_weights, log_sum = normalise(np.log([2.0, 1.0, 1.0]))
        >>> np.exp(log_weights).round(2), round(float(log_sum), 3)
        (array([0.5 , 0.25, 0.25]), 1.386)
    """
    xp = namespace(log_weights)
    with float64():
        log_weights = (
            log_weights.astype(np.float64) if xp is not np else np.asarray(log_weights, np.float64)
        )
        total = log_sum_exp(log_weights)
        if xp is not np:
            return xp.where(total == -np.inf, -np.inf, log_weights - total), total
    check(total, log_weights, source)
    return (np.full(log_weights.shape, -np.inf) if total == -np.inf else log_weights - total), total


def reweighed(log_weights: Array, log_factors: Array) -> Array:
    """Multiply log-weights by a factor each, both of shape (N,); the result is not normalised.

    The dead stay dead, whatever their factor is.
    """
    xp = namespace(log_weights)
    with float64(), np.errstate(invalid="ignore"):
        return xp.where(log_weights == -np.inf, -np.inf, log_weights + log_factors)


def check(total: float, log_weights: np.ndarray, source: str) -> None:
    """Raise FloatingPointError where log-weights contain NaN or plus infinity.

    Their log-sum shows it.
    """
    if not total < np.inf:  # true of NaN too
        slots = np.flatnonzero(~(log_weights < np.inf))
        raise FloatingPointError(
            f"{source} is {log_weights[slots[0]]} at slot {slots[0]}: it must be a number below "
            "infinity"
        )


def ess(log_weights: Array) -> Any:
    """Compute the effective sample size: between 1 and N particles, and 0 where all are dead.

    Args:
        log_weights: shape (N,), normalised or not.

    Example:
        >>> import numpy as np
        >>> log_weights = np.log([0.5, 0.25, 0.25])
        >>> round(float(ess(log_weights)), 3)
        2.667
    """
    xp, total = namespace(log_weights), log_sum_exp(log_weights)
    if xp is np:
        if total == -np.inf:
            return 0.0
        weights = np.exp(log_weights - total)
        return float(1.0 / np.dot(weights, weights))
    with float64():
        weights = xp.exp(log_weights.astype(np.float64) - total)
        return xp.where(total == -np.inf, 0.0, 1.0 / (weights * weights).sum())


def entropy(log_weights: Array) -> Any:
    """Compute the entropy of the normalised weights, in nats.

    It lies between 0 and log N, and is 0 where every particle is dead.

    Args:
        log_weights: shape (N,), normalised or not.

    Example:
        >>> import numpy as np
        >>> log_weights = np.log([0.5, 0.25, 0.25])
        >>> round(float(entropy(log_weights)), 3)
        1.04
    """
    xp, total = namespace(log_weights), log_sum_exp(log_weights)
    if xp is np and total == -np.inf:
        return 0.0
    with float64():
        log_weights = log_weights - total
        terms = xp.where(
            log_weights > -np.inf,
            xp.exp(log_weights) * xp.where(log_weights > -np.inf, log_weights, 0.0),
            0.0,
        )
        if xp is not np:
            return xp.where(total == -np.inf, 0.0, -terms.sum())
        return float(-terms.sum())
