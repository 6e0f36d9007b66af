"""Runs on several questions that share a budget of solutions by an allocation.

Every round goes on with the runs of the questions that the allocation chose, in shared batches. A
run's draws are the first of those that it would draw alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from ...models import Cost, run_batched
from ...models.own_time import own_seconds
from ...ppl.interfaces import Declared
from ...ppl.posterior.posterior import Posterior
from ..base import AllParticlesDead, Sampler, run_keys
from ..filters.importance_sampling import Blocks, ImportanceSampling
from ..run import concluded
from ..search.majority_vote import MajorityVote
from ..stopping.drawn_solutions import Solutions
from ..stopping.stopping_rule import StoppingRule, Verdict, leader
from .allocation_base import Allocation

Given: TypeAlias = Callable[[int], Any]


@dataclass(frozen=True, kw_only=True)
class Share(StoppingRule):
    """Stop at the number of solutions that an allocation has given to a question.

    Attributes:
        draws: how many.
        allocation: that gave them, after looking at answers.

    Example:
        >>> from motes.samplers.allocation import KnowledgeGradient
        >>> rule = Share(draws=2, allocation=KnowledgeGradient(budget=8))
        >>> seen = Solutions(("18",) * 2, np.zeros(2))
        >>> rule.stop(seen.first(1)), rule.stop(seen).answer
        (None, '18')
    """

    draws: int
    allocation: Allocation

    name = "share"
    paper = ""

    def stop(self, solutions: Solutions) -> Verdict | None:
        if len(solutions) < self.draws:
            return None
        said = (
            f"{self.draws} of {self.allocation.budget} solutions for all questions were given to "
            f"this one by {self.allocation.name!r}; the answer is their vote"
        )
        return Verdict(leader(solutions), said)


@dataclass(frozen=True, kw_only=True)
class EqualShare(Share):
    """Stop at a number of solutions that depends on no answer.

    Attributes:
        draws, allocation: as of `Share`.

    Example:
        >>> from motes.samplers.allocation import EqualShares
        >>> EqualShare(draws=2, allocation=EqualShares(budget=8)).looks_at_answers
        False
    """

    looks_at_answers = False


class _Course(NamedTuple):
    """A question's run under way.

    Attributes:
        state: of its sampler; None before the first round.
        seen: its solutions.
        cost: so far.
    """

    state: Blocks | None
    seen: Solutions
    cost: Cost


class Outcome(NamedTuple):
    """What a question's run has come to.

    Attributes:
        posterior: of its solutions; None where all of them died.
        death: the error that says so; None where there is a posterior.
        cost: of the run.

    Example:
        >>> Outcome(None, AllParticlesDead(1, 8), Cost()).posterior is None
        True
    """

    posterior: Posterior | None
    death: AllParticlesDead | None
    cost: Cost


NOTHING = _Course(None, Solutions((), np.zeros(0)), Cost())


def allocated(
    sampler: Sampler,
    models: Sequence[Declared],
    rule: Allocation,
    seeds: Sequence[tuple[int, int]],
    given: Given | None = None,
) -> list[Outcome]:
    """Run a sampler of independent solutions on several questions, within one budget for all.

    Args:
        sampler: importance sampling or a majority vote, without a stopping rule or a budget of
            tokens; its number of solutions is the most that a question gets.
        models: the declared posteriors, over the same models.
        rule: the allocation.
        seeds: of each question's run.
        given: told of the solutions of each round.

    Returns:
        The outcome of each question; its posterior's `provenance.stopping` tells what it was given.

    Raises:
        TypeError: the sampler draws no independent solutions.
        ValueError: it has a stopping rule or a budget of its own, or the allocation's budget does
            not suffice.

    Example:
        >>> from motes.models import TableLM
        >>> from motes.ppl import StateSpaceModel
        >>> from motes.samplers.allocation import EqualShares
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> models = [StateSpaceModel(question, lm=lm, prm=None) for question in "?!"]
        >>> rule = EqualShares(budget=6, least=1)
        >>> both = allocated(MajorityVote(), models, rule, [(0, 0), (0, 1)])
        >>> [len(found.posterior.trajectories) for found in both]
        [3, 3]
    """
    drawing = [_independent(sampler, model) for model in models]
    most = [alone.particles for alone, _ in drawing]
    courses = [NOTHING] * len(models)
    grants, round = rule.first(most), 0
    while grants:
        runs = []
        for grant in grants:
            alone, model = drawing[grant.question]
            course, seed = courses[grant.question], seeds[grant.question]
            more = grant.draws - len(course.seen)
            going = replace(alone, stop=_share(rule, grant.draws), batch=more)
            runs.append(partial(_gone_on, going, model, course, seed))
        before = sum(len(course.seen) for course in courses)
        for grant, course in zip(grants, run_batched(runs), strict=True):
            courses[grant.question] = course
        if given is not None:
            given(sum(len(course.seen) for course in courses) - before)
        round += 1
        grants = rule.next([course.seen for course in courses], most, round)
    return [
        _ended(rule, alone, model, course, seed)
        for (alone, model), course, seed in zip(drawing, courses, seeds, strict=True)
    ]


def check_allocated(sampler: Sampler) -> None:
    """Raise what is wrong with a sampler whose solutions are to be allocated.

    Raises:
        TypeError, ValueError: as `allocated` does.
    """
    if not isinstance(sampler, ImportanceSampling | MajorityVote):
        raise TypeError(
            "allocation is for samplers of independent solutions, importance_sampling and "
            f"majority_vote, not for {sampler!r}"
        )
    budget = sampler.budget if isinstance(sampler, ImportanceSampling) else None
    if sampler.stop is not None or budget is not None:
        raise ValueError(
            "a sampler whose solutions are allocated has neither a stopping rule nor a budget of "
            f"its own, as {sampler!r} has"
        )


def _independent(sampler: Sampler, model: Declared) -> tuple[ImportanceSampling, Declared]:
    """Return the sampler that draws solutions, and what it samples."""
    check_allocated(sampler)
    if isinstance(sampler, MajorityVote):
        return sampler.votes(model)
    assert isinstance(sampler, ImportanceSampling)
    sampler.check(model)
    return sampler, model


def _share(rule: Allocation, draws: int) -> Share:
    """Return the rule that stops a question's run at its share."""
    kind = Share if rule.looks_at_answers else EqualShare
    return kind(draws=draws, allocation=rule)


def _gone_on(
    sampler: ImportanceSampling,
    model: Declared,
    course: _Course,
    seed: tuple[int, int],
    shared: Callable[[Any], Any],
) -> _Course:
    """Go on with a question's run until it has its share."""
    own = sampler.over(model.via(shared))
    before, began = own.cost, own_seconds()
    bound = sampler.bind(own, run_keys(seed))
    state = bound.init() if course.state is None else course.state._replace(enough=0)
    while not bound.done(state):
        state = bound.step(state)
    cost = replace(own.cost - before, seconds=own_seconds() - began)
    return _Course(state, bound.solutions(state), course.cost + cost)


def _ended(
    rule: Allocation,
    sampler: ImportanceSampling,
    model: Declared,
    course: _Course,
    seed: tuple[int, int],
) -> Outcome:
    """Return what a question's run has come to."""
    stop = _share(rule, len(course.seen))
    bound = replace(sampler, stop=stop).bind(sampler.over(model), run_keys(seed))
    try:
        return Outcome(concluded(bound, course.state, seed, course.cost), None, course.cost)
    except AllParticlesDead as death:
        return Outcome(None, death, course.cost)
