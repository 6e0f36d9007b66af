"""Importance sampling: independent trajectories, weighed when they are complete.

The baseline of everything else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any, NamedTuple

import numpy as np

from ...ppl.interfaces import Declared, Reasoning, Stepwise
from ...smc import History, Resampling, RunKeys, State, advance, ess, normalise, start
from ...smc.driver import movable
from ..base import AllParticlesDead, PopulationSampler
from ..bound import BoundSampler, Draws
from ..run_facts import Advice

NEVER = Resampling(ess_threshold=0)


class Blocks(NamedTuple):
    """Blocks of independent trajectories: those that are complete, and the one under way.

    Attributes:
        particles: of the complete blocks, N each.
        current: the block under way; None between blocks.
        root: what they begin with, before any step.
        steps: taken so far.
    """

    particles: tuple[Reasoning, ...]
    current: State | None
    root: Reasoning
    steps: int


@dataclass(frozen=True, kw_only=True)
class ImportanceSampling(PopulationSampler):
    """Independent trajectories with self-normalised weights gamma(x) / q(x).

    Target: the model's, whatever it declares. Guarantee: consistent as N grows; heuristic where the
    proposal misses part of the prior's support. Evidence: unbiased for Z, the mean of gamma / q;
    consistent under a budget, where the number of trajectories depends on how long they were. Cost
    of a step: the tokens of one step for each open living trajectory, and the reward model's pass
    over the new tokens of each distinct one. Source: Kong, Liu and Wong (1994); Owen (2013),
    chapter 9.

    Attributes:
        particles: N, trajectories of a block; without a budget there is one block.
        proposal: what steps are drawn from; the model's prior when None.
        budget: generated tokens after which no new block is begun (a block that was begun is
            finished: to drop what takes long would bend the target). What bias is left, since many
            trajectories are drawn where they are short, vanishes as the budget grows. None for one
            block.

    Raises:
        TypeError, ValueError: an attribute is not of its kind, or out of its range.

    Example:
        >>> from motes.models import FunctionReward, TableLM
        >>> from motes.ppl import StateSpaceModel
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> prm = FunctionReward(lambda x: 1.0 - x.token_ids[-1])
        >>> model = StateSpaceModel("?", lm=lm, prm=prm, max_steps=4)
        >>> posterior = ImportanceSampling(particles=8).run(model, seed=0)
        >>> posterior.guarantee, len(posterior.trajectories)
        ('consistent', 8)
    """

    name = "importance_sampling"
    independent = True
    bent_by_budget = False
    gentler = (
        Advice("weigh on the way (sampler='particle_filter')"),
        Advice("move whole solutions (sampler='tempered_smc')"),
    )
    guarantee = "consistent"
    evidence = "unbiased"
    paper = "Kong, Liu and Wong (1994), doi:10.1080/01621459.1994.10476469"
    step_cost = (
        "one step's tokens for each open living trajectory; the reward model reads the new tokens "
        "of each distinct one"
    )

    def bind(self, model: Declared, keys: RunKeys) -> BoundBlocks:
        return BoundBlocks(self, model, keys, self.proposed(model))


@dataclass(frozen=True, eq=False)
class BoundBlocks(BoundSampler[Blocks]):
    """Blocks of independent trajectories of a declared posterior."""

    _of_root: list[tuple[Reasoning, Stepwise]] = field(default_factory=list, init=False, repr=False)

    def init(self) -> Blocks:
        return Blocks((), None, self.model.root(), 0)

    def step(self, state: Blocks) -> Blocks:
        n = self.sampler.particles
        keys = replace(self.keys, iteration=len(state.particles) // n)
        stepwise = self._stepwise(state)
        current = state.current or start(stepwise, keys, n)
        population = advance(stepwise, current, keys, NEVER).state
        if len(movable(stepwise, population.particles, population.log_weights)):
            return state._replace(current=population, steps=state.steps + 1)
        return Blocks((*state.particles, *population.particles), None, state.root, state.steps + 1)

    def done(self, state: Blocks) -> bool:
        return self.sampler.budget is None and len(state.particles) > 0

    def whole(self, state: Blocks) -> bool:
        return state.current is None

    def count(self, state: Blocks) -> int:
        return state.steps

    def total(self) -> int | None:
        return super().total() if self.sampler.budget is None else None

    def vitals(self, state: Blocks) -> Mapping[str, Any]:
        return {"complete": len(state.particles)}

    def draws(self, state: Blocks, complete: bool) -> Draws:
        if not state.particles:  # interrupted in the first block
            assert state.current is not None
            return Draws(
                list(state.current.particles), state.current.log_weights, guarantee="heuristic"
            )
        stepwise = self._stepwise(state)
        history = independent([stepwise.log_potentials(x) for x in state.particles])
        if (log_evidence := float(history.log_increments.sum())) == -inf:
            raise AllParticlesDead(
                int(np.argmax(history.log_increments == -inf)) + 1, len(state.particles)
            )
        fixed = self.sampler.budget is None and len(state.particles) == self.sampler.particles
        return Draws(
            state.particles,
            history.log_weights[-1],
            log_evidence,
            history,
            evidence="unbiased" if fixed else "consistent",
        )

    def _stepwise(self, state: Blocks) -> Stepwise:
        """Give the model as a filter samples it, from this state's root.

        The root may have come out of a checkpoint.
        """
        known = self._of_root
        if known and known[0][0] is state.root:
            return known[0][1]
        known[:] = [(state.root, self.model.stepwise(self.proposed, root=state.root))]
        return known[0][1]


def independent(log_potentials: Sequence[Sequence[float]]) -> History:
    """The history of independent trajectories, from the log-potentials of their steps.

    One that has died or ended stays as it is.
    """
    n, steps = len(log_potentials), max(map(len, log_potentials))
    totals = np.zeros((steps + 1, n))
    for i, values in enumerate(log_potentials):
        totals[1:, i] = np.cumsum([*values, *[0.0] * (steps - len(values))])
    normalised = [normalise(row) for row in totals]
    log_weights = np.array([row for row, _ in normalised[1:]])
    sums = np.array([total for _, total in normalised])
    died = sums[1:] == -inf
    with np.errstate(invalid="ignore"):
        increments = np.where(died, np.where(sums[:-1] == -inf, 0.0, -inf), np.diff(sums))
    return History(
        ess=np.array([ess(row) for row in log_weights]),
        resampled=np.zeros(steps, bool),
        log_increments=increments,
        ancestors=np.tile(np.arange(n), (steps, 1)),
        log_weights=log_weights,
    )
