"""Conditional resampling: the ancestors of all slots given that of slot 0.

Conditional SMC (Andrieu, Doucet and Holenstein 2010) keeps a reference trajectory in slot 0. Its
ancestor b is given, and the other ancestors must follow the law of a scheme *given A_0 = b*, where
the scheme has P(A_0 = b) = W_b. To overwrite slot 0 of an ordinary draw is right for independent
slots only; elsewhere the reference gets a copy too many.

*Multinomial*: the other slots are independent draws.

*Systematic*, slots permuted uniformly. Turn the circle [0, N) until b begins at zero, its arc being
N W_b = m + f. Of the offsets U in [0, 1), those below f give b m + 1 copies, the others m, and each
copy comes to slot 0 equally often: U has density (m + 1) / (m + f) below f and m / (m + f) above
(Chopin and Singh 2015).

*Killing*, slots rotated uniformly (Karppinen, Singh and Vihola 2022). Slot s, which is to become
slot 0, has probability proportional to P(A_s = b) / W_b = (1 - W_s / M) + 1[s = b] / M with M = max
W; the other slots are independent of it.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from ...aliases import Array, PRNGKey, Weights
from ..arrays import in_float64
from ..keys import uniforms
from . import schemes
from .offspring import cumulative, search
from .scheme import ConditionalScheme


class SystematicNoise(NamedTuple):
    """A uniform for the offset, shape (), and a permutation of the slots after the first.

    The permutation is int32, shape (N - 1,).
    """

    offset: jax.Array
    order: jax.Array


class KillingNoise(NamedTuple):
    """A uniform for the slot that becomes the first, shape (), and ordinary killing's noise."""

    rotation: jax.Array
    slots: schemes.KillingNoise


@in_float64
def systematic_noise(key: PRNGKey, slots: int) -> SystematicNoise:
    """Draw an offset and an order."""
    offset, order = jax.random.split(key)
    return SystematicNoise(
        schemes.one_uniform(offset, slots),
        jax.random.permutation(order, jnp.arange(slots - 1, dtype=jnp.int32)),
    )


@in_float64
def killing_noise(key: PRNGKey, slots: int) -> KillingNoise:
    """Draw a rotation, and two uniforms for every slot."""
    rotation, ordinary = jax.random.split(key)
    return KillingNoise(
        schemes.one_uniform(rotation, slots), schemes.killing_noise(ordinary, slots)
    )


@in_float64
def multinomial(noise: jax.Array, weights: Weights, ancestor: Array) -> jax.Array:
    """Draw independently in all slots but the first; noise and weights have shape (N,)."""
    return schemes.multinomial(noise, weights).at[0].set(ancestor)


@in_float64
def systematic(noise: SystematicNoise, weights: Weights, ancestor: Array) -> jax.Array:
    """Draw systematic counts given a copy of the reference in slot 0.

    The others are in random order; weights have shape (N,).
    """
    ancestor = jnp.asarray(ancestor, jnp.int32)
    weights = jnp.asarray(weights).astype(jnp.float64)
    size = weights.shape[0]
    turned = jnp.roll(
        weights, -ancestor
    )  # from here on the reference is particle 0, and the first point is always its own
    offset = tilted_offset(noise.offset, size * cumulative(turned)[0])
    ancestors = (schemes.systematic(offset, turned) + ancestor) % size
    return jnp.concatenate(
        [ancestor[None], ancestors[1:][noise.order]]
    )  # its own, though its weight may round to zero


@in_float64
def killing(noise: KillingNoise, weights: Weights, ancestor: Array) -> jax.Array:
    """Apply ordinary killing in all slots but one, which has the reference's ancestor.

    That one is rotated to slot 0; weights have shape (N,).
    """
    ancestor = jnp.asarray(ancestor, jnp.int32)
    weights = jnp.asarray(weights).astype(jnp.float64)
    kept = weights / jnp.max(weights)
    slot = search(noise.rotation, (1 - kept).at[ancestor].add(1 / jnp.max(weights)))
    return jnp.roll(schemes.killing(noise.slots, weights).at[slot].set(ancestor), -slot)


CONDITIONAL: dict[str, ConditionalScheme] = {
    scheme.name: scheme
    for scheme in (
        ConditionalScheme("multinomial", uniforms, multinomial),
        ConditionalScheme("systematic", systematic_noise, systematic),
        ConditionalScheme("killing", killing_noise, killing),
    )
}


def tilted_offset(uniform: jax.Array, share: jax.Array) -> jax.Array:
    """Draw the offset in [0, 1) by inversion, for a share m + f.

    The density is (m + 1) / (m + f) below f and m / (m + f) above; all of shape ().
    """
    whole = jnp.floor(share)
    part = share - whole
    mass = uniform * share  # the share is the sum of (m + 1) f and m (1 - f)
    below = (whole + 1) * part
    return jnp.where(
        mass < below, mass / (whole + 1), part + (mass - below) / jnp.maximum(whole, 1)
    )
