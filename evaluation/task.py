"""One run of an evaluation: a sampler on a problem, over models that others use as well."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from importlib.metadata import version
from math import isfinite
from platform import python_version
from typing import Any, NamedTuple

from ..models import Cost, QuestionTooLong
from ..ppl.posterior.posterior import Posterior
from ..ppl.statespace import StateSpaceModel
from ..samplers.base import AllParticlesDead, Sampler
from .arms import Arm
from .questions import Correct, Problem, verdicts
from .records import Record

USED = ("motes", "numpy", "jax", "torch", "transformers")


class Task(NamedTuple):
    """What is to be done: every arm on every problem."""

    problems: Sequence[Problem]
    arms: Sequence[tuple[Arm, Sampler]]
    seed: int
    declared: Mapping[str, Any]
    correct: Correct | None


def recorded(task: Task, number: int, loaded: tuple[Any, Any], shared: Any) -> Record:
    """Do one run, over stand-ins of the models, and say what came of it; all posteriors together would fill the memory."""
    i, k = divmod(number, len(task.arms))
    problem, (arm, _) = task.problems[i], task.arms[k]
    posterior, error, cost = _run_one(task, number, *map(shared, loaded))
    answers = {} if posterior is None else {answer: share for answer, share in posterior.answers.items() if answer is not None}
    right = dict(zip(answers, verdicts(list(answers), problem, task.correct), strict=True))
    answer = next(iter(answers), None)
    return Record(
        problem=i,
        question=problem.mark,
        right_answer=problem.answer,
        sampler=arm.name,
        arm=k,
        settings=arm.settings,
        seed=[task.seed, number],
        answer=answer,
        probability=0.0 if answer is None else answers[answer],
        right_probability=min(sum(share for answer, share in answers.items() if right[answer]), 1.0),
        right=answer is not None and right[answer],
        tokens=cost.generated_tokens,
        cost=cost.asdict(),
        log_evidence=None if posterior is None else _finite(posterior.log_evidence),
        ess=None if posterior is None or not len(posterior.ess) else _finite(float(posterior.ess[-1])),
        seconds=cost.seconds,
        versions=_versions(),
        error=error,
    )


def _run_one(task: Task, number: int, lm: Any, prm: Any) -> tuple[Posterior | None, str | None, Cost]:
    """The posterior, or why there is none: all particles died, or the question is too long; and the cost."""
    i, k = divmod(number, len(task.arms))
    model, began = StateSpaceModel(task.problems[i].question, lm=lm, prm=prm, **task.declared), time.perf_counter()
    try:
        posterior = task.arms[k][1].run(model, seed=(task.seed, number))
    except (AllParticlesDead, QuestionTooLong) as failure:
        return None, str(failure), replace(model.cost, seconds=time.perf_counter() - began)
    if posterior.settings.get("stopped") == "interrupt":  # in one of the user's functions: half a run is no result
        raise KeyboardInterrupt
    return posterior, None, posterior.cost


def _finite(value: float | None) -> float | None:
    return value if value is not None and isfinite(value) else None


@cache
def _versions() -> dict[str, str]:
    return {"python": python_version(), **{name: version(name) for name in USED}}
