"""Ladders of powers: where the replicas of a chain stand between the prior and the target.

Replica k follows p^alpha_k L^(beta b_k), where alpha_k = alpha^a_k: its place is a pair of shares
(a_k, b_k), from (1, 1), the target, down. Between the places that were declared the way goes
straight, and a *position* on it, 0 at the target and K - 1 at the last place, says where on the way
a replica stands.

A ladder is well placed where neighbours swap equally often. With r_k the mean probability that
pair k does *not* swap, r_0 + ... + r_k-1 grows along the way like a distance that hardly depends on
where the replicas stand (the communication barrier: Syed, Bouchard-Côté, Deligiannidis and Doucet
2022), and positions at equal distances have equal rates.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np

from ... import checks

LEAST_REJECTION = 1e-3  # so that no stretch of the way has no length


def check_ladder(name: str, values: object) -> tuple[float, ...]:
    """Return shares that begin with 1 and do not rise, down to 0 or more.

    Args:
        name: of the argument.
        values: at least two numbers.

    Raises:
        TypeError, ValueError: they are not that.

    Example:
        >>> check_ladder("alphas", [1, 1, 0.5])
        (1.0, 1.0, 0.5)
    """
    scalar = isinstance(values, np.ndarray) and values.ndim == 0
    if isinstance(values, str | bytes) or not isinstance(values, Iterable) or scalar:
        raise TypeError(f"{name} must be numbers in order, not {checks.shown(values)}")
    shares = tuple(checks.fraction(f"every one of {name}", value) for value in values)
    falls = all(one >= other for one, other in pairwise(shares))
    if len(shares) < 2 or shares[0] != 1 or not falls:
        raise ValueError(
            f"{name} must fall from 1 to 0 or more, in at least two numbers, not "
            f"{checks.shown(values)}"
        )
    return shares


def check_apart(alphas: Sequence[float], betas: Sequence[float]) -> None:
    """Raise ValueError where two ladders do not fit, or two neighbours stand at one place."""
    if len(alphas) != len(betas):
        raise ValueError(
            f"alphas must be as many as betas, {len(betas)}, and not {checks.shown(alphas)}"
        )
    for one, other in pairwise(zip(alphas, betas, strict=True)):
        if one == other:
            raise ValueError(
                f"alphas and betas must not both stay the same, as they do at {one}: neighbours "
                "would follow one target"
            )


def at_positions(shares: Sequence[float], positions: np.ndarray) -> np.ndarray:
    """Return the shares at these positions of the way, shape (K,).

    Example:
        >>> at_positions((1.0, 0.4, 0.0), np.array([0.0, 0.5, 2.0])).tolist()
        [1.0, 0.7, 0.0]
    """
    return np.interp(positions, np.arange(len(shares)), shares)


def without_returns(
    placed: np.ndarray, positions: np.ndarray, betas: Sequence[float]
) -> np.ndarray:
    """Return new positions of replicas, none of which gets a likelihood back that it had lost.

    At beta = 0 a replica may hold what has no likelihood at all, which no beta above 0 allows.

    Args:
        placed: where they are to be, shape (K,).
        positions: where they are, shape (K,).
        betas: the ladder, which falls.

    Example:
        >>> here = np.array([0.0, 1.0, 2.0])
        >>> without_returns(np.array([0.0, 0.7, 2.0]), here, (1, 0, 0)).tolist()
        [0.0, 1.0, 2.0]
    """
    if betas[-1] > 0:
        return placed
    first = next(place for place, beta in enumerate(betas) if beta == 0)
    lost = at_positions(betas, positions) == 0
    return np.where(lost, np.maximum(placed, first), placed)


def evened_out(positions: np.ndarray, rejections: np.ndarray) -> np.ndarray:
    """Return positions between which swaps would be rejected equally often.

    The first and the last stay.

    Args:
        positions: rising, shape (K,).
        rejections: the mean probability that neighbours do not swap, shape (K - 1,).

    Example:
        >>> evened_out(np.array([0.0, 1.0, 2.0]), np.array([0.6, 0.2])).round(2).tolist()
        [0.0, 0.67, 2.0]
    """
    lengths = np.maximum(rejections, LEAST_REJECTION)
    barrier = np.concatenate([[0.0], np.cumsum(lengths)])
    placed = np.interp(np.linspace(0, barrier[-1], len(positions)), barrier, positions)
    placed[0], placed[-1] = positions[0], positions[-1]
    return placed
