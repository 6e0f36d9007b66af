"""Posterior draws of the reliability model: the no-U-turn sampler, by BlackJAX.

Every chain adapts its step size and a diagonal mass matrix in windows, as Stan does (Hoffman and Gelman 2014; Carpenter et al.
2017), then draws. All chains run as one compiled, vectorised computation in float64: a sum over thousands of steps has errors in float32
that an energy can feel.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import blackjax
import jax
import jax.numpy as jnp
from blackjax.adaptation.base import get_filter_adapt_info_fn
from numpyro import handlers
from numpyro.distributions import biject_to
from numpyro.infer.util import constrain_fn, potential_energy

from .reliability import Beliefs, Data, Sizes, reliability

ACCEPTANCE = 0.9  # above the usual 0.8: the funnels of sigma and z want small steps
HIDDEN = ("false_positive_share", "depth_z", "problem_z")  # coordinates that the sampler moves in, and nobody asks for

Draws = dict[str, Any]


@partial(jax.jit, static_argnames=("sizes", "warmup", "draws"))
def chains(keys: Any, given: Data, sizes: Sizes, priors: Beliefs, warmup: int, draws: int) -> tuple[Draws, Draws]:
    """Draw from the posterior.

    Args:
        keys: one a chain, shape (C,).
        given: the judged steps, which all chains share.
        sizes: of the effects.
        priors: of the parameters, by name.
        warmup: steps of adaptation of a chain, which are not kept.
        draws: S, how many it keeps.

    Returns:
        The draws by parameter, shapes (C, S) and (C, S, size); and what is known of each: diverging, lp (the log-density in the sampler's
        coordinates, nats), energy, acceptance_rate and n_steps, all of shape (C, S).
    """
    return jax.vmap(lambda key: chain(key, given, sizes, priors, warmup, draws))(keys)


def chain(key: Any, given: Data, sizes: Sizes, priors: Beliefs, warmup: int, draws: int) -> tuple[Draws, Draws]:
    """One chain; as `chains`, without the first axis. To be traced."""
    arguments = (given, sizes, priors)
    start_key, warm_key, draw_key = jax.random.split(key, 3)

    def log_density(position: Draws) -> Any:
        return -potential_energy(reliability, arguments, {}, position)

    adaptation: Any = blackjax.window_adaptation(
        blackjax.nuts, log_density, target_acceptance_rate=ACCEPTANCE, adaptation_info_fn=get_filter_adapt_info_fn()
    )
    (state, parameters), _ = adaptation.run(warm_key, _start(start_key, arguments), warmup)
    kernel: Any = blackjax.nuts(log_density, **parameters)

    def step(state: Any, key: Any) -> tuple[Any, Any]:
        state, info = kernel.step(key, state)
        stats = {
            "diverging": info.is_divergent,
            "lp": state.logdensity,
            "energy": info.energy,
            "acceptance_rate": info.acceptance_rate,
            "n_steps": info.num_integration_steps,
        }
        return state, (state.position, stats)

    _, (positions, stats) = jax.lax.scan(step, state, jax.random.split(draw_key, draws))
    named = jax.vmap(lambda position: constrain_fn(reliability, arguments, {}, position, return_deterministic=True))(positions)
    return {name: value for name, value in named.items() if name not in HIDDEN}, stats


def _start(key: Any, arguments: tuple[Data, Sizes, Beliefs]) -> Draws:
    """Overdispersed starting places: uniform on (-1, 1) in the sampler's coordinates, where the density is positive everywhere."""
    trace = handlers.trace(handlers.seed(reliability, key)).get_trace(*arguments)
    sites = {name: site for name, site in trace.items() if site["type"] == "sample" and not site["is_observed"]}
    shapes = {name: biject_to(site["fn"].support).inverse_shape(jnp.shape(site["value"])) for name, site in sites.items()}
    keys = dict(zip(shapes, jax.random.split(key, len(shapes)), strict=True))
    return {name: jax.random.uniform(keys[name], shape, minval=-1.0, maxval=1.0) for name, shape in shapes.items()}
