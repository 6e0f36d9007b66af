"""Other ways to sample the same thing: guided and twisted models.

Neither changes the target. A *guided* model draws from kernels of the user's choice and weighs by
the ratio,

    G'_t(x_t-1, x_t) = G_t(x_t-1, x_t) M_t(x_t | x_t-1) / M'_t(x_t | x_t-1)

(Doucet, Godsill and Andrieu 2000). A *twisted* model weighs early by what a function psi_t > 0
expects of the future,

    G'_t(x_t-1, x_t) = G_t(x_t-1, x_t) psi_t(x_t) / psi_t-1(x_t-1),   psi_0 = 1, psi_T = 1

(Whiteley and Lee 2014). The product of all potentials is unchanged for any such psi, and so is the
mean of Z-hat. Its variance is zero where psi_t is the exact expected future, sum over x_t+1:T of
prod M_s G_s, *and* the kernel is twisted too, M'_t proportional to M_t G_t psi_t: compose
`guided(twisted(model, ...), ...)`. The bootstrap filter is the model as it is; the auxiliary one is
the model under `Resampling(look_ahead=...)`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax.numpy as jnp

from ..aliases import Array, Particles, Time
from .feynman_kac import Model


def guided(
    model: Model,
    move: Callable[[Any, Any, Any], Any],
    log_ratio: Callable[[Any, Any, Any], Array],
    initial: Callable[[Any, int], Any] | None = None,
) -> Model:
    """Put the model under other kernels.

    Args:
        model: traced.
        move: (t, key, particles) -> particles, the kernel M'_t.
        log_ratio: (t, before, after) -> log M_t - log M'_t, shape (N,); at t = 1 that of the
            initial kernels is part of it.
        initial: (key, slots) -> particles; the model's own if None.

    Returns:
        A model with the same target. Its density is unknown: the model's own belongs to other
        kernels.

    Example:
        >>> import jax
        >>> from motes import smc
        >>> model = smc.Model(
        ...     initial=lambda key, slots: jax.random.normal(key, (slots,)),
        ...     move=lambda t, key, x: x + jax.random.normal(key, x.shape),
        ...     log_potential=lambda t, before, after: -0.5 * after**2,
        ... )
        >>> aside = guided(
        ...     model,
        ...     move=lambda t, key, x: x + 0.5 * jax.random.normal(key, x.shape),
        ...     log_ratio=lambda t, before, after: jax.numpy.log(0.5) + 1.5 * (after - before) ** 2,
        ... )
        >>> smc.run(aside, seed=0, slots=100, steps=3).state.particles.shape
        (100,)
    """

    def log_potential(t: Time, before: Particles, after: Particles) -> Array:
        return model.log_potential(t, before, after) + log_ratio(t, before, after)

    return Model(initial or model.initial, move, log_potential)


def twisted(model: Model, log_twist: Callable[[Any, Any], Array], steps: int) -> Model:
    """Weigh the model by what psi expects of the future.

    Args:
        model: traced.
        log_twist: (t, particles) -> log psi_t, shape (N,), finite wherever a continuation has mass;
            asked for 1 <= t < T only.
        steps: T, with psi_T = 1.

    Returns:
        A model with the same final target, and the same transition density.

    Example:
        >>> import jax
        >>> from motes import smc
        >>> model = smc.Model(
        ...     initial=lambda key, slots: jax.random.normal(key, (slots,)),
        ...     move=lambda t, key, x: x + jax.random.normal(key, x.shape),
        ...     log_potential=lambda t, before, after: -0.5 * after**2,
        ...     density=lambda t, before, after: -0.5 * (after - before) ** 2,
        ... )
        >>> better = twisted(model, lambda t, x: -0.5 * x**2, steps=3)
        >>> smc.run(better, seed=0, slots=100, steps=3).state.particles.shape
        (100,)
    """

    def log_psi(t: Time, particles: Particles) -> Array:
        inside = (t > 0) & (t < steps)
        return jnp.where(inside, log_twist(jnp.clip(t, 1, max(steps - 1, 1)), particles), 0.0)

    def log_potential(t: Time, before: Particles, after: Particles) -> Array:
        spent = log_psi(t - 1, before)
        gain = jnp.where(
            spent > -jnp.inf, log_psi(t, after) - jnp.where(spent > -jnp.inf, spent, 0.0), -jnp.inf
        )  # the dead stay dead
        return model.log_potential(t, before, after) + gain

    return replace(model, log_potential=log_potential)
