"""How well probabilities agree with what came true.

For probabilities p_i and outcomes y_i in {0, 1}:

    log-loss             mean of -y log p - (1 - y) log(1 - p), nats
    Brier score          mean of (p - y)^2 (Brier 1950)
    calibration error    sum_bins n_b / n |mean p - mean y|, bins of equal width
                         (ECE; Naeini et al. 2015, Guo et al. 2017)

The first two are proper: no probabilities do better on average than the true ones. A calibration
error is not (the share of successes for everybody has none, and says nothing), and even that of
true probabilities is above 0 by chance.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ...frequencies import binned


class Bin(NamedTuple):
    """One bar of a reliability diagram.

    Attributes:
        low, high: the probabilities that it holds, high excluded unless 1.
        size: how many there are.
        probability: their mean.
        share: how many of them came true.
    """

    low: float
    high: float
    size: int
    probability: float
    share: float


def log_loss(log_odds: np.ndarray, outcomes: np.ndarray) -> float:
    """Return the mean log-loss of log-odds, nats; infinite where a certainty turned out wrong.

    Args:
        log_odds: shape (n,), may be infinite.
        outcomes: whether it came true, shape (n,), bool.

    Example:
        >>> import numpy as np
        >>> probabilities, right = np.array([0.9, 0.6, 0.2]), np.array([1.0, 1.0, 0.0])
        >>> round(float(log_loss(probabilities, right)), 3)
        0.526
    """
    return float(np.mean(np.logaddexp(0.0, np.where(outcomes, -log_odds, log_odds))))


def brier(probabilities: np.ndarray, outcomes: np.ndarray) -> float:
    """Return the mean squared error of probabilities, in [0, 1]; both of shape (n,).

    Example:
        >>> import numpy as np
        >>> probabilities, right = np.array([0.9, 0.6, 0.2]), np.array([1.0, 1.0, 0.0])
        >>> round(float(brier(probabilities, right)), 3)
        0.07
    """
    return float(np.mean((probabilities - outcomes) ** 2))


def calibration_error(probabilities: np.ndarray, outcomes: np.ndarray, count: int = 10) -> float:
    """Compute the expected calibration error over `count` bins of equal width, in [0, 1].

    Both arguments have shape (n,).

    Example:
        >>> import numpy as np
        >>> probabilities, right = np.array([0.9, 0.6, 0.2]), np.array([1.0, 1.0, 0.0])
        >>> round(float(calibration_error(probabilities, right)), 3)
        0.233
    """
    return binned(probabilities, outcomes, count).error


def bins(probabilities: np.ndarray, outcomes: np.ndarray, count: int = 10) -> list[Bin]:
    """Make a reliability diagram: the bins of equal width that hold anything, in order.

    Args:
        probabilities: in [0, 1], shape (n,).
        outcomes: whether it came true, shape (n,), bool.
        count: bins, empty ones included.

    Example:
        >>> import numpy as np
        >>> probabilities, right = np.array([0.9, 0.6, 0.2]), np.array([1.0, 1.0, 0.0])
        >>> sum(each.size for each in bins(probabilities, right))
        3
    """
    parts = binned(probabilities, outcomes, count)
    columns = zip(parts.number, parts.size, parts.predicted, parts.observed, strict=True)
    return [
        Bin(number / count, (number + 1) / count, int(size), float(predicted), float(observed))
        for number, size, predicted, observed in columns
    ]
