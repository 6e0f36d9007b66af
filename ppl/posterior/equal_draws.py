"""Equally weighted draws from weighted ones, by systematic resampling."""

from __future__ import annotations

from math import inf

import numpy as np

from ...models.randomness import SlotUniforms
from ...smc import RunKeys


def equal_draws(log_weights: np.ndarray, draws: int, seed: int = 0) -> np.ndarray:
    """Choose draws that may be taken as equally weighted.

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
