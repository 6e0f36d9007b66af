"""Posterior draws of a NumPyro model: the no-U-turn sampler, by BlackJAX.

Every chain adapts its step size and a diagonal mass matrix in windows, as Stan does (Hoffman and
Gelman 2014; Carpenter et al. 2017), then draws. All chains run as one compiled, vectorised
computation. Call it with JAX in float64: sums over thousands of observations have errors in float32
that an energy can feel.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import blackjax
import jax
import jax.numpy as jnp
from blackjax.adaptation.base import get_filter_adapt_info_fn
from numpyro import handlers
from numpyro.distributions import biject_to
from numpyro.infer.util import constrain_fn, potential_energy

from ..aliases import PRNGKey, PRNGKeys, PyTree

ACCEPTANCE = 0.9  # above the usual 0.8: funnels want small steps

Draws = dict[str, Any]


@partial(jax.jit, static_argnames=("model", "warmup", "draws", "hidden"))
def chains(
    keys: PRNGKeys,
    model: Callable[..., None],
    arguments: tuple[Any, ...],
    warmup: int,
    draws: int,
    hidden: tuple[str, ...] = (),
) -> tuple[Draws, Draws]:
    """Draw from the posterior.

    Args:
        keys: one a chain, shape (C,).
        model: a NumPyro model, compiled once for each model and shapes of arguments.
        arguments: what it is called with, observations included; the same for all chains.
        warmup: steps of adaptation of a chain, which are not kept.
        draws: S, how many it keeps.
        hidden: sites that are left out of the result.

    Returns:
        The draws by site, deterministic ones included, shapes (C, S, ...); and what is known of
        each: diverging, lp (the log-density in the sampler's coordinates, nats), energy,
        acceptance_rate and n_steps, all of shape (C, S).
    """
    return jax.vmap(lambda key: chain(key, model, arguments, warmup, draws, hidden))(keys)


def chain(
    key: PRNGKey,
    model: Callable[..., None],
    arguments: tuple[Any, ...],
    warmup: int,
    draws: int,
    hidden: tuple[str, ...] = (),
) -> tuple[Draws, Draws]:
    """Return one chain; as `chains`, without the first axis. To be traced."""
    start_key, warm_key, draw_key = jax.random.split(key, 3)

    def log_density(position: Draws) -> Any:
        return -potential_energy(model, arguments, {}, position)

    adaptation: Any = blackjax.window_adaptation(
        blackjax.nuts,
        log_density,
        target_acceptance_rate=ACCEPTANCE,
        adaptation_info_fn=get_filter_adapt_info_fn(),
    )
    (state, parameters), _ = adaptation.run(warm_key, _start(start_key, model, arguments), warmup)
    kernel: Any = blackjax.nuts(log_density, **parameters)

    def step(state: PyTree, key: PRNGKey) -> tuple[Any, Any]:
        state, info = kernel.step(key, state)
        stats = {
            "diverging": info.is_divergent,
            "lp": state.logdensity,
            "energy": info.energy,
            "acceptance_rate": info.acceptance_rate,
            "n_steps": info.num_integration_steps,
        }
        named = constrain_fn(model, arguments, {}, state.position, return_deterministic=True)
        return state, ({name: value for name, value in named.items() if name not in hidden}, stats)

    _, (named, stats) = jax.lax.scan(step, state, jax.random.split(draw_key, draws))
    return named, stats


def _start(key: PRNGKey, model: Callable[..., None], arguments: tuple[Any, ...]) -> Draws:
    """Draw overdispersed starting places, uniform on (-1, 1) in the sampler's coordinates.

    The density is positive everywhere in these coordinates.
    """
    trace = handlers.trace(handlers.seed(model, key)).get_trace(*arguments)
    sites = {
        name: site
        for name, site in trace.items()
        if site["type"] == "sample" and not site["is_observed"]
    }
    shapes = {
        name: biject_to(site["fn"].support).inverse_shape(jnp.shape(site["value"]))
        for name, site in sites.items()
    }
    keys = dict(zip(shapes, jax.random.split(key, len(shapes)), strict=True))
    return {
        name: jax.random.uniform(keys[name], shape, minval=-1.0, maxval=1.0)
        for name, shape in shapes.items()
    }
