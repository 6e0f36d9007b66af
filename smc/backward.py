"""Backward sampling: paths put together anew from a filter's generations.

(Godsill, Doucet and West 2004.)

Traced back by ancestors, the paths of a filter soon share their past. Where the transition's
density is known, a path may be drawn backwards instead, each particle's past from the whole
generation before it:

    P(A_t-1 = i | x_t) proportional to W_t-1^i M_t(x_t | x_t-1^i) G_t(x_t-1^i, x_t)

The draws approximate the smoothing distribution of all T generations. Inside particle Gibbs one
such draw renews the path (Whiteley 2010; Lindsten and Schon 2013). It leaves the target invariant
there for every conditional scheme, and whether or not the population was resampled: once a particle
of generation t is drawn, the others of its generation can be integrated out, whatever ties their
ancestors together, and what is left of the law is the one above.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from ..aliases import Array, PRNGKey, Time
from .arrays import take
from .generations import Generations, check_living
from .resampling import pick
from .weights import reweighed


def backward_sample(
    model: Any, key: PRNGKey, generations: Generations, draws: int
) -> tuple[Any, Array]:
    """Draw independent paths from the filter's approximation of the smoothing distribution.

    Costs T N evaluations of the transition's density and of the potential a draw. May be traced.

    Args:
        model: traced and `Tractable`.
        key: a typed JAX random key.
        generations: of N particles and T steps.
        draws: M.

    Returns:
        Paths, leaves of shape (T + 1, M, ...) as those of the generations they are drawn from, and
        their slots, int32, shape (T + 1, M).

    Raises:
        FloatingPointError: a weight is NaN, or all particles are dead; in a trace the
            paths are arbitrary then.

    Example:
        >>> import jax
        >>> from motes import smc
        >>> model = smc.Model(
        ...     initial=lambda key, slots: jax.random.normal(key, (slots,)),
        ...     move=lambda t, key, x: x + jax.random.normal(key, x.shape),
        ...     log_potential=lambda t, before, after: -0.5 * after**2,
        ...     density=lambda t, before, after: -0.5 * (after - before) ** 2,
        ... )
        >>> keys = smc.TracedKeys(jax.random.key(0))
        >>> kept = smc.generations(model, keys, 50, 3)
        >>> paths, slots = backward_sample(model, jax.random.key(1), kept, draws=5)
        >>> paths.shape
        (4, 5)
    """
    check_living(generations)
    slots = jax.vmap(lambda key: backward_slots(model, key, generations), out_axes=1)(
        jax.random.split(key, draws)
    )
    return take(generations.particles, (jnp.arange(len(slots))[:, None], slots)), slots


def backward_slots(model: Any, key: PRNGKey, generations: Generations) -> Array:
    """Draw one path backwards: its slots at generations 0 to T, int32, shape (T + 1,).

    May be traced.

    Args:
        model: traced and `Tractable`.
        key: a typed JAX random key.
        generations: of N particles and T steps.
    """
    steps = len(generations.ancestors)
    last = pick(jax.random.fold_in(key, steps), generations.log_weights[-1])

    def body(slot: Array, t: Time) -> Any:
        return pick(jax.random.fold_in(key, t), past_log_weights(model, generations, t, slot)), slot

    first, rest = jax.lax.scan(body, last, jnp.arange(steps), reverse=True)
    return jnp.concatenate([first[None], rest])


def past_log_weights(model: Any, generations: Generations, t: Time, slot: Array) -> Array:
    """Weigh each particle of generation t as the past of one slot of generation t + 1.

    Not normalised, shape (N,).
    """
    before, after = take(generations.particles, t), take(generations.particles, (t + 1, slot))
    after = jax.tree.map(
        lambda leaf: jnp.broadcast_to(leaf, (generations.ancestors.shape[1], *leaf.shape)), after
    )
    return reweighed(
        generations.log_weights[t],
        model.log_transition(t + 1, before, after) + model.log_potential(t + 1, before, after),
    )
