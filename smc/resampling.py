"""Resampling: which particles have offspring, and how many.

A scheme draws ancestors A_1..A_N such that particle i is expected to have N W_i offspring; they differ in how
much the counts vary around that (Douc, Cappe and Moulines 2005). The schemes are BlackJAX's. They run here
in float64, because a float32 cumulative sum of many weights misses 1 by more than the weights it sums, and see
the living particles only: even exact up to rounding, a cumulative sum lets a uniform number fall on a particle of weight zero
(at 0, past the last sum, or where a parallel sum is not monotone), and dead particles must stay dead.

Populations are resampled when their weights have become too uneven: ESS < kappa N (Liu and Chen 1995).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from numbers import Real
from typing import Any, Protocol

import jax
import numpy as np

from .weights import ess

SCHEMES = ("systematic", "stratified", "residual", "multinomial")


class Scheme(Protocol):
    """Draws ancestors."""

    def __call__(self, key: np.ndarray, weights: np.ndarray, /) -> np.ndarray:
        """Ancestors in [0, N), shape (N,), for weights of shape (N,) that sum to one, from key data of shape (2,)."""
        ...


@dataclass(frozen=True)
class Resampling:
    """When to resample, and how.

    Attributes:
        scheme: one of `SCHEMES`.
        ess_threshold: kappa in [0, 1]. At 0 never (sequential importance sampling), at 1 before every step.

    Raises:
        ValueError: the scheme is unknown, or the threshold outside [0, 1].
    """

    scheme: str = "systematic"
    ess_threshold: float = 0.5

    def __post_init__(self) -> None:
        if self.scheme not in SCHEMES:
            raise ValueError(f"resampling must be one of {', '.join(SCHEMES)}, not {self.scheme!r}")
        if isinstance(self.ess_threshold, bool) or not isinstance(self.ess_threshold, Real) or not 0 <= self.ess_threshold <= 1:
            raise ValueError(f"ess_threshold must be a number in [0, 1], not {self.ess_threshold!r}")

    def due(self, log_weights: np.ndarray) -> bool:
        """Whether a population with these log-weights, shape (N,), is to be resampled."""
        # equal weights have ESS = N, which is not below N, and yet kappa = 1 means every step
        return self.ess_threshold == 1 or ess(log_weights) < self.ess_threshold * len(log_weights)

    def ancestors(self, key: np.ndarray, log_weights: np.ndarray) -> np.ndarray:
        """Draw an ancestor for every slot.

        Args:
            key: key data, uint32, shape (2,).
            log_weights: normalised, shape (N,), not all minus infinity.

        Returns:
            int64, shape (N,); never a particle whose weight is zero in float64.
        """
        return draw_ancestors(scheme(self.scheme), key, np.exp(log_weights))


def draw_ancestors(scheme: Scheme, key: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Ancestors by `scheme` among the particles of positive weight; `weights` has shape (N,) and a positive sum."""
    living = np.flatnonzero(weights)
    packed = np.zeros(len(weights))  # the living in front, in order: the shape stays N, whoever is dead
    packed[: len(living)] = weights[living] / weights.sum()
    chosen = scheme(key, packed)
    return living[np.minimum(chosen, len(living) - 1)]


@cache
def scheme(name: str) -> Scheme:
    """The scheme of this name, compiled once for each number of particles."""
    from blackjax.smc import resampling  # half a second, and needed first when a run first resamples

    @jax.jit
    def draw(key: Any, weights: Any) -> Any:
        return getattr(resampling, name)(jax.random.wrap_key_data(key, impl="threefry2x32"), weights, weights.shape[0])

    def draw_in_float64(key: np.ndarray, weights: np.ndarray) -> np.ndarray:
        with jax.enable_x64(True):  # for this call and this thread: the user's setting is left alone
            return np.asarray(draw(key, weights), np.int64)

    return draw_in_float64
