"""SMC samplers: tempering, from a distribution that can be drawn from to one that cannot.

(Del Moral, Doucet and Jasra 2006.)

    pi_lambda(x) proportional to p(x) L(x)^lambda,    0 = lambda_0 < lambda_1 < ... < lambda_T = 1

Particles drawn from p are weighed by L^(lambda_t - lambda_t-1), resampled, and moved by a kernel
that leaves pi_lambda_t invariant. That is a Feynman-Kac model, so it is sampled by the same filter
as any other, and Z-hat estimates Z = E_p L without bias where the ladder is fixed in advance. An
adaptive ladder takes each step as far as

    ESS(L^(lambda' - lambda)) = alpha #{L > 0}

allows, by bisection, over the equally weighted states that are there *now*: L = 0 is not tempered,
0^lambda is 0 for every lambda > 0, and the dead are not counted in what the living are to keep. Its
evidence is consistent, and biased by O(1/N).

*Waste-free* (Dau and Chopin 2022): M chains of P states instead of N = M P particles that each keep
the last state of their moves. A chain is one particle, weighed by the mean of its states' weights;
one of them, drawn by weight, begins the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .. import checks
from ..aliases import Array, PRNGKey, PyTree
from .arrays import float64
from .driver import State, advance, start
from .feynman_kac import FeynmanKac
from .keys import TracedKeys, traced_key
from .resampling import Resampling
from .tempering_model import Chains, Tempering, log_power, tempering_model
from .weights import ess, log_sum_exp


class Tempered(NamedTuple):
    """A tempering run that has come to lambda = 1, or died on the way.

    Attributes:
        positions: N weighted draws from pi_1, leaves of shape (N, ...).
        log_weights: normalised, float64, shape (N,); all minus infinity where every state has L =
            0.
        log_evidence: log Z-hat, in nats; then minus infinity.
        ladder: the powers that were reached, lambda_0 = 0 to lambda_T, which is 1 if any state is
            alive; shape (T + 1,).
        ess: effective number of the N states after each reweighing, shape (T,).
        log_increments: of the evidence, in nats, shape (T,).

    Example:
        >>> import blackjax, jax
        >>> from motes import smc
        >>> half_life = smc.Tempering(
        ...     sample=lambda key, slots: jax.random.normal(key, (slots,)),
        ...     log_likelihood=lambda x: -0.5 * (x - 1.0) ** 2,
        ...     kernel=lambda key, power, x: x,
        ... )
        >>> found = smc.temper(half_life, 0, 200, ladder=[0.0, 0.5, 1.0])
        >>> type(found).__name__, found.ladder.tolist()
        ('Tempered', [0.0, 0.5, 1.0])
    """

    positions: Any
    log_weights: Array
    log_evidence: Any
    ladder: Array
    ess: Array
    log_increments: Array


def temper(
    tempering: Tempering,
    seed: int | jax.Array,
    particles: int,
    ladder: Sequence[float] | None = None,
    *,
    target_ess: float = 0.5,
    moves: int = 5,
    waste_free: bool = False,
    scheme: str = "systematic",
    max_steps: int = 1000,
) -> Tempered:
    """Sample pi_1. It is compiled once for each `Tempering` and each of the arguments but the seed.

    Args:
        tempering: what, and how it moves.
        seed: in [0, 2**32), or a typed JAX random key.
        particles: N.
        ladder: lambda_0 = 0 to lambda_T = 1, ascending; None to find it on the way.
        target_ess: alpha in (0, 1), for an adaptive ladder.
        moves: steps of the kernel between two powers. Waste-free keeps them all, P = moves + 1, and
            N must be a multiple of P.
        waste_free: whether every state of a chain is kept, or the last one alone.
        scheme: one of `motes.smc.SCHEMES`, or "chopthin"; the population is resampled at every
            power.
        max_steps: limit of an adaptive ladder.

    Returns:
        Weights, ladder and evidence in NumPy arrays and floats.

    Raises:
        ValueError: an argument is out of its range, or a function of `tempering` returned another
            number of draws.
        TypeError: a number of something is not an integer.
        FloatingPointError: a log-likelihood is NaN, or plus infinity.
        RuntimeError: an adaptive ladder did not come to 1 within `max_steps`.

    Example:
        >>> import blackjax, jax
        >>> from motes import smc
        >>> import numpy as np
        >>> walk = lambda key, x: x + jax.random.normal(key)
        >>> target = smc.Tempering(
        ...     sample=lambda key, slots: jax.random.normal(key, (slots,)),
        ...     log_likelihood=lambda x: -0.5 * (x - 1.0) ** 2,
        ...     kernel=smc.blackjax_kernel(
        ...         blackjax.rmh.init,
        ...         blackjax.rmh.build_kernel(),
        ...         log_prior=lambda x: -0.5 * x**2,
        ...         log_likelihood=lambda x: -0.5 * (x - 1.0) ** 2,
        ...         parameters=lambda xs: {"transition_generator": walk},
        ...     ),
        ... )
        >>> result = temper(target, 0, 1000)
        >>> mean = float((np.exp(result.log_weights) * result.positions).sum())
        >>> abs(mean - 0.5) < 0.15
        True
    """
    rungs = None if ladder is None else checks.ladder("ladder", ladder, first=0, last=1)
    particles = checks.count("particles", particles)
    moves, max_steps = checks.count("moves", moves), checks.count("max_steps", max_steps)
    target_ess = checks.number("target_ess", target_ess, above=0, below=1)
    waste_free = checks.flag("waste_free", waste_free)
    states = moves + 1 if waste_free else 1
    if particles % states:
        raise ValueError(
            f"waste-free particles must be a multiple of the {states} states of a chain (moves + "
            f"1), not {particles}"
        )
    model = tempering_model(tempering, rungs, target_ess, moves, states)
    key = traced_key(seed)
    limit = max_steps if rungs is None else len(rungs) - 1
    return _on_host(
        *_compiled_climb(
            model, key, particles // states, Resampling(scheme, ess_threshold=1), limit
        )
    )


def climb(
    model: FeynmanKac[Chains], key: PRNGKey, chains: int, resampling: Resampling, limit: int
) -> tuple[Tempered, Any]:
    """Sample pi_1 inside a function that JAX traces: pure.

    Values at fault make the evidence NaN.

    Args:
        model: of `tempering_model`.
        key: a typed JAX random key.
        chains: M.
        resampling: when and how; before every step (`ess_threshold=1`) where the ladder is
            adaptive.
        limit: of the number of steps.

    Returns:
        The run, where ladder, ESS and increments have zeros behind step T, shapes (limit + 1,),
        (limit,), (limit,); and T. There are fewer than `limit` steps if lambda is 1, all are dead,
        or a likelihood was NaN or infinite: then the evidence is NaN too.
    """
    keys = TracedKeys(key)

    def unfinished(carry: PyTree) -> Any:
        state, _ = carry
        with float64():
            return (
                (state.t < limit)
                & (state.particles.power[0] < 1)
                & jnp.isfinite(state.log_evidence)
            )

    def climbed(carry: PyTree) -> Any:
        (state, (powers, sizes, increments)) = carry
        step = advance(model, state, keys, resampling)
        with float64():
            after = step.state
            powers = powers.at[after.t].set(after.particles.power[0])
            sizes = sizes.at[state.t].set(ess(_state_log_weights(after)))
            return after, (powers, sizes, increments.at[state.t].set(step.log_increment))

    with float64():
        rows = jnp.zeros(limit + 1), jnp.zeros(limit), jnp.zeros(limit)
    state, rows = jax.lax.while_loop(unfinished, climbed, (start(model, keys, chains), rows))
    positions = jax.tree.map(
        lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), state.particles.positions
    )
    return Tempered(positions, _state_log_weights(state), state.log_evidence, *rows), state.t


_compiled_climb = jax.jit(climb, static_argnums=(0, 2, 3, 4))


def _on_host(run: Tempered, steps: Array) -> Tempered:
    """Give the run in NumPy arrays of its length, checked. Raises as `temper` does."""
    count, powers = int(steps), np.asarray(run.ladder)
    sizes, increments = np.asarray(run.ess)[:count], np.asarray(run.log_increments)[:count]
    if not increments[-1] < np.inf:  # true of NaN too
        raise FloatingPointError(
            f"log_likelihood gave the evidence {increments[-1]} at step {count}: it must be a "
            "number below infinity"
        )
    if powers[count] < 1 and increments[-1] > -np.inf:
        raise RuntimeError(
            f"after {count} steps the ladder is at {powers[count]:.3g}: max_steps is too small"
        )
    return Tempered(
        run.positions,
        np.asarray(run.log_weights),
        float(run.log_evidence),
        powers[: count + 1],
        sizes,
        increments,
    )


def _state_log_weights(state: State) -> Array:
    """Return normalised log-weights of all states of all chains, float64, shape (M P,)."""
    chains = state.particles
    within = log_power(chains.log_likelihood, chains.gain[:, None])
    with float64():
        shares = within - jax.vmap(log_sum_exp)(within)[:, None]
        of_chain = state.log_weights[:, None]
        return jnp.where(of_chain > -np.inf, of_chain + shares, -np.inf).ravel()
