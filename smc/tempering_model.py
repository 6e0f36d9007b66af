"""Tempering as a Feynman-Kac model.

Its particles are chains of an MCMC kernel, its potentials powers of the likelihood.

    M_t   chain of K_{lambda_t-1} from a state of the chain before, drawn by weight;
          at t = 1 the draws from p as they are
    G_t   mean over the chain's states of L^(lambda_t - lambda_t-1)

An SMC sampler keeps one state of each chain, the last (Del Moral, Doucet and Jasra 2006); a
waste-free one all P of them (Dau and Chopin 2022). `motes.smc.tempering` runs it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, reduce
from math import log
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..aliases import Array, PRNGKey, PyTree, Time
from .arrays import float64, namespace, take
from .feynman_kac import Model
from .resampling import pick
from .weights import ess, log_sum_exp

Kernel = Callable[[Any, Any, Any], Any]


@dataclass(frozen=True, eq=False)
class Tempering:
    """What is tempered, and how it is moved.

    All functions are traced and take whole populations.

    Attributes:
        sample: (key, slots) -> N draws from p, leaves of shape (N, ...).
        log_likelihood: positions -> log L, shape (N,); minus infinity is allowed.
        kernel: (key, lambda, positions) -> positions: one MCMC step of each that leaves p L^lambda
            invariant; `blackjax_kernel` makes one. It is given lambda in the user's precision: in
            float32 it leaves p L^lambda invariant up to 6e-8 lambda |log L|.

    Example:
        >>> import blackjax, jax
        >>> from motes import smc
        >>> tempering = Tempering(
        ...     sample=lambda key, slots: jax.random.normal(key, (slots,)),
        ...     log_likelihood=lambda x: -0.5 * (x - 1.0) ** 2,
        ...     kernel=lambda key, power, x: x,
        ... )
        >>> tempering.sample(jax.random.key(0), 3).shape
        (3,)
    """

    sample: Callable[[Any, int], Any]
    log_likelihood: Callable[[Any], Array]
    kernel: Kernel


class Chains(NamedTuple):
    """The particles of a tempering run: chains of P states; P = 1 unless it is waste-free.

    Attributes:
        positions: leaves of shape (M, P, ...).
        log_likelihood: log L, float64, shape (M, P).
        power: lambda_t, to which the weights have come; the same for all, float64, shape (M,).
        gain: lambda_t - lambda_t-1, float64, shape (M,).
    """

    positions: Any
    log_likelihood: Array
    power: Array
    gain: Array


@cache
def tempering_model(
    tempering: Tempering,
    ladder: tuple[float, ...] | None,
    target_ess: float,
    moves: int,
    states: int,
) -> Model:
    """Make the Feynman-Kac model of chains that is tempering.

    An adaptive one (`ladder` None) needs resampling before every step.

    Args:
        tempering: what, and how it moves.
        ladder: T + 1 powers, or None.
        target_ess: alpha.
        moves: steps of the kernel between two powers.
        states: P, how many of the last states of a chain are kept.

    Raises:
        ValueError: when the model is traced, a function of `tempering` returned another number of
            draws.
    """

    def weighed(t: Time, positions: PyTree, power: Array) -> Chains:
        """Return the chains at their next power."""
        chains, length = jax.tree.leaves(positions)[0].shape[:2]
        flat = jax.tree.map(lambda leaf: leaf.reshape(chains * length, *leaf.shape[2:]), positions)
        log_likelihood = jnp.asarray(tempering.log_likelihood(flat))
        if log_likelihood.shape != (chains * length,):
            raise ValueError(
                f"log_likelihood must have the shape ({chains * length},), not "
                f"{log_likelihood.shape}"
            )
        with float64():
            log_likelihood = log_likelihood.astype(np.float64).reshape(chains, length)
            if ladder is None:
                following = power + next_gain(log_likelihood, power, target_ess)
            else:
                following = jnp.asarray(ladder)[t]
            return Chains(
                positions,
                log_likelihood,
                jnp.full(chains, following),
                jnp.full(chains, following - power),
            )

    def initial(key: PRNGKey, slots: int) -> Chains:
        drawn = jax.tree.map(jnp.asarray, tempering.sample(key, slots * states))
        if any(leaf.shape[:1] != (slots * states,) for leaf in jax.tree.leaves(drawn)):
            raise ValueError(f"sample must return leaves with {slots * states} rows")
        positions = jax.tree.map(lambda leaf: leaf.reshape(slots, states, *leaf.shape[1:]), drawn)
        with float64():
            zeros = jnp.zeros((slots, states)), jnp.zeros(slots), jnp.zeros(slots)
        return Chains(positions, *zeros)

    def moved(key: PRNGKey, chains: Chains) -> Any:
        choice, moving = jax.random.split(key)
        log_weights = log_power(chains.log_likelihood, chains.gain[:, None])
        begin = jax.vmap(pick)(jax.random.split(choice, len(log_weights)), log_weights)
        begun = jax.vmap(take)(chains.positions, begin)

        power = chains.power[0].astype(jnp.result_type(float))  # the user's precision

        def step(positions: PyTree, key: PRNGKey) -> tuple[Any, Any]:
            return (after := tempering.kernel(key, power, positions)), after

        _, visited = jax.lax.scan(step, begun, jax.random.split(moving, moves))
        whole = jax.tree.map(
            lambda one, rest: jnp.concatenate([one[None], rest])[-states:], begun, visited
        )
        return jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, 1), whole)

    def move(t: Time, key: PRNGKey, chains: Chains) -> Chains:
        positions = jax.lax.cond(
            t > 1, lambda: moved(key, chains), lambda: chains.positions
        )  # at power 0 they are draws already
        with float64():
            power = chains.power[0]
        return weighed(t, positions, power)

    def log_potential(t: Time, before: Chains, after: Chains) -> Array:
        log_weights = log_power(after.log_likelihood, after.gain[:, None])
        with float64():
            return jax.vmap(log_sum_exp)(log_weights) - log(states)

    return Model(initial, move, log_potential)


def log_power(log_likelihood: Array, power: Array) -> Array:
    """Compute log L^lambda, where L^0 = 1 (0^0 too) and 0^lambda = 0 for lambda > 0.

    float64, the shape of both together.
    """
    xp = namespace(log_likelihood)
    with float64(), np.errstate(invalid="ignore"):  # 0 times infinity, which is not chosen
        return xp.where(power > 0, power * log_likelihood, 0.0)


def next_gain(log_likelihood: Array, power: Array, target_ess: float) -> Any:
    """Find by bisection the largest step of lambda that leaves the living enough ESS.

    That is `target_ess` of what the ESS would be for no step.

    Args:
        log_likelihood: of all equally weighted states, any shape.
        power: lambda.
        target_ess: alpha in (0, 1).
    """
    xp = namespace(log_likelihood)
    with float64():
        flat = log_likelihood.ravel()
        wanted = target_ess * (flat > -np.inf).sum()

        def halve(_: object, ends: Array) -> Any:
            low, high = ends
            middle = (low + high) / 2
            enough = ess(log_power(flat, middle)) >= wanted
            return xp.where(enough, middle, low), xp.where(enough, high, middle)

        rest = 1.0 - power
        if xp is np:
            low, high = reduce(lambda ends, _: halve(_, ends), range(60), (0.0, rest))
        else:
            low, high = jax.lax.fori_loop(0, 60, halve, (jnp.zeros(()), rest))
        return xp.where(ess(log_power(flat, rest)) >= wanted, rest, xp.where(low > 0, low, high))


def blackjax_kernel(
    init: Callable[..., Any],
    step: Callable[..., Any],
    log_prior: Callable[[Any], Any],
    log_likelihood: Callable[[Any], Any],
    parameters: Callable[[Any], dict[str, Any]],
) -> Kernel:
    """Use a BlackJAX algorithm as a kernel.

    For example `blackjax.hmc.init` and `blackjax.hmc.build_kernel()`.

    Args:
        init: (position, log density) -> state.
        step: (key, state, log density, **parameters) -> (state, info).
        log_prior: log p of one position.
        log_likelihood: log L of one position.
        parameters: population -> parameters of the step, the same for all; what looks at the
            population adapts, and then the evidence is consistent but not unbiased.

    Example:
        >>> import blackjax, jax
        >>> from motes import smc
        >>> walk = lambda key, x: x + jax.random.normal(key)
        >>> kernel = blackjax_kernel(
        ...     blackjax.rmh.init,
        ...     blackjax.rmh.build_kernel(),
        ...     log_prior=lambda x: -0.5 * x**2,
        ...     log_likelihood=lambda x: -0.5 * (x - 1.0) ** 2,
        ...     parameters=lambda xs: {"transition_generator": walk},
        ... )
        >>> kernel(jax.random.key(0), 1.0, jax.numpy.zeros(4)).shape
        (4,)
    """

    def kernel(key: PRNGKey, power: Array, positions: PyTree) -> Any:
        tuned = parameters(positions)

        def one(key: PRNGKey, position: PyTree) -> Any:
            def log_density(x: PyTree) -> Any:
                log_l = log_likelihood(x)
                return log_prior(x) + jnp.where(power > 0, power * log_l, 0.0)

            return step(key, init(position, log_density), log_density, **tuned)[0].position

        return jax.vmap(one)(jax.random.split(key, len(jax.tree.leaves(positions)[0])), positions)

    return kernel
