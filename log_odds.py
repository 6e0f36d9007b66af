"""Log-odds and what they say: probabilities and their logarithms, at any size.

A score is the log-odds x = log(r / (1 - r)) that a step is right, from minus to plus infinity.
"""

from __future__ import annotations

from math import exp, log1p

import numpy as np


def log_sigmoid(log_odds: float) -> float:
    """Return log r of one score, nats.

    Example:
        >>> round(log_sigmoid(0.0), 4), log_sigmoid(-1000.0)
        (-0.6931, -1000.0)
    """
    return -log1p(exp(-log_odds)) if log_odds >= 0 else log_odds - log1p(exp(log_odds))


def log_sigmoids(log_odds: np.ndarray | float) -> np.ndarray:
    """Return log r of an array of scores, nats, of the same shape.

    Example:
        >>> log_sigmoids(np.array([-1000.0, np.inf]))
        array([-1000.,    -0.])
    """
    return -np.logaddexp(0.0, -log_odds)


def sigmoid(log_odds: np.ndarray | float) -> np.ndarray:
    """Return r of an array of scores, of the same shape.

    Example:
        >>> sigmoid(np.array([-np.inf, 0.0, np.inf]))
        array([0. , 0.5, 1. ])
    """
    return np.exp(log_sigmoids(log_odds))
