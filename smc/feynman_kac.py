"""What a model must say for sequential Monte Carlo to sample it.

A Feynman-Kac model is a Markov chain of particles, x_0, x_1, ..., and a potential G_t >= 0 that weighs every
move (Del Moral 2004; Chopin and Papaspiliopoulos 2020, chapter 5). After t moves its unnormalised distribution is

    gamma_t(x_0:t) = M_0(x_0) prod_s<=t M_s(x_s | x_s-1) G_s(x_s-1, x_s),    Z_t = its total mass.

Particles may be any Python objects, held on the host. Their lifetimes are random: one that is no longer open
is absorbing, it moves no more and its later potentials are 1, so that the target is settled once all are closed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

import numpy as np

P = TypeVar("P")


class FeynmanKac(Protocol[P]):
    """A Feynman-Kac model over particles of type P."""

    def initial(self, slots: int) -> Sequence[P]:
        """The particles before the first move, one for each slot, with weight 1."""
        ...

    def open(self, particle: P) -> bool:
        """Whether the particle can move."""
        ...

    def move(self, t: int, particles: Sequence[P], keys: Any) -> Sequence[P]:
        """Draw x_t given x_t-1 for each particle, in one batch.

        Args:
            t: the move's number; the first is 1.
            particles: K open particles of positive weight; one may occur several times.
            keys: JAX random keys, shape (K,); particle k's random numbers depend on keys[k] alone.
        """
        ...

    def log_potential(self, t: int, before: Sequence[P], after: Sequence[P]) -> np.ndarray:
        """log G_t(x_t-1, x_t) of each move, shape (K,), in nats; minus infinity is allowed."""
        ...
