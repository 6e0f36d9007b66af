"""Particle marginal Metropolis-Hastings: a walk over parameters that particle filters weigh."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import exp, inf
from typing import Any, NamedTuple

import jax
import numpy as np

from ...models.randomness import SlotUniforms
from ...ppl.interfaces import Declared
from ...ppl.programs.execution import Execution
from ...ppl.programs.parameters import Density, leading, not_fixed, parameters, unconstrained
from ...ppl.programs.program import Program
from ...smc import RunKeys, start, steps, subkeys
from ...smc.resampling import pick
from ..base import AllParticlesDead
from .chain_sampler import RESTARTS, ChainSampler, Started, in_batch, restarted
from .parameter_chains import BoundParameters, check_program, filter_rule, settle_parameters


class Estimated(NamedTuple):
    """A chain of particle marginal Metropolis-Hastings at a place.

    Attributes:
        execution: drawn from the filter's last population.
        log_estimate: log p(theta) Z-hat(theta), in nats.
    """

    execution: Execution
    log_estimate: float


@dataclass(frozen=True, kw_only=True)
class ParticleMarginalMetropolis(ChainSampler):
    """Particle marginal Metropolis-Hastings.

    A random walk over a program's parameters, each place weighed by a particle filter.

    Target: the program's posterior, of parameters and all else jointly. Guarantee: invariant.
    Evidence: none. Cost of a step (an iteration): a particle filter of N particles for each chain,
    all chains in one batch. Source: Andrieu, Doucet and Holenstein (2010), section 2.4.2; the step
    size is tuned to accept 0.234 of the proposals (Roberts, Gelman and Gilks 1997; Sherlock et al.
    2015).

    Attributes:
        iterations, warmup, chains, starts: as of every chain: see `motes.samplers.ChainSampler`.
        tries: filters drawn for the start of a chain, at most, each at parameters of its own from
            the prior.
        particles: N of each filter.
        resampling: one of `motes.smc.SCHEMES`, or "chopthin".
        ess_threshold: kappa in [0, 1]: resample when ESS < kappa N.
        step_size: the walk's standard deviation, in unconstrained coordinates, above 0;
            found in the warm-up, from there, if there is one.
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

    tries: int = 100
    particles: int = 16
    resampling: str = "systematic"
    ess_threshold: float = 0.5
    step_size: float = 0.5

    name = "particle_marginal_metropolis"
    guarantee = "invariant"
    evidence = "none"
    paper = "Andrieu, Doucet and Holenstein (2010), doi:10.1111/j.1467-9868.2009.00736.x"
    step_cost = "a particle filter of N particles for each chain"
    aim = 0.234  # share of proposals to accept

    def __post_init__(self) -> None:
        settle_parameters(self)
        super().__post_init__()

    def check(self, model: Declared) -> None:
        check_program(self.name, model)

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
        """Draw a place from the prior; None where its filter dies."""
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
        accepted = SlotUniforms(subkeys(key, 1), 1).at(0)[0] < rate
        return (proposed if accepted else here), rate

    def _filtered(
        self, program: Program, keys: RunKeys, values: Mapping[str, Any]
    ) -> Estimated | None:
        """Run a filter at these parameters, and draw from its end; None where it dies."""
        given = program.given_values(values)
        root = given.root()
        if not root.open:  # nothing is left to be drawn
            log_weight = -inf if root.excluded else root.log_ratio + root.log_likelihood
            return Estimated(root, log_weight) if log_weight > -inf else None
        stepwise = given.stepwise(self.sampler.proposal, root=root)
        state = start(stepwise, keys, self.sampler.particles)
        for step in steps(stepwise, state, keys, filter_rule(self.sampler)):
            state = step.state
        if state.dead:
            return None
        chosen = state.particles[pick(keys.choice(0), state.log_weights)]
        return Estimated(chosen, float(state.log_evidence))
