"""Drawing some of many weighted candidates, none of them twice."""

from __future__ import annotations

from math import inf

import jax
import jax.numpy as jnp
import numpy as np

from ...smc.keys import IMPL, uniforms

LEAST = 2.0**-54  # stands for a uniform number that came out as 0


def drawn_without_replacement(
    key: np.ndarray, log_weights: np.ndarray, count: int, of: int
) -> list[int]:
    """Draw candidates one after the other, each in proportion to its weight among those left.

    By the `count` greatest of log w_i + G_i, with G_i standard Gumbel numbers (Efraimidis and
    Spirakis 2006; Vieira 2014).

    Args:
        key: data of a JAX random key, uint32, shape (2,).
        log_weights: shape (K,); minus infinity is never drawn.
        count: how many; all that have any weight where it is more than these.
        of: numbers drawn, at least K: the same in all rounds, so that nothing is compiled twice.

    Returns:
        Positions, ascending.

    Example:
        >>> from motes.smc import RunKeys
        >>> drawn_without_replacement(RunKeys(0).choice(1), np.log([0.5, 0.5, 1e-300]), 2, of=8)
        [0, 1]
    """
    key = jax.random.wrap_key_data(jnp.asarray(key), impl=IMPL)
    drawn = np.maximum(np.asarray(uniforms(key, max(of, len(log_weights)))), LEAST)
    perturbed = log_weights - np.log(-np.log(drawn[: len(log_weights)]))
    order = sorted(range(len(log_weights)), key=lambda i: (-perturbed[i], i))
    return sorted(i for i in order[:count] if log_weights[i] > -inf)
