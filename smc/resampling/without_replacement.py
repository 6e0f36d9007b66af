"""Optimal resampling without replacement: keep K of M weighted candidates, none of them twice.

(Fearnhead and Clifford 2003.)

With the one c that solves

    sum_i min(1, c w_i) = K

candidate i is kept with probability min(1, c w_i), and has weight max(w_i, 1 / c) if it is. So the
heavy ones keep their own weight, the light ones share one weight, and E[new weight of i] = w_i. Of
all such schemes it has the least expected squared error of the weights. Where candidates are
discrete, copies of one are useless, and this is the scheme to use.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from ...aliases import Array, LogWeights, PRNGKey
from ..arrays import in_float64
from ..keys import uniforms
from .offspring import cumulative, from_ends


class Split(NamedTuple):
    """Who is kept for certain, and how the others are drawn.

    Attributes:
        heavy: c w_i >= 1, bool, shape (M,).
        drawn: how many of the others are kept, int, shape ().
        weight: 1 / c, the weight of each of them, shape ().
    """

    heavy: jax.Array
    drawn: jax.Array
    weight: jax.Array


@in_float64
def optimal(key: PRNGKey, log_weights: LogWeights, keep: int) -> tuple[jax.Array, jax.Array]:
    """Keep `keep` of M candidates.

    Args:
        key: one typed JAX key.
        log_weights: shape (M,), on any scale, not normalised.
        keep: how many, from 1 to M.

    Returns:
        Indices, int32, ascending among the kept, none twice; and their new log-weights on the same
        scale, in the dtype of `log_weights`: both of shape (keep,). With fewer than `keep` living
        candidates, all of them come first, with their own weight, followed by others at minus
        infinity.

    Raises:
        ValueError: `keep` is less than 1 or more than M.

    Example:
        >>> import jax
        >>> import numpy as np
        >>> kept, log_weights = optimal(jax.random.key(0), np.log([0.5, 0.3, 0.1, 0.1]), keep=3)
        >>> kept.tolist()[:2], log_weights.shape
        ([0, 1], (3,))
    """
    return keep_optimally(uniforms(key), log_weights, keep)


@in_float64
def keep_optimally(
    uniform: Array, log_weights: LogWeights, keep: int
) -> tuple[jax.Array, jax.Array]:
    """Compute what `optimal` returns, as a function of its only uniform, shape ()."""
    given = jnp.asarray(log_weights)
    size = given.shape[0]
    if not 1 <= keep <= size:
        raise ValueError(f"keep must be from 1 to the number of candidates, {size}, not {keep}")
    logs = given.astype(jnp.float64)
    scale = jnp.where(jnp.max(logs) > -jnp.inf, jnp.max(logs), 0.0)
    split = split_candidates(logs, jnp.exp(logs - scale), keep)
    chosen = split.heavy | draw_light(
        uniform, jnp.where(split.heavy, 0.0, jnp.exp(logs - scale)), split.drawn, keep
    )
    indices = jnp.argsort(~chosen, stable=True)[:keep].astype(jnp.int32)
    new = jnp.where(split.heavy, logs, jnp.log(split.weight) + scale)
    return indices, jnp.where(chosen, new, -jnp.inf)[indices].astype(given.dtype)


def split_candidates(logs: jax.Array, weights: jax.Array, keep: int) -> Split:
    """Find c, the threshold above which candidates are kept for certain.

    With the heaviest k kept for certain, c = (K - k) / (sum of the others). k is the least number
    with c w < 1 for the next one.

    Args:
        logs: log-weights, shape (M,).
        weights: their exponentials on some scale, shape (M,): the lightest may be zero on it,
            though not dead.
        keep: K.
    """
    order = jnp.argsort(-logs, stable=True)
    rest = jax.lax.associative_scan(
        jnp.add, weights[order], reverse=True
    )  # the lightest first: no cancellation
    before = jnp.arange(keep)
    light = weights[order][:keep] * (keep - before) < rest[:keep]
    enough = jnp.sum(logs > -jnp.inf) > keep
    heaviest = jnp.min(
        jnp.where(enough & light, before, keep)
    )  # not argmax, which is compiled under the user's setting
    rank = jnp.zeros_like(order).at[order].set(jnp.arange(len(order)))
    drawn = keep - heaviest
    weight = rest[jnp.minimum(heaviest, keep - 1)] / jnp.maximum(drawn, 1)
    return Split((rank < heaviest) & (logs > -jnp.inf), drawn, weight)


def draw_light(uniform: Array, weights: jax.Array, drawn: jax.Array, keep: int) -> jax.Array:
    """Draw the light candidates systematically, each at most once since c w_i < 1.

    bool, shape (M,).
    """
    ends = jnp.ceil(drawn * cumulative(weights) - uniform)
    picks = from_ends(ends, weights, keep)
    used = jnp.arange(keep) < drawn
    return (
        jnp.zeros(weights.shape, bool)
        .at[jnp.where(used, picks, weights.shape[0])]
        .set(True, mode="drop")
    )
