"""Particle MCMC for programs.

Chains of a program's parameters, the continuous latents that it draws before anything else, and of
the rest.

    particle marginal Metropolis-Hastings    theta' is proposed, and accepted by its particle
                                             filter's estimate of p(theta') Z(theta')
    particle Gibbs                           theta given the reasoning by a BlackJAX kernel, the
                                             reasoning given theta by conditional SMC

Both leave the program's posterior invariant, however few particles there are (Andrieu, Doucet and
Holenstein 2010).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from math import exp, inf
from typing import Any, ClassVar, NamedTuple

import blackjax
import jax
import jax.numpy as jnp
import numpy as np
from blackjax.adaptation.step_size import dual_averaging_adaptation
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun

from ... import checks
from ...aliases import Array, PRNGKey, PyTree
from ...models.randomness import SlotUniforms
from ...ppl.interfaces import Declared
from ...ppl.programs.execution import Execution
from ...ppl.programs.parameters import (
    Density,
    leading,
    not_fixed,
    parameters,
    rebuilt,
    unconstrained,
)
from ...ppl.programs.program import Program
from ...ppl.programs.subinference import SubInference
from ...smc import Resampling, RunKeys, start, steps, subkeys
from ...smc.conditional_smc import check_conditional
from ...smc.resampling import pick
from ..base import AllParticlesDead
from .chain_sampler import (
    RESTARTS,
    BoundChains,
    Chains,
    ChainSampler,
    Started,
    Swept,
    in_batch,
    restarted,
)
from .reasoning_gibbs import gibbs_moves

normal_random_walk: Any = blackjax.additive_step_random_walk.normal_random_walk  # type: ignore[attr-defined]
KERNELS = ("nuts", "random_walk")


@dataclass(frozen=True, kw_only=True)
class ParameterSampler(ChainSampler):
    """Chains of a program's parameters.

    Attributes:
        particles: N of each filter.
        resampling: one of `motes.smc.SCHEMES`.
        ess_threshold: kappa in [0, 1]: resample when ESS < kappa N.
        step_size: of the proposal, in unconstrained coordinates, above 0; found in the warm-up,
            from there, if there is one.
        tries: filters drawn for the start of a chain, at most, each at parameters of its own from
            the prior.
    """

    particles: int = 16
    resampling: str = "systematic"
    ess_threshold: float = 0.5
    step_size: float = 0.5
    tries: int = 100

    aim: ClassVar[float]

    def __post_init__(self) -> None:
        checks.settle(
            self,
            particles=checks.count("particles", self.particles),
            ess_threshold=Resampling(self.resampling, self.ess_threshold).ess_threshold,
            step_size=checks.positive("step_size", self.step_size),
        )
        super().__post_init__()

    @property
    def rule(self) -> Resampling:
        """When its filters resample, and how."""
        return Resampling(self.resampling, self.ess_threshold)

    def check(self, model: Declared) -> None:
        if not isinstance(model, Program):
            raise ValueError(
                f"{self.name!r} samples the parameters of a Program, and {model!r} is none"
            )


@dataclass(frozen=True, eq=False)
class BoundParameters(BoundChains):
    """Chains of a program's parameters, bound to the program."""

    model: Program

    @abstractmethod
    def moved(
        self, keys: RunKeys, current: Sequence[Any], step_sizes: Sequence[float]
    ) -> list[tuple[Any, float]]:
        """Give each chain's next state, and the probability that its proposal was accepted."""

    def sweep(self, keys: RunKeys, state: Chains) -> Swept:
        searching = state.iteration < self.sampler.warmup
        first = Tuning(self.sampler.aim).started(self.sampler.step_size)
        tuning = state.memory or [first] * self.sampler.chains
        step_sizes = [each.step_size(searching) for each in tuning]
        moved = self.moved(keys, state.current, step_sizes)
        acceptance = np.array([rate for _, rate in moved])
        if searching:
            tuning = [
                each.told(rate) for each, rate in zip(tuning, acceptance.tolist(), strict=True)
            ]
        tallies = {"acceptance": acceptance, "step_size": np.array(step_sizes)}
        return Swept([particle for particle, _ in moved], tallies, tuning)

    def rates(self, tallies: Mapping[str, np.ndarray], iterations: int) -> dict[str, Any]:
        return {name: (tallies[name] / iterations).tolist() for name in ("acceptance", "step_size")}


class Tuning(NamedTuple):
    """Dual averaging of a chain's step size towards a rate of acceptance (Nesterov 2009.

    Hoffman and Gelman 2014).
    """

    aim: float
    least: float = 0.0
    state: Any = None

    def started(self, step_size: float) -> Tuning:
        return self._replace(
            least=0.01 * step_size, state=dual_averaging_adaptation(self.aim)[0](step_size)
        )

    def told(self, acceptance: float) -> Tuning:
        return self._replace(state=dual_averaging_adaptation(self.aim)[1](self.state, acceptance))

    def step_size(self, searching: bool) -> float:
        found = exp(
            float(
                self.state.log_step_size
                if searching or self.state.step == 1
                else self.state.log_step_size_avg
            )
        )
        # where an estimate is noisy not even a step of no length is always accepted
        return max(found, self.least)


class Estimated(NamedTuple):
    """A chain of particle marginal Metropolis-Hastings at a place.

    Attributes:
        execution: drawn from the filter's last population.
        log_estimate: log p(theta) Z-hat(theta), in nats.
    """

    execution: Execution
    log_estimate: float


@dataclass(frozen=True, kw_only=True)
class ParticleMarginalMetropolis(ParameterSampler):
    """Particle marginal Metropolis-Hastings.

    A random walk over a program's parameters, each place weighed by a particle filter.

    Target: the program's posterior, of parameters and all else jointly. Guarantee: invariant.
    Evidence: none. Cost of a step (an iteration): a particle filter of N particles for each chain,
    all chains in one batch. Source: Andrieu, Doucet and Holenstein (2010), section 2.4.2; the step
    size is tuned to accept 0.234 of the proposals (Roberts, Gelman and Gilks 1997; Sherlock et al.
    2015).

    Attributes:
        iterations, warmup, chains, starts, tries: as of every chain: see
            `motes.samplers.ChainSampler`.
        particles, resampling, ess_threshold, step_size: see `ParameterSampler`; step_size is the
            walk's standard deviation.
        proposal: what steps are drawn from; their priors when None.
        budget: generated tokens after which no iteration is begun; None for no limit.

    Raises:
        TypeError, ValueError: an attribute is not of its kind, or out of its range.

    Example:
        >>> from motes.models import TableLM
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> import numpyro
        >>> from motes import ppl
        >>> def program():
        ...     power = numpyro.sample("power", numpyro.distributions.Exponential(1.0))
        ...     x = numpyro.sample("word", ppl.step(lm, ppl.start(lm, "?")))
        ...     numpyro.factor("fit", -power * x.token_ids[0])
        ...     return x.token_ids[0]
        >>> sampler = ParticleMarginalMetropolis(iterations=5, warmup=3, chains=2, particles=4)
        >>> posterior = sampler.run(ppl.Program(program), seed=0)
        >>> len(posterior.trajectories), posterior.provenance.guarantee
        (10, 'invariant')
    """

    name = "particle_marginal_metropolis"
    guarantee = "invariant"
    evidence = "none"
    paper = "Andrieu, Doucet and Holenstein (2010), doi:10.1111/j.1467-9868.2009.00736.x"
    step_cost = "a particle filter of N particles for each chain"
    aim = 0.234

    def bind(self, model: Declared, keys: RunKeys) -> BoundMarginal:
        assert isinstance(model, Program)
        return BoundMarginal(self, model, keys, self.proposed(model))


class BoundMarginal(BoundParameters):
    """Particle marginal Metropolis-Hastings of a program."""

    def begin(self) -> Started:
        def attempt(_: int, keys: RunKeys, program: Program) -> list[Estimated]:
            estimated = self._found(keys, program)
            if estimated is None:
                raise AllParticlesDead(1, self.sampler.particles)
            return [estimated]

        # every attempt has parameters of its own from the prior, and the particles that the chain's
        # filters have
        keys, sampler = replace(self.keys, iteration=RESTARTS), self.sampler
        return restarted(
            attempt, self.model, keys, sampler.chains, starts=sampler.particles, tries=sampler.tries
        )

    def moved(
        self, keys: RunKeys, current: Sequence[Any], step_sizes: Sequence[float]
    ) -> list[tuple[Any, float]]:
        runs = [
            partial(self._walked, keys=replace(keys, chain=chain), here=here, step_size=step_size)
            for chain, (here, step_size) in enumerate(zip(current, step_sizes, strict=True))
        ]
        return in_batch(runs, [self.model] * len(runs))

    def held(self, state: Any) -> Execution:
        return state.execution

    def _found(self, keys: RunKeys, program: Program) -> Estimated | None:
        """A place from the prior; None where its filter dies."""
        stepwise = program.stepwise(None)
        [drawn], generation = stepwise.initial(None, 1), 0
        while (
            drawn.open
            and not drawn.excluded
            and len(leading(program, drawn)) == len(not_fixed(program, drawn))
        ):
            [drawn] = stepwise.step(None, keys.rejuvenation(generation, 1, [0]), [drawn])
            generation += 1
        if drawn.excluded:
            return None
        return self._filtered(
            program, keys, {draw.name: draw.value for draw in parameters(program, drawn)}
        )

    def _walked(
        self, program: Program, *, keys: RunKeys, here: Estimated, step_size: float
    ) -> tuple[Estimated, float]:
        draws = parameters(program, here.execution)
        density = Density(program, here.execution, tuple(draw.name for draw in draws), alone=True)
        key = keys.rejuvenation(0, 1, [0])
        u = unconstrained(draws)
        there = u + step_size * np.asarray(
            jax.random.normal(subkeys(key, 0)[0], u.shape), np.float64
        )
        now, then = density(u), density(there)
        if not float(then.log_density) > -inf:  # nowhere, or so far out that float32 does not reach
            return here, 0.0
        proposed = self._filtered(program, keys, then.values)
        if proposed is None:
            return here, 0.0
        log_ratio = (
            proposed.log_estimate
            + float(then.log_jacobian)
            - here.log_estimate
            - float(now.log_jacobian)
        )
        rate = exp(min(0.0, log_ratio))
        return (
            (proposed, rate) if SlotUniforms(subkeys(key, 1), 1).at(0)[0] < rate else (here, rate)
        )

    def _filtered(
        self, program: Program, keys: RunKeys, values: Mapping[str, Any]
    ) -> Estimated | None:
        """A filter at these parameters, and a draw from its last population; None where it dies."""
        given = program.given_values(values)
        root = given.root()
        if not root.open:  # nothing is left to be drawn
            log_weight = -inf if root.excluded else root.log_ratio + root.log_likelihood
            return Estimated(root, log_weight) if log_weight > -inf else None
        stepwise = given.stepwise(self.sampler.proposal, root=root)
        state = start(stepwise, keys, self.sampler.particles)
        for step in steps(stepwise, state, keys, self.sampler.rule):
            state = step.state
        return (
            None
            if state.dead
            else Estimated(
                state.particles[pick(keys.choice(0), state.log_weights)], float(state.log_evidence)
            )
        )


@dataclass(frozen=True, kw_only=True)
class ParameterGibbs(ParameterSampler):
    """Particle Gibbs over parameters and reasoning in turn.

    Conditional SMC for the one, a BlackJAX kernel for the other.

    Target: the program's posterior, of parameters and all else jointly. Guarantee: invariant, at
    every N >= 2. Evidence: none. Cost of a step (an iteration): a particle filter of N - 1
    particles for each chain; moving the parameters asks no model anything. Source: Andrieu, Doucet
    and Holenstein (2010), section 2.4.3; NUTS: Hoffman and Gelman (2014).

    Attributes:
        iterations, warmup, chains, starts, tries: as of every chain: see
            `motes.samplers.ChainSampler`.
        particles, resampling, ess_threshold, step_size: see `ParameterSampler`; the scheme must be
            one of `motes.smc.CONDITIONAL`.
        kernel: "nuts", for which the program must be traceable by JAX at its parameters: what it
            branches on, and how its steps are sampled, must not depend on them; or "random_walk".
        moves: of the kernel in an iteration, at least 1.
        proposal: what steps are drawn from; their priors when None.
        budget: generated tokens after which no iteration is begun; None for no limit.

    Raises:
        TypeError, ValueError: an attribute is not of its kind, or out of its range.

    Example:
        >>> from motes.models import TableLM
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> import numpyro
        >>> from motes import ppl
        >>> def program():
        ...     power = numpyro.sample("power", numpyro.distributions.Exponential(1.0))
        ...     x = numpyro.sample("word", ppl.step(lm, ppl.start(lm, "?")))
        ...     numpyro.factor("fit", -power * x.token_ids[0])
        ...     return x.token_ids[0]
        >>> short = {"iterations": 5, "warmup": 3, "chains": 2, "particles": 4}
        >>> sampler = ParameterGibbs(**short, kernel="random_walk")
        >>> posterior = sampler.run(ppl.Program(program), seed=0)
        >>> len(posterior.trajectories), posterior.provenance.guarantee
        (10, 'invariant')
    """

    kernel: str = "nuts"
    moves: int = 1

    name = "parameter_gibbs"
    guarantee = "invariant"
    evidence = "none"
    paper = (
        "Andrieu, Doucet and Holenstein (2010), doi:10.1111/j.1467-9868.2009.00736.x; NUTS: "
        "Hoffman and Gelman (2014)"
    )
    step_cost = "for each chain a particle filter of N - 1 particles"

    def __post_init__(self) -> None:
        checks.settle(
            self,
            moves=checks.count("moves", self.moves),
            kernel=checks.choice("kernel", self.kernel, KERNELS),
        )
        checks.count("particles", self.particles, least=2)
        super().__post_init__()
        check_conditional(self.particles, self.rule)

    @property
    def aim(self) -> float:  # type: ignore[override]
        return 0.8 if self.kernel == "nuts" else 0.35

    def bind(self, model: Declared, keys: RunKeys) -> BoundParameterGibbs:
        assert isinstance(model, Program)
        return BoundParameterGibbs(self, model, keys, self.proposed(model))


class BoundParameterGibbs(BoundParameters):
    """Particle Gibbs over the parameters and the reasoning of a program."""

    def moved(
        self, keys: RunKeys, current: Sequence[Any], step_sizes: Sequence[float]
    ) -> list[tuple[Any, float]]:
        program, sampler, chains = self.model, self.sampler, len(current)
        own = [replace(keys, chain=chain) for chain in range(chains)]
        given = [_given(program, execution) for execution in current]
        references: list[Any] = [
            rebuilt(model, execution) for model, execution in zip(given, current, strict=True)
        ]
        # the others have nothing left to be drawn
        rows = [row for row, reference in enumerate(references) if reference.length]
        moved = [references[row] for row in rows]
        if rows:
            models, keys_of_rows = [given[row] for row in rows], [own[row] for row in rows]
            swept = gibbs_moves(
                models,
                sampler.proposal,
                keys_of_rows,
                moved,
                sampler.particles,
                sampler.rule,
                "reference",
            )
            for row, (execution, _) in zip(rows, swept, strict=True):
                references[row] = execution
        return [
            self._kicked(keys.rejuvenation(0, 1, [0]), execution, step_size)
            for keys, execution, step_size in zip(own, references, step_sizes, strict=True)
        ]

    def _kicked(
        self, key: PRNGKey, execution: Execution, step_size: float
    ) -> tuple[Execution, float]:
        """The program's run with its parameters moved, and how often that was accepted."""
        program, sampler = self.model, self.sampler
        if any(isinstance(draw.fn, SubInference) for draw in execution.all_draws):
            raise ValueError(
                f"{sampler.name!r} cannot move the parameters of a sub-inference; "
                "'particle_marginal_metropolis' can"
            )
        draws = parameters(program, execution)
        density = Density(program, execution, tuple(draw.name for draw in draws))
        u: Any = jnp.asarray(unconstrained(draws), jnp.float32)
        rates = []
        for number in range(sampler.moves):
            u, rate = (_nuts if sampler.kernel == "nuts" else _random_walk)(
                density, subkeys(key, number)[0], u, step_size
            )
            rates.append(rate)
        values = density(u).values
        return rebuilt(program.given_values(values), execution), float(np.mean(rates))


def _given(program: Program, execution: Execution) -> Program:
    return program.given_values({draw.name: draw.value for draw in parameters(program, execution)})


def _random_walk(density: Density, key: PRNGKey, u: Array, step_size: float) -> tuple[Any, float]:
    """One transition; run eagerly where the program cannot be traced."""
    try:
        return _transited("random_walk", density, key, u, step_size)
    except ValueError:
        place, rate = _walk(lambda place: density(place).log_density, key, u, step_size)
        return place, float(rate)


def _nuts(density: Density, key: PRNGKey, u: Array, step_size: float) -> tuple[Any, float]:
    """One transition."""
    return _transited("nuts", density, key, u, step_size)


_compiled: dict[tuple[str, str, int, str], Any] = {}


def _transited(
    kind: str, density: Density, key: PRNGKey, u: Array, step_size: float
) -> tuple[Any, float]:
    """Make one transition of a kernel, compiled once for densities that differ in data alone."""
    traced = jax.make_jaxpr(lambda place: density(place).log_density)(u)
    code = kind, str(traced.jaxpr), len(u), _inner_data(traced.jaxpr).hex()
    if code not in _compiled:
        _compiled[code] = jax.jit(partial(_transition, kind, traced.jaxpr))
    place, rate = _compiled[code](key, u, step_size, traced.consts)
    return place, float(rate)


def _inner_data(code: Any) -> bytes:
    """Digest the arrays that inner functions hold, and which a traced function's text hides."""
    digest = sha256()
    for equation in code.eqns:
        for value in equation.params.values():
            for inner in value if isinstance(value, tuple | list) else (value,):
                for array in getattr(inner, "consts", ()):
                    digest.update(np.asarray(array).tobytes())
                if hasattr(inner := getattr(inner, "jaxpr", inner), "eqns"):
                    digest.update(_inner_data(inner))
    return digest.digest()


def _transition(
    kind: str, code: Any, key: PRNGKey, u: Array, step_size: Array, data: PyTree
) -> tuple[Any, Any]:
    kernel = {"nuts": _hamiltonian, "random_walk": _walk}[kind]
    return kernel(lambda place: jaxpr_as_fun(ClosedJaxpr(code, data))(place)[0], key, u, step_size)


def _hamiltonian(
    log_density: Callable[[Array], Array], key: PRNGKey, u: Array, step_size: Array
) -> tuple[Any, Any]:
    kernel: Any = blackjax.nuts(log_density, step_size, jnp.ones(len(u)))
    state, info = kernel.step(key, kernel.init(u))
    return state.position, info.acceptance_rate


def _walk(
    log_density: Callable[[Array], Array], key: PRNGKey, u: Array, step_size: Array
) -> tuple[Any, Any]:
    kernel: Any = normal_random_walk(
        lambda place: jnp.nan_to_num(log_density(place), nan=-jnp.inf), jnp.full(len(u), step_size)
    )
    state, info = kernel.step(key, kernel.init(u))
    return state.position, info.acceptance_rate
