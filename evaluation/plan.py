"""What an evaluation is to do: every arm on every problem, some number of times.

A run is known by what it is of (problem, arm, repeat) and not by its place among others, so that
problems, arms and repeats can be added, or given in another order, and what was done stays done.
Its seed is a function of the same: the first 31 bits of a digest, to which the number of the repeat
is added.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, NamedTuple, TypeAlias

from .arms import Arm
from .questions import Problem

Key: TypeAlias = tuple[Any, ...]
"""What a run is of: question, right answer, copy, sampler, settings, repeat."""


class Place(NamedTuple):
    """Where a run stands in a plan.

    Attributes:
        problem, arm, repeat: their numbers, from 0.
    """

    problem: int
    arm: int
    repeat: int


class Asked(NamedTuple):
    """A problem as a file of results knows it.

    Attributes:
        question: the first 16 hexadecimal digits of the SHA-256 of the question.
        right_answer: as the problem states it.
        copy: 0 for the first problem of this question and answer, 1 for the next, and so on.
    """

    question: str
    right_answer: str
    copy: int


class Plan(NamedTuple):
    """What is to be done.

    Attributes:
        problems: in order, no two alike.
        arms: those that are asked for, or were before.
        repeats: how many independent runs each arm has on each problem.
    """

    problems: tuple[Asked, ...]
    arms: tuple[Arm, ...]
    repeats: int

    def keys(self) -> dict[Place, Key]:
        """Return what each run is of: problem by problem, and repeat by repeat."""
        arms = [arm.key for arm in self.arms]
        found = {}
        for repeat in range(self.repeats):
            for i, problem in enumerate(self.problems):
                for k, arm in enumerate(arms):
                    found[Place(i, k, repeat)] = (*problem, *arm, repeat)
        return found

    def and_also(self, other: Plan) -> Plan:
        """Return this plan, with what another has besides."""
        known = {arm.key for arm in self.arms}
        arms = (*self.arms, *(arm for arm in other.arms if arm.key not in known))
        problems = tuple(dict.fromkeys((*self.problems, *other.problems)))
        return Plan(problems, arms, max(self.repeats, other.repeats))

    def as_plain(self) -> dict[str, Any]:
        """Return the plan as JSON can hold it."""
        return {
            "problems": [list(problem) for problem in self.problems],
            "samplers": [{"name": arm.name, "settings": arm.settings} for arm in self.arms],
            "repeats": self.repeats,
        }


def planned(problems: Sequence[Problem], arms: Sequence[Arm], repeats: int) -> Plan:
    """Return the plan of all these."""
    copies: dict[tuple[str, str], int] = {}
    asked = []
    for problem in problems:
        same = problem.mark, problem.answer
        asked.append(Asked(*same, copies.get(same, 0)))
        copies[same] = asked[-1].copy + 1
    return Plan(tuple(asked), tuple(arms), repeats)


def read_plan(content: object) -> Plan | None:
    """Return the plan that `as_plain` wrote; None where it is something else."""
    if not isinstance(content, Mapping):
        return None
    problems: Any = content.get("problems")
    samplers: Any = content.get("samplers")
    repeats: Any = content.get("repeats")
    if not isinstance(problems, list) or not isinstance(samplers, list) or not _is_count(repeats):
        return None
    if not all(_is_asked(problem) for problem in problems) or not all(map(_is_arm, samplers)):
        return None
    arms = tuple(Arm(arm["name"], "", arm["settings"]) for arm in samplers)
    return Plan(tuple(Asked(*problem) for problem in problems), arms, repeats)


def run_number(key: Key) -> int:
    """Return the number of a run's seed, in [0, 2**32).

    All repeats of a problem and an arm have different ones.
    """
    *first, repeat = key
    digest = sha256(json.dumps(first).encode()).digest()
    return (int.from_bytes(digest[:4], "big") >> 1) + repeat


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_asked(value: object) -> bool:
    kinds = (str, str, int)
    return isinstance(value, list) and len(value) == 3 and all(map(isinstance, value, kinds))


def _is_arm(value: object) -> bool:
    if not isinstance(value, Mapping):
        return False
    return isinstance(value.get("name"), str) and isinstance(value.get("settings"), dict)
