"""Compare methods on the same problems: bootstrap intervals, paired tests, Holm's correction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import binomtest

RESAMPLES = 10_000


class Difference(NamedTuple):
    """One method's accuracy minus another's, on the same problems.

    Attributes:
        gain: the mean over problems.
        low, high: its 95% interval.
        p: of the sign test, after Holm.
        differ: problems on which one is right and the other is not.
    """

    gain: float
    low: float
    high: float
    p: float
    differ: int


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


def flip_test(differences: np.ndarray, seed: int = 0) -> float:
    """Return the two-sided p-value of a paired permutation test that differences have mean 0.

    The sign of every problem's difference is drawn anew, RESAMPLES times. Problems without a
    difference say nothing.

    Args:
        differences: one a problem, shape (problems,).
        seed: of the signs.

    Example:
        >>> flip_test(np.array([0.0, 0.0])), flip_test(np.full(20, 0.5)) < 0.001
        (1.0, True)
    """
    told = differences[differences != 0]
    if not len(told):
        return 1.0
    signs = np.random.default_rng(seed).choice((-1.0, 1.0), size=(RESAMPLES, len(told)))
    seen = np.abs(signs @ told) >= abs(told.sum()) - 1e-12
    return float((1 + seen.sum()) / (1 + RESAMPLES))


def nested_means(values: np.ndarray, seed: int = 0, resamples: int = 2000) -> np.ndarray:
    """Return the means of a hierarchical bootstrap: problems first, then parts of each one drawn.

    The same problems and parts are drawn for all columns, so these stay paired.

    Args:
        values: of each independent part of each problem's draws, shape (problems, parts, ...).
        seed: of the bootstrap.
        resamples: how many.

    Returns:
        Shape (resamples, ...).

    Example:
        >>> nested_means(np.ones((3, 2, 4)), resamples=5).shape
        (5, 4)
    """
    rng = np.random.default_rng(seed)
    problems, parts = values.shape[:2]
    means = np.empty((resamples, *values.shape[2:]))
    for b in range(resamples):
        rows = rng.integers(problems, size=(problems, 1))
        chosen = rng.integers(parts, size=(problems, parts))
        means[b] = values[rows, chosen].mean(axis=(0, 1))
    return means


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
