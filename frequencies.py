"""Frequencies of what came true: their credible intervals, and how probabilities agree with them.

One arithmetic for the tables of accuracy, the reliability diagrams and the calibration errors.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np


class Bins(NamedTuple):
    """Predictions by probability, in bins of equal width without the empty ones; shape (bins,).

    Attributes:
        predicted: mean predicted probability.
        observed: frequency of what was predicted.
        size: predictions, or their total weight.
        number: of the bin, from 0.
    """

    predicted: np.ndarray
    observed: np.ndarray
    size: np.ndarray
    number: np.ndarray

    @property
    def error(self) -> float:
        """The expected calibration error: the mean distance of the two, by size.

        Source: Naeini et al. (2015); Guo et al. (2017), arXiv:1706.04599.
        """
        return float(np.average(np.abs(self.predicted - self.observed), weights=self.size))


def binned(
    probabilities: np.ndarray,
    outcomes: np.ndarray,
    bins: int = 10,
    weights: np.ndarray | None = None,
) -> Bins:
    """Put predictions into bins of equal width between 0 and 1.

    Bin b holds the probabilities from b / bins to below (b + 1) / bins, the last one 1 as well.

    Args:
        probabilities: in [0, 1], shape (n,).
        outcomes: whether each came true, bool or 0 and 1, shape (n,).
        bins: how many, empty ones included.
        weights: what each prediction counts, shape (n,); 1 where None.

    Raises:
        ValueError: `bins` is not positive.

    Example:
        >>> found = binned(np.array([0.9, 0.6, 0.2]), np.array([1.0, 1.0, 0.0]))
        >>> found.size, round(found.error, 3)
        (array([1., 1., 1.]), 0.233)
    """
    if bins < 1:
        raise ValueError(f"bins must be at least 1, not {bins}")
    counts = np.ones(len(probabilities)) if weights is None else np.asarray(weights, np.float64)
    number = np.minimum((probabilities * bins).astype(np.int64), bins - 1)
    size = np.bincount(number, counts, bins)
    present = size > 0
    predicted = np.bincount(number, counts * probabilities, bins)[present] / size[present]
    observed = np.bincount(number, counts * outcomes, bins)[present] / size[present]
    return Bins(predicted, observed, size[present], np.nonzero(present)[0])


def jeffreys(right: np.ndarray | float, count: np.ndarray | float) -> tuple[Any, Any]:
    """Return the 95% credible interval of a frequency, from Jeffreys' prior Beta(1/2, 1/2).

    It ends at 0 or 1 where nothing, or everything, came true.

    Args:
        right: how many came true, a number or an array.
        count: of how many, of the same shape.

    Returns:
        The lower and the upper ends, of the same shape.

    Source: Brown, Cai and DasGupta (2001), doi:10.1214/ss/1009213286.

    Example:
        >>> low, high = jeffreys(0, 10)
        >>> float(low), round(float(high), 3)
        (0.0, 0.217)
    """
    from scipy.special import betaincinv

    right, count = np.asarray(right, np.float64), np.asarray(count, np.float64)
    low = betaincinv(right + 0.5, count - right + 0.5, 0.025)
    high = betaincinv(right + 0.5, count - right + 0.5, 0.975)
    return np.where(right == 0, 0.0, low), np.where(right == count, 1.0, high)
