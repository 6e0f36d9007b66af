"""From weights to ancestors in O(N), and no offspring for the dead.

Systematic and stratified resampling put N ordered points into [0, N), and particle j takes those
between the cumulative weights N C_{j-1} and N C_j. How many points lie below N C_j needs no search:
it is a ceiling or a floor. Call it K_j. Then slot s belongs to the last living particle j that
starts at or before it, K_{j-1} <= s: a scatter of the living at their starts, followed by a running
maximum.

In exact arithmetic a particle of weight zero has K_{j-1} = K_j. Rounding breaks that (parallel sums
are not even monotone), so the dead are not scattered at all. They call for offspring in no way,
however the sums are rounded.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp


def cumulative(weights: jax.Array) -> jax.Array:
    """Sum nonnegative weights, shape (N,), to C_j, shape (N,), divided by their total.

    Zeros if the total is zero.
    """
    sums = jax.lax.associative_scan(jnp.add, weights)  # on a CPU twice as fast as jnp.cumsum
    return sums / jnp.where(sums[-1] > 0, sums[-1], 1.0)


def fill(starts: jax.Array, living: jax.Array, slots: int) -> jax.Array:
    """Give every slot to the last living particle that starts at or before it.

    Args:
        starts: first slot of each particle, int32, shape (N,); one that starts at `slots` or later
            has none.
        living: bool, shape (N,); the others are passed over.
        slots: S, how many there are.

    Returns:
        int32, shape (S,); zeros before the first start.
    """
    particles = jnp.arange(starts.shape[0], dtype=jnp.int32)
    firsts = (
        jnp.zeros(slots, jnp.int32).at[jnp.where(living, starts, slots)].max(particles, mode="drop")
    )
    return jax.lax.associative_scan(jnp.maximum, firsts)


def from_ends(ends: jax.Array, weights: jax.Array, slots: int) -> jax.Array:
    """Turn counts of points below each cumulative weight, K_j, shape (N,), into ancestors.

    int32, shape (S,).
    """
    ends = jnp.clip(ends, 0, slots).astype(jnp.int32)
    starts = jnp.concatenate([jnp.zeros(1, jnp.int32), ends[:-1]])
    return fill(starts, weights > 0, slots)


def from_counts(counts: jax.Array) -> jax.Array:
    """Turn offspring counts, integers of shape (N,) with sum N, into ancestors in ascending order.

    int32, shape (N,).
    """
    return from_ends(jax.lax.associative_scan(jnp.add, counts), counts, counts.shape[0])


def search(uniforms: jax.Array, weights: jax.Array) -> jax.Array:
    """Find for each uniform, in any order, the particle whose share of [0, 1) it falls on.

    Both have shape (S,); the result is int32.
    """
    shares = jnp.where(weights > 0, cumulative(weights), 0.0)
    sums = jax.lax.associative_scan(
        jnp.maximum, shares
    )  # now the dead add nothing, to the last bit
    chosen = jnp.searchsorted(sums / jnp.where(sums[-1] > 0, sums[-1], 1.0), uniforms, side="right")
    return jnp.minimum(chosen, weights.shape[0] - 1).astype(jnp.int32)
