"""The auxiliary particle filter: selected by what is promised, weighed by what was shown.

Before a move particle i is selected with probability rho_i in proportion to W_i v_i, where v_i is
its *future value*, the mean over short rollouts of the potentials that they meet. What is selected
carries on the weight W_i / (N rho_i), so that v is in no weight: any positive v is right, however
it was drawn, as long as the rollouts are not what the particle then writes (Pitt and Shephard 1999;
for power targets of language models APPS, arXiv:2605.02427).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from typing import NamedTuple

import numpy as np

from ... import checks
from ...aliases import PRNGKeys
from ...models.mixture import Law
from ...ppl.interfaces import Declared, Reasoning, Stepwise
from ...smc import Resampling, RunKeys, log_mean_exp, subkeys
from ..base import PopulationSampler
from ..run_facts import Advice
from .bound_filter import BoundFilter
from .power_smc import sharpened


@dataclass(frozen=True, kw_only=True)
class AuxiliaryParticleFilter(PopulationSampler):
    """Sequential Monte Carlo that selects by the value of short rollouts, and does not weigh by it.

    Target: the model's, whatever it declares. Guarantee: consistent as N grows; heuristic where a
    proposal of your own misses part of the prior's support, when cut off, and under a budget.
    Evidence: unbiased for Z. Cost of a step: the tokens of 1 + `rollouts` * `ahead` steps for each
    open living particle, and the reward model's pass over them. Source: Pitt and Shephard (1999);
    APPS, arXiv:2605.02427, whose weights are corrected here exactly.

    Attributes:
        particles, resampling, ess_threshold, budget: as of `ParticleFilter`; the effective sample
            size is that of the weights times the values.
        rollouts: drawn from each open particle, at least 1.
        ahead: steps of each rollout, at least 1.
        strength: the power of the value by which particles are selected, at least 0.
        floor: the least value as a part of the largest one of the step, above 0 and at most 1: a
            particle must not be given up for good by a few rollouts.
        proposal: what steps are drawn from; at temperature 1 / alpha (times the prior's) when None.

    Raises:
        TypeError, ValueError: an attribute is not of its kind, or out of its range.

    Example:
        >>> from motes.models import FunctionReward, TableLM
        >>> from motes.ppl import StateSpaceModel
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> prm = FunctionReward(lambda x: 1.0 - x.token_ids[-1])
        >>> model = StateSpaceModel("?", lm=lm, prm=prm, max_steps=4)
        >>> posterior = AuxiliaryParticleFilter(particles=8).run(model, seed=0)
        >>> posterior.guarantee, len(posterior.trajectories)
        ('consistent', 8)
    """

    resampling: str = "systematic"
    ess_threshold: float = 0.5
    rollouts: int = 2
    ahead: int = 2
    strength: float = 1.0
    floor: float = 1e-2

    name = "auxiliary_particle_filter"
    guarantee = "consistent"
    evidence = "unbiased"
    gentler = (
        Advice("trust the rollouts less (lower {strength})", only_if="strength"),
        Advice("draw more of them (raise {rollouts})"),
    )
    paper = "Pitt and Shephard (1999), doi:10.1080/01621459.1999.10474153; APPS, arXiv:2605.02427"
    step_cost = (
        "one step's tokens for each open living particle, and those of its rollouts; the reward "
        "model reads the new tokens of all"
    )

    def __post_init__(self) -> None:
        rule = Resampling(self.resampling, self.ess_threshold)
        checks.settle(
            self,
            ess_threshold=rule.ess_threshold,
            rollouts=checks.count("rollouts", self.rollouts),
            ahead=checks.count("ahead", self.ahead),
            strength=checks.number("strength", self.strength, least=0),
            floor=checks.number("floor", self.floor, most=1, above=0),
        )
        super().__post_init__()

    def proposed(self, model: Declared) -> Law | None:
        return self.proposal or sharpened(model.prior, model.alpha)

    def feynman_kac(self, model: Declared) -> FutureValues:
        proposal = self.proposed(model)
        return FutureValues(
            model.stepwise(proposal), proposal, self.rollouts, self.ahead, log(self.floor)
        )

    def resampler(self, model: Declared) -> Resampling:
        def look_ahead(t: int, particles: Sequence[Promising]) -> np.ndarray:
            return self.strength * np.array([particle.log_value for particle in particles])

        return Resampling(self.resampling, self.ess_threshold, look_ahead=look_ahead)

    def bind(self, model: Declared, keys: RunKeys) -> BoundAuxiliary:
        return BoundAuxiliary.of(self, model, keys)


class BoundAuxiliary(BoundFilter):
    """An auxiliary filter of a declared posterior."""

    def held(self, particle: Promising) -> Reasoning:
        return particle.particle


class Promising(NamedTuple):
    """A particle and what it promises.

    Attributes:
        particle: where it is.
        log_value: the log of its future value, in nats; 0 where it is closed.
    """

    particle: Reasoning
    log_value: float = 0.0


@dataclass(frozen=True, eq=False)
class FutureValues:
    """A declared posterior as a Feynman-Kac model whose particles know their future value.

    Attributes:
        stepwise: the declared posterior, step by step.
        proposal: what steps and rollouts are drawn from.
        rollouts: of each open particle.
        ahead: steps of each.
        log_floor: the least log of a value beside the largest one.
    """

    stepwise: Stepwise
    proposal: Law | None
    rollouts: int
    ahead: int
    log_floor: float

    def initial(self, keys: PRNGKeys, slots: int) -> list[Promising]:
        return [Promising(particle) for particle in self.stepwise.initial(keys, slots)]

    def open(self, particle: Promising) -> bool:
        return particle.particle.open

    def move(self, t: int, keys: PRNGKeys, particles: Sequence[Promising]) -> list[Promising]:
        before = [particle.particle for particle in particles]
        after = self.stepwise.step(self.proposal, subkeys(keys, 0), before)
        moved = [Promising(particle) for particle in after]
        going = [i for i, x in enumerate(after) if x.open and not x.impossible]
        if going:
            values = self._values(t, keys, after, going)
            for i, value in zip(going, values, strict=True):
                moved[i] = Promising(after[i], value)
        return moved

    def log_potential(
        self, t: int, before: Sequence[Promising], after: Sequence[Promising]
    ) -> np.ndarray:
        return self.stepwise.log_potential(
            t, [x.particle for x in before], [x.particle for x in after]
        )

    def _values(
        self, t: int, keys: PRNGKeys, particles: Sequence[Reasoning], going: Sequence[int]
    ) -> list[float]:
        """Return the log of the mean weight of each particle's rollouts, all drawn in one batch."""
        slots = np.repeat(going, self.rollouts).tolist()
        numbers = np.tile(np.arange(self.rollouts), len(going))
        ends = [particles[slot] for slot in slots]
        log_weights = np.zeros(len(ends))
        for step in range(self.ahead):
            rows = [
                row
                for row, x in enumerate(ends)
                if x.open and not x.impossible and log_weights[row] > -np.inf
            ]
            if not rows:
                break
            parts = (1 + step * self.rollouts + numbers[rows]).tolist()
            own = subkeys(keys, parts, [slots[row] for row in rows])
            before = [ends[row] for row in rows]
            after = self.stepwise.step(self.proposal, own, before)
            log_weights[rows] += self.stepwise.log_potential(t + 1 + step, before, after)
            for row, particle in zip(rows, after, strict=True):
                ends[row] = particle
        of_particles = log_weights.reshape(len(going), self.rollouts)
        return _lifted(
            [float(log_mean_exp(values)) for values in of_particles],
            self.log_floor,
            any_ended=len(going) < len(particles),
        )


def _lifted(values: Sequence[float], log_floor: float, *, any_ended: bool) -> list[float]:
    """Return log-values, none further below the largest of them than the floor.

    A power target makes all values small, so that no fixed number could tell the poor ones.

    Args:
        values: of the particles that go on; minus infinity where all rollouts died.
        log_floor: the log of the least part of the largest value.
        any_ended: whether others have ended, whose value is 1; it counts where all others died.

    Example:
        >>> _lifted([-100.0, -107.0], -5.0, any_ended=False)
        [-100.0, -105.0]
    """
    largest = max(values)
    if largest == -np.inf:
        return [log_floor if any_ended else 0.0] * len(values)
    return [max(value, largest + log_floor) for value in values]
