"""Six unbiased schemes, from one uniform for all slots to two for each.

With C the cumulative weights and slots s = 0..N-1, slot s takes the particle at

    systematic    (s + U) / N, one U for all: N W_i rounded up or down
                  (Carpenter, Clifford and Fearnhead 1999)
    stratified    (s + U_s) / N (Kitagawa 1996)
    multinomial   U_s: independent slots (Gordon, Salmond and Smith 1993)

*Residual* gives floor(N W_i) copies and draws the rest independently (Liu and Chen 1998). *SSP*,
Srinivasan's sampling process, rounds every N W_i up or down as systematic does, with negatively
associated counts, from which its convergence follows (Gerber, Chopin and Whiteley 2019); it runs
through the particles one by one. In *killing*, slot i keeps its own particle with probability W_i /
max W and else takes an independent draw: for weights that hardly differ, hardly anything moves (Del
Moral 2004).

The first four are BlackJAX's, with its outputs up to rounding where the uniforms are the same
(systematic, stratified).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ...aliases import PRNGKey, Weights
from ..arrays import in_float64
from ..keys import uniforms
from .offspring import cumulative, from_counts, from_ends, search
from .scheme import Scheme


class KillingNoise(NamedTuple):
    """Uniforms that decide which slots keep their particle, and where the others find one.

    Each has shape (N,).
    """

    keep: jax.Array
    draw: jax.Array


def one_uniform(key: PRNGKey, slots: int) -> jax.Array:
    """Draw a single uniform for all slots, float64, shape ()."""
    return uniforms(key)


def killing_noise(key: PRNGKey, slots: int) -> KillingNoise:
    """Draw two uniforms for every slot."""
    return KillingNoise(*uniforms(key, 2, slots))


@in_float64
def multinomial(noise: jax.Array, weights: Weights) -> jax.Array:
    """Draw every slot for itself; noise and weights have shape (N,)."""
    return search(noise, jnp.asarray(weights).astype(jnp.float64))


@in_float64
def stratified(noise: jax.Array, weights: Weights) -> jax.Array:
    """Draw one point in each of N equal strata; noise and weights have shape (N,)."""
    weights = jnp.asarray(weights).astype(jnp.float64)
    size = weights.shape[0]
    sums = size * cumulative(weights)
    whole = jnp.floor(sums)
    inside = (
        noise[jnp.clip(whole.astype(jnp.int32), 0, size - 1)] < sums - whole
    )  # the point of the stratum that a sum cuts
    return from_ends(whole + inside, weights, size)


@in_float64
def systematic(noise: jax.Array, weights: Weights) -> jax.Array:
    """Take the same point in each of N equal strata; noise has shape (), weights (N,)."""
    weights = jnp.asarray(weights).astype(jnp.float64)
    size = weights.shape[0]
    return from_ends(jnp.ceil(size * cumulative(weights) - noise), weights, size)


@in_float64
def residual(noise: jax.Array, weights: Weights) -> jax.Array:
    """Put whole parts of N W in the first slots, and draw the others by the fractions.

    Noise and weights have shape (N,).
    """
    whole, fractions = expected_offspring(weights)
    certain = from_counts(whole)
    return jnp.where(jnp.arange(whole.shape[0]) < jnp.sum(whole), certain, search(noise, fractions))


@in_float64
def ssp(noise: jax.Array, weights: Weights) -> jax.Array:
    """Give whole parts of N W, and one more where the pivotal method rounds a fraction up.

    Noise and weights have shape (N,).
    """
    whole, fractions = expected_offspring(weights)
    counts = whole + round_fractions(noise, fractions, whole.shape[0] - jnp.sum(whole))
    return from_counts(counts)


@in_float64
def killing(noise: KillingNoise, weights: Weights) -> jax.Array:
    """Keep i in slot i if its first uniform is below W_i / max W, else let its second choose.

    Weights have shape (N,).
    """
    weights = jnp.asarray(weights).astype(jnp.float64)
    own = jnp.arange(weights.shape[0], dtype=jnp.int32)
    return jnp.where(noise.keep * jnp.max(weights) < weights, own, search(noise.draw, weights))


SCHEMES: dict[str, Scheme] = {
    scheme.name: scheme
    for scheme in (
        Scheme("systematic", one_uniform, systematic),
        Scheme("stratified", uniforms, stratified),
        Scheme("residual", uniforms, residual),
        Scheme("multinomial", uniforms, multinomial),
        Scheme("ssp", uniforms, ssp),
        Scheme("killing", killing_noise, killing),
    )
}


def expected_offspring(weights: Weights) -> tuple[jax.Array, jax.Array]:
    """Split N W_i into whole parts, int32, and fractions, float64: both of shape (N,)."""
    weights = jnp.asarray(weights).astype(jnp.float64)
    total = jnp.sum(weights)
    shares = weights.shape[0] * (weights / jnp.where(total > 0, total, 1.0))
    nearest = jnp.round(shares)
    whole = jnp.where(
        jnp.abs(shares - nearest) <= 1e-14 * nearest, nearest, jnp.floor(shares)
    )  # N (1 / N) may fall short of 1
    return whole.astype(jnp.int32), jnp.maximum(shares - whole, 0.0)


def round_fractions(noise: jax.Array, fractions: jax.Array, total: jax.Array) -> jax.Array:
    """Round each fraction up with that probability, `total` of them in all: the pivotal method.

    One particle is open. The next one joins it, and one of the two is settled, the other stays
    open. Let a and b be their fractions and s = a + b. If s < 1, the open one goes on with s with
    probability a / s, and the other is rounded down (or the other way round): E = s a / s = a. If s
    >= 1, the open one is rounded up with probability (1 - b) / (2 - s), and the other goes on with
    s - 1: E = (s - 1) + (2 - s) (1 - b) / (2 - s) = a.

    Args:
        noise: uniforms, shape (N,).
        fractions: in [0, 1), shape (N,).
        total: their sum up to rounding, an integer, shape ().

    Returns:
        0 or 1, int32, shape (N,).
    """

    def settle(
        state: tuple[jax.Array, jax.Array], particle: tuple[jax.Array, ...]
    ) -> tuple[Any, Any]:
        (index, open_part), (other, part, uniform) = state, particle
        both = open_part + part
        up = both >= 1
        stays = jnp.where(up, uniform * (2 - both) >= 1 - part, uniform * both < open_part)
        settled = jnp.where(stays, other, index)
        return (jnp.where(stays, index, other), jnp.where(up, both - 1, both)), (
            settled,
            up.astype(jnp.int32),
        )

    particles = jnp.arange(fractions.shape[0], dtype=jnp.int32)
    start = (
        jnp.zeros((), jnp.int32),
        jnp.zeros((), jnp.float64),
    )  # nobody is open: an empty fraction is settled at zero
    (last, _), (settled, ups) = jax.lax.scan(settle, start, (particles, fractions, noise))
    # what is open in the end is zero or one up to rounding, and the sum says which
    rounded = jnp.zeros(fractions.shape[0], jnp.int32).at[settled].add(ups)
    return rounded.at[last].add(jnp.clip(total - jnp.sum(ups), 0, 1).astype(jnp.int32))
