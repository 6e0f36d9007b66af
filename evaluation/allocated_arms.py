"""Arms of an evaluation whose runs on all problems share one budget of solutions.

What such an arm draws on one problem depends on the others, so that an arm on other problems is
another arm, and all of its runs of one repeat go together.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any

from ..models import QuestionTooLong
from ..ppl.statespace import StateSpaceModel
from ..samplers.allocation.allocated_runs import allocated
from ..samplers.allocation.allocated_sampler import Allocated
from ..samplers.base import Sampler
from .arms import Arm
from .plan import Key, Place, run_number
from .questions import Problem
from .records import Record
from .task import Task, record_of


def of_these(
    arms: Sequence[tuple[Arm, Sampler]], problems: Sequence[Problem]
) -> list[tuple[Arm, Sampler]]:
    """Return the arms, with the problems among the settings of those that share a budget."""
    marks = [[problem.mark, problem.answer] for problem in problems]
    digest = sha256(json.dumps(marks).encode()).hexdigest()[:16]
    found = []
    for arm, sampler in arms:
        if isinstance(sampler, Allocated):
            arm = arm._replace(settings={**arm.settings, "problems": digest})
        found.append((arm, sampler))
    return found


def split(
    task: Task, missing: Sequence[tuple[Place, Key]]
) -> tuple[list[tuple[Place, Key]], list[tuple[int, int]]]:
    """Return the runs that go alone, and the (arm, repeat) of those that go together."""
    alone = [
        (place, key) for place, key in missing if not isinstance(task.arms[place.arm][1], Allocated)
    ]
    apart = {place for place, _ in alone}
    together = [(place.arm, place.repeat) for place, _ in missing if place not in apart]
    return alone, list(dict.fromkeys(together))


def recorded_together(
    task: Task,
    arm: int,
    repeat: int,
    keys: Mapping[Place, Key],
    loaded: tuple[Any, Any],
) -> Iterator[Record]:
    """Do the runs of an arm on all problems, and say what came of each.

    A problem whose question is too long for a model gets nothing of the budget.

    Args:
        task: what is to be done.
        arm, repeat: their numbers.
        keys: of all runs.
        loaded: the language model and the reward model.
    """
    sampler = task.arms[arm][1]
    assert isinstance(sampler, Allocated)
    able: list[tuple[Place, tuple[int, int], StateSpaceModel]] = []
    for number, declaration in enumerate(task.declarations):
        place = Place(number, arm, repeat)
        seed = task.seed, run_number(keys[place])
        model = StateSpaceModel.of(declaration, *loaded)
        try:
            model.root()
        except QuestionTooLong as failure:
            yield record_of(task, place, seed, None, str(failure), type(model.cost)())
            continue
        able.append((place, seed, model))
    models = [model for _, _, model in able]
    seeds = [seed for _, seed, _ in able]
    outcomes = allocated(sampler.sampler, models, sampler.rule, seeds)
    for (place, seed, _), found in zip(able, outcomes, strict=True):
        error = None if found.death is None else str(found.death)
        yield record_of(task, place, seed, found.posterior, error, found.cost)
