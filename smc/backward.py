"""Backward sampling: paths that are put together anew from a filter's generations (Godsill, Doucet and West 2004).

Traced back by ancestors, the paths of a filter soon share their past. Where the transition's density is known, a path
may be drawn backwards instead, each particle's past from the whole generation before it:

    P(A_t-1 = i | x_t) proportional to W_t-1^i M_t(x_t | x_t-1^i) G_t(x_t-1^i, x_t)

The draws approximate the smoothing distribution of all T generations. Inside particle Gibbs one such
draw renews the path (Whiteley 2010). It is invariant there where the ancestors of a generation were drawn independently
of one another, so for multinomial resampling only; and where the population was not resampled, a particle keeps its past.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from .arrays import Array, float64, take
from .conditional_smc import Generations
from .feynman_kac import Tractable
from .resampling import pick


def backward_sample(model: Tractable, key: Any, generations: Generations, draws: int) -> tuple[Any, Array]:
    """Independent draws, given the generations, from the filter's approximation of the smoothing distribution.

    Costs T N evaluations of the transition's density and of the potential a draw. May be traced.

    Args:
        model: traced and `Tractable`.
        key: a typed JAX random key.
        generations: of N particles and T steps.
        draws: M.

    Returns:
        Paths, leaves of shape (T + 1, M, ...), and their slots, int32, shape (T + 1, M).
    """
    slots = jax.vmap(lambda key: backward_slots(model, key, generations), out_axes=1)(jax.random.split(key, draws))
    return take(generations.particles, (jnp.arange(len(slots))[:, None], slots)), slots


def backward_slots(model: Any, key: Any, generations: Generations, *, keep_unresampled: bool = False) -> Array:
    """The slots at generations 0 to T of one path drawn backwards, int32, shape (T + 1,).

    Args:
        model: traced and `Tractable`.
        key: a typed JAX random key.
        generations: of N particles and T steps.
        keep_unresampled: whether a particle keeps its past where the population was not resampled, as particle Gibbs must.
    """
    steps = len(generations.ancestors)
    last = pick(jax.random.fold_in(key, steps), generations.log_weights[-1])
    slots = generations.ancestors.shape[1]

    def body(slot: Any, t: Any) -> Any:
        before, after = take(generations.particles, t), take(generations.particles, (t + 1, slot))
        after = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (slots, *leaf.shape)), after)
        fit = model.log_transition(t + 1, before, after) + model.log_potential(t + 1, before, after)
        with float64():
            chosen = pick(jax.random.fold_in(key, t), generations.log_weights[t] + fit)
        if keep_unresampled:
            chosen = jnp.where(generations.resampled[t], chosen, generations.ancestors[t, slot].astype(chosen.dtype))
        return chosen, slot

    first, rest = jax.lax.scan(body, last, jnp.arange(steps), reverse=True)
    return jnp.concatenate([first[None], rest])
