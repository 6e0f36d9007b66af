"""Chains of a program's parameters: the continuous latents that it draws before anything else.

    particle marginal Metropolis-Hastings    theta' is proposed, and accepted by its particle
                                             filter's estimate of p(theta') Z(theta')
    particle Gibbs                           theta given the reasoning by a BlackJAX kernel, the
                                             reasoning given theta by conditional SMC

Both leave the program's posterior invariant, however few particles there are (Andrieu, Doucet and
Holenstein 2010). Here is what they share: an iteration, and the search for a step size.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp
from typing import Any, NamedTuple, Protocol

import numpy as np
from blackjax.adaptation.step_size import dual_averaging_adaptation

from ... import checks
from ...ppl.interfaces import Declared
from ...ppl.programs.program import Program
from ...smc import Resampling, RunKeys
from .chain_sampler import BoundChains, Chains, Swept


class ParameterSampler(Protocol):
    """What both samplers are configured by, besides what every chain is.

    Attributes:
        particles: N of each filter.
        resampling: one of `motes.smc.SCHEMES`, or "chopthin".
        ess_threshold: kappa in [0, 1]: resample when ESS < kappa N.
        step_size: of the proposal, in unconstrained coordinates, above 0; found in the warm-up,
            from there, if there is one.
    """

    @property
    def particles(self) -> int: ...

    @property
    def resampling(self) -> str: ...

    @property
    def ess_threshold(self) -> float: ...

    @property
    def step_size(self) -> float: ...


def settle_parameters(sampler: ParameterSampler) -> None:
    """Keep these settings in their plain types; for a sampler's `__post_init__`.

    Raises:
        TypeError, ValueError: one is not of its kind, or out of its range.
    """
    checks.settle(
        sampler,
        particles=checks.count("particles", sampler.particles),
        ess_threshold=filter_rule(sampler).ess_threshold,
        step_size=checks.positive("step_size", sampler.step_size),
    )


def filter_rule(sampler: ParameterSampler) -> Resampling:
    """Say when a sampler's filters resample, and how."""
    return Resampling(sampler.resampling, sampler.ess_threshold)


def check_program(name: str, model: Declared) -> None:
    """Raise ValueError where the sampler of this name is given something else than a program."""
    if not isinstance(model, Program):
        raise ValueError(f"{name!r} samples the parameters of a Program, and {model!r} is none")


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
        first = Tuning(self.sampler.aim).start(self.sampler.step_size)
        tuning = state.memory or [first] * self.sampler.chains
        step_sizes = [each.step_size(searching) for each in tuning]
        moved = self.moved(keys, state.current, step_sizes)
        acceptance = np.array([rate for _, rate in moved])
        if searching:
            tuning = [
                each.update(rate) for each, rate in zip(tuning, acceptance.tolist(), strict=True)
            ]
        tallies = {"acceptance": acceptance, "step_size": np.array(step_sizes)}
        return Swept([particle for particle, _ in moved], tallies, tuning)

    def rates(self, tallies: Mapping[str, np.ndarray], iterations: int) -> dict[str, Any]:
        return {name: (tallies[name] / iterations).tolist() for name in ("acceptance", "step_size")}


class Tuning(NamedTuple):
    """Dual averaging of a chain's step size towards a rate of acceptance.

    Source: Nesterov (2009); Hoffman and Gelman (2014), section 3.2.

    Attributes:
        aim: share of proposals to accept.
        least: the smallest step size.
        state: BlackJAX's.
    """

    aim: float
    least: float = 0.0
    state: Any = None

    def start(self, step_size: float) -> Tuning:
        """Begin with a step size; none will be smaller than a hundredth of it."""
        init, _, _ = dual_averaging_adaptation(self.aim)
        return self._replace(least=0.01 * step_size, state=init(step_size))

    def update(self, acceptance: float) -> Tuning:
        """Learn how probable it was that the last proposal was accepted."""
        _, update, _ = dual_averaging_adaptation(self.aim)
        return self._replace(state=update(self.state, acceptance))

    def step_size(self, searching: bool) -> float:
        """Give the step size to try next, or, after the search, the average of those tried."""
        log_step_size = self.state.log_step_size_avg
        # the average means nothing before the first update
        if searching or self.state.step == 1:
            log_step_size = self.state.log_step_size
        # where an estimate is noisy not even a step of no length is always accepted
        return max(exp(float(log_step_size)), self.least)
