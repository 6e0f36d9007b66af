"""Pareto-smoothed importance sampling: better weights, and k-hat, which says how far to trust them.

The mean of S independent importance weights converges at the usual rate only if their variance is
finite. Above a high threshold u weights are, for almost every distribution, generalised Pareto
(Pickands 1975),

    P(w > u + y | w > u)  =  (1 + k y / sigma)^(-1/k),

so that only their moments below the order 1/k are finite. k is fitted to the M = min(S / 5, 3
sqrt(S)) largest weights, with a weak prior that is worth ten of them at 1/2 (Zhang and Stephens
2009; Vehtari, Simpson, Gelman, Yao and Gabry 2024, *Pareto smoothed importance sampling*). Where k
>= 1/3 these M are replaced by the fit's quantiles, none above the largest seen, which costs a
little bias and saves much variance; lighter tails are left as they are. Estimates are good for k <
min(0.7, 1 - 1 / log10(S)); beyond that neither these weights nor the plain ones are. The fit is
blackjax's.

This is for *independent* draws: particles of a filter that has resampled, and the draws of a chain,
are not.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import inf, nan
from typing import Any, NamedTuple

import jax
import numpy as np

from .arrays import float64
from .weights import normalise

_FEWEST = 5  # tail weights to which a Pareto distribution is fitted; that takes 25 living draws


class Smoothed(NamedTuple):
    """Importance weights after smoothing.

    Attributes:
        log_weights: normalised; float64, shape (S,); minus infinity for the dead.
        k_hat: the shape of the weights' tail; NaN where it is undefined. Ask `k_hat <
            0.7`, which is then false, rather than `k_hat >= 0.7`.

    Example:
        >>> import numpy as np
        >>> from motes.smc import pareto_smooth
        >>> smoothed = pareto_smooth(np.random.default_rng(0).normal(size=500))
        >>> smoothed._fields
        ('log_weights', 'k_hat')
    """

    log_weights: np.ndarray
    k_hat: float


def pareto_smooth(log_weights: np.ndarray) -> Smoothed:
    """Smooth the largest of some independent importance weights.

    Dead draws stay dead, and are left out of the fit: a share of zeros does not change a tail's
    shape. Without a fit the weights are only normalised, and k-hat is

    - NaN with fewer than 25 living draws (5 in the tail), where all weights of the tail are equal,
      and where more than a quarter of them are tied with the largest below it;
    - plus infinity where the tail's weights differ by more than float64 can hold (some e^700).

    Args:
        log_weights: of S independent draws, normalised or not, in nats, shape (S,).

    Raises:
        FloatingPointError: a weight is NaN, or plus infinity.

    Example:
        >>> import numpy as np
        >>> smoothed = pareto_smooth(np.random.default_rng(0).normal(size=500))
        >>> type(smoothed).__name__
        'Smoothed'
    """
    plain, _ = normalise(log_weights)
    living = plain > -np.inf
    if not _fittable(np.sort(plain[living])):
        return Smoothed(plain, nan)
    with float64():
        smooth, k_hat = _smoother()(plain[living])
    if np.isnan(k_hat):
        return Smoothed(plain, inf)
    smoothed = np.full(plain.shape, -np.inf)
    smoothed[living] = smooth
    return Smoothed(normalise(smoothed)[0], float(k_hat))


def _fittable(ascending: np.ndarray) -> bool:
    """Say whether the tail can be fitted.

    Its first quarter, which scales the fit, must be above the threshold.
    """
    draws = len(ascending)
    size = min(int(3 * draws**0.5), draws // 5)
    if size < _FEWEST:
        return False
    threshold, tail = ascending[-size - 1], ascending[-size:]
    return tail[0] < tail[-1] and threshold < tail[int(size / 4 + 0.5) - 1]


@cache
def _smoother() -> Callable[[np.ndarray], tuple[Any, Any]]:
    from blackjax.diagnostics import psis_weights  # half a second

    return jax.jit(psis_weights)
