"""What a resampling scheme is: randomness first, then a deterministic placing of offspring.

    A = place(noise(key, N), W)

`noise` draws everything random, uniforms and permutations, and never sees the weights; `place` is a
deterministic function of it. So the law of A is an integral of `place` over uniforms, where it is
piecewise constant: it can be computed exactly, and two weight vectors can be resampled with common
random numbers.

All of it can be traced by JAX and computes in float64, whatever the user's setting: a float32
cumulative sum of many weights misses one by more than the weights it sums.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax

from ...aliases import Array, PRNGKey, Weights


@dataclass(frozen=True)
class Scheme:
    """Draws ancestors, N W_i of them expected to be i, and never one of weight zero.

    Attributes:
        name: what the scheme is called.
        noise: (key, slots) to a pytree of arrays; key is one typed JAX key.
        place: (noise, weights) to ancestors, int32, shape (N,); weights have shape (N,) and sum to
            one.
    """

    name: str
    noise: Callable[[Any, int], Any]
    place: Callable[[Any, Any], jax.Array]

    def __call__(self, key: PRNGKey, weights: Weights) -> jax.Array:
        """Draw ancestors in [0, N), int32, shape (N,), for normalised weights of shape (N,)."""
        return self.place(self.noise(key, weights.shape[0]), weights)


@dataclass(frozen=True)
class ConditionalScheme:
    """Draws ancestors given that slot 0 has a given one.

    They follow the conditional law of an exchangeable scheme.

    Attributes:
        name: what the scheme is called.
        noise: (key, slots) to a pytree of arrays; key is one typed JAX key.
        place: (noise, weights, ancestor) to ancestors, int32, shape (N,), whose first is
            `ancestor`, an index of positive weight.
    """

    name: str
    noise: Callable[[Any, int], Any]
    place: Callable[[Any, Any, Any], jax.Array]

    def __call__(self, key: PRNGKey, weights: Weights, ancestor: Array) -> jax.Array:
        """Draw ancestors in [0, N) for normalised weights of shape (N,); the first is `ancestor`.

        int32, shape (N,).
        """
        return self.place(self.noise(key, weights.shape[0]), weights, ancestor)
