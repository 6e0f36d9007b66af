"""Particle Gibbs over the parameters of a program and its reasoning in turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax.numpy as jnp
import numpy as np

from ... import checks
from ...aliases import PRNGKey
from ...ppl.interfaces import Declared
from ...ppl.programs.execution import Execution
from ...ppl.programs.parameters import Density, parameters, rebuilt, unconstrained
from ...ppl.programs.program import Program
from ...ppl.programs.subinference import SubInference
from ...smc import RunKeys, subkeys
from ...smc.conditional_smc import check_conditional
from .chain_sampler import ChainSampler
from .parameter_chains import BoundParameters, check_program, filter_rule, settle_parameters
from .parameter_kernels import KERNELS, transition
from .reasoning_gibbs import gibbs_moves


@dataclass(frozen=True, kw_only=True)
class ParameterGibbs(ChainSampler):
    """Particle Gibbs over parameters and reasoning in turn.

    Conditional SMC for the one, a BlackJAX kernel for the other.

    Target: the program's posterior, of parameters and all else jointly. Guarantee: invariant, at
    every N >= 2. Evidence: none. Cost of a step (an iteration): a particle filter of N - 1
    particles for each chain; moving the parameters asks no model anything. Source: Andrieu, Doucet
    and Holenstein (2010), section 2.4.3; NUTS: Hoffman and Gelman (2014).

    Attributes:
        iterations, warmup, chains, starts: as of every chain: see `motes.samplers.ChainSampler`.
        tries: filters drawn for the start of a chain, at most, each at parameters of its own from
            the prior.
        particles: N of each filter.
        resampling: one of `motes.smc.CONDITIONAL`.
        ess_threshold: kappa in [0, 1]: resample when ESS < kappa N.
        step_size: of the proposal, in unconstrained coordinates, above 0; found in the
            warm-up, from there, if there is one.
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

    tries: int = 100
    particles: int = 16
    resampling: str = "systematic"
    ess_threshold: float = 0.5
    step_size: float = 0.5
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
        settle_parameters(self)
        super().__post_init__()
        check_conditional(self.particles, filter_rule(self))

    def check(self, model: Declared) -> None:
        check_program(self.name, model)

    @property
    def aim(self) -> float:
        """The share of proposals to accept, for which the step size is tuned."""
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
                filter_rule(sampler),
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
        """Move the parameters of the program's run, and count how often that was accepted."""
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
            key_of_move = subkeys(key, number)[0]
            u, rate = transition(sampler.kernel, density, key_of_move, u, step_size)
            rates.append(rate)
        values = density(u).values
        return rebuilt(program.given_values(values), execution), float(np.mean(rates))


def _given(program: Program, execution: Execution) -> Program:
    return program.given_values({draw.name: draw.value for draw in parameters(program, execution)})
