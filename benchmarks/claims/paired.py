"""Compare methods on the same problems: bootstrap intervals, sign tests, Holm's correction."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import binomtest

RESAMPLES = 10_000


def resampled(problems: int, seed: int = 0) -> np.ndarray:
    """Draw bootstrap samples of problems: their numbers, shape (RESAMPLES, problems)."""
    return np.random.default_rng(seed).integers(problems, size=(RESAMPLES, problems))


def interval(draws: np.ndarray) -> tuple[float, float]:
    """Return the 95% interval between equal tails."""
    low, high = np.quantile(draws, (0.025, 0.975))
    return float(low), float(high)


def sign_test(a: np.ndarray, b: np.ndarray) -> float:
    """Return the two-sided p-value of McNemar's exact test that a and b are right equally often.

    Only problems on which one of them is right and the other is not say anything.

    Example:
        >>> a, b = np.array([True] * 6 + [False] * 4), np.zeros(10, bool)
        >>> sign_test(a, b)
        0.03125
    """
    gained, lost = int(np.sum(a & ~b)), int(np.sum(b & ~a))
    if gained + lost == 0:
        return 1.0
    return float(binomtest(gained, gained + lost).pvalue)


def holm(p_values: Sequence[float]) -> np.ndarray:
    """Return the p-values after Holm's correction (Holm 1979), in the order given.

    Example:
        >>> holm([0.01, 0.04, 0.03]).round(3)
        array([0.03, 0.06, 0.06])
    """
    p = np.asarray(p_values, np.float64)
    order = np.argsort(p)
    factors = len(p) - np.arange(len(p))
    corrected = np.minimum(1.0, np.maximum.accumulate(factors * p[order]))
    unsorted = np.empty_like(corrected)
    unsorted[order] = corrected
    return unsorted
