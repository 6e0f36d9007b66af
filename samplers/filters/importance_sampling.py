"""Importance sampling: independent trajectories, weighed when they are complete.

The baseline of everything else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any, NamedTuple

import numpy as np

from ... import checks
from ...ppl.interfaces import Declared, Reasoning, Stepwise
from ...ppl.statespace import StateSpaceModel
from ...smc import History, Resampling, RunKeys, State, advance, ess, normalise, start
from ...smc.driver import movable
from ..base import AllParticlesDead, PopulationSampler
from ..bound import BoundSampler, Draws
from ..run_facts import Advice
from ..stopping.drawn_solutions import Solutions
from ..stopping.looking import ended, first_stop
from ..stopping.stopping_rule import StoppingRule
from ..stopping.stopping_rules import stopping_rule

NEVER = Resampling(ess_threshold=0)


class Blocks(NamedTuple):
    """Blocks of independent trajectories: those that are complete, and the one under way.

    Attributes:
        particles: of the complete blocks, N each.
        current: the block under way; None between blocks.
        root: what they begin with, before any step.
        steps: taken so far.
        enough: how many of the complete trajectories were enough for the stopping rule; 0 before it
            has stopped.
    """

    particles: tuple[Reasoning, ...]
    current: State | None
    root: Reasoning
    steps: int
    enough: int = 0


@dataclass(frozen=True, kw_only=True)
class ImportanceSampling(PopulationSampler):
    """Independent trajectories with self-normalised weights gamma(x) / q(x).

    Target: the model's, whatever it declares. Guarantee: consistent as N grows; heuristic where the
    proposal misses part of the prior's support, and under a stopping rule that looks at answers.
    Evidence: unbiased for Z, the mean of gamma / q; consistent under a budget, where the number of
    trajectories depends on how long they were; none under a rule that looks at answers. Cost
    of a step: the tokens of one step for each open living trajectory, and the reward model's pass
    over the new tokens of each distinct one. Source: Kong, Liu and Wong (1994); Owen (2013),
    chapter 9.

    Attributes:
        particles: N, trajectories of a block; without a budget there is one block. With a stopping
            rule the most that are drawn.
        proposal: what steps are drawn from; the model's prior when None.
        budget: generated tokens after which no new block is begun (a block that was begun is
            finished: to drop what takes long would bend the target). What bias is left, since many
            trajectories are drawn where they are short, vanishes as the budget grows. None for one
            block.
        stop: when enough has been drawn: a rule of `motes.samplers.stopping`, its name, or its name
            with settings; None for no rule.
        batch: trajectories drawn at once under a rule, which looks after each of them: what a batch
            draws beyond its end is paid for, and left out.

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

    stop: StoppingRule | str | Mapping[str, Any] | None = field(
        default=None, metadata={"later": True}
    )
    batch: int = field(default=4, metadata={"later": True})

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

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.settle(self, batch=checks.count("batch", self.batch))
        if self.stop is not None:
            checks.settle(self, stop=stopping_rule(self.stop))

    @property
    def rule(self) -> StoppingRule | None:
        """The stopping rule, if there is one."""
        return None if self.stop is None else stopping_rule(self.stop)

    def check(self, model: Declared) -> None:
        if self.rule is not None:
            scored = model.settings().get("prm") is not None
            self.rule.check(scored=scored, bounded=self.log_bound(model) < inf)

    def log_bound(self, model: Declared) -> float:
        """Return the most that log gamma / q can be, in nats; infinity where nothing is known."""
        from_prior = self.proposed(model) == model.prior
        if not isinstance(model, StateSpaceModel) or not from_prior or model.alpha < 1:
            return inf
        return 0.0 if model.likelihood is None else model.likelihood.log_bound

    def bind(self, model: Declared, keys: RunKeys) -> BoundBlocks:
        return BoundBlocks(self, model, keys, self.proposed(model))


@dataclass(frozen=True, eq=False)
class BoundBlocks(BoundSampler[Blocks]):
    """Blocks of independent trajectories of a declared posterior."""

    _of_root: list[tuple[Reasoning, Stepwise]] = field(default_factory=list, init=False, repr=False)
    _seen: list[tuple[str | None, float]] = field(default_factory=list, init=False, repr=False)

    def init(self) -> Blocks:
        return Blocks((), None, self.model.root(), 0)

    def step(self, state: Blocks) -> Blocks:
        keys, slots = self._next_block(state)
        stepwise = self._stepwise(state)
        current = state.current or start(stepwise, keys, slots)
        population = advance(stepwise, current, keys, NEVER).state
        if len(movable(stepwise, population.particles, population.log_weights)):
            return state._replace(current=population, steps=state.steps + 1)
        complete = (*state.particles, *population.particles)
        after = Blocks(complete, None, state.root, state.steps + 1)
        if self.sampler.rule is None:
            return after
        looked = len(state.particles)
        enough = first_stop(self.sampler.rule, self.solutions(after), looked)
        return after._replace(enough=enough)

    def _next_block(self, state: Blocks) -> tuple[RunKeys, int]:
        """Give the keys of the block under way, or of the next one, and how many slots it has."""
        done, most = len(state.particles), self.sampler.particles
        if self.sampler.rule is None:
            return replace(self.keys, iteration=done // most), most
        return replace(self.keys, part=(done, most)), min(self.sampler.batch, most - done)

    def done(self, state: Blocks) -> bool:
        if self.sampler.rule is not None:
            return state.enough > 0 or len(state.particles) >= self.sampler.particles
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
        kept = state.particles[: state.enough or None]
        stepwise = self._stepwise(state)
        history = independent([stepwise.log_potentials(x) for x in kept])
        if (log_evidence := float(history.log_increments.sum())) == -inf:
            raise AllParticlesDead(int(np.argmax(history.log_increments == -inf)) + 1, len(kept))
        rule = self.sampler.rule
        fixed = self.sampler.budget is None and len(kept) == self.sampler.particles
        drawn = Draws(
            kept,
            history.log_weights[-1],
            log_evidence,
            history,
            evidence="unbiased" if fixed else "consistent",
        )
        return drawn if rule is None else self._stopped(rule, state, drawn)

    def _stopped(self, rule: StoppingRule, state: Blocks, drawn: Draws) -> Draws:
        """Give what a run with a stopping rule amounts to."""
        most = self.sampler.particles
        stopping, voters = ended(rule, self.solutions(state), state.enough, most)
        if not rule.looks_at_answers:
            known = stopping.enough and self.sampler.budget is None
            return drawn._replace(
                stopping=stopping, evidence="unbiased" if known else drawn.evidence
            )
        log_weights = drawn.log_weights
        if voters is not None:
            silent = np.ones(len(log_weights), bool)
            silent[list(voters)] = False
            log_weights, _ = normalise(np.where(silent, -inf, log_weights))
        return Draws(drawn.particles, log_weights, stopping=stopping, guarantee="heuristic")

    def solutions(self, state: Blocks) -> Solutions:
        """Give the complete trajectories as a stopping rule sees them."""
        stepwise = self._stepwise(state)
        for x in state.particles[len(self._seen) :]:
            self._seen.append((self.model.answer_of(x), sum(stepwise.log_potentials(x))))
        seen = self._seen[: len(state.particles)]
        scored = self.model.settings().get("prm") is not None
        return Solutions(
            answers=tuple(answer for answer, _ in seen),
            log_weights=np.array([weight for _, weight in seen], np.float64),
            log_bound=self.sampler.log_bound(self.model),
            log_odds=tuple(x.log_odds for x in state.particles) if scored else None,
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
    """Make the history of independent trajectories, from the log-potentials of their steps.

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
