"""One run of an evaluation: a sampler on a problem, over models that others use as well."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from importlib.metadata import version
from math import isfinite
from platform import python_version
from typing import Any, NamedTuple

from ..models import Cost, LanguageModel, QuestionTooLong, RewardModel
from ..models.own_time import own_seconds
from ..ppl.decisions import pool_of
from ..ppl.declaration import Declaration
from ..ppl.posterior.posterior import Posterior
from ..ppl.statespace import StateSpaceModel
from ..samplers.base import AllParticlesDead, Sampler
from .arms import Arm
from .plan import Key, Place, Plan, run_number
from .questions import Correct, Problem, verdicts
from .records import Record

USED = ("motes", "numpy", "jax", "torch", "transformers")


class Task(NamedTuple):
    """What is to be done, and how.

    Attributes:
        problems: as they were given.
        arms: with their samplers.
        plan: the same as the file of results knows it.
        seed: of all runs.
        declarations: what is to be sampled of each problem.
        correct: the user's word on what is right, if any.
        evaluation: the digest of the evaluation's arguments.
        texts: whether records keep what was written.
    """

    problems: Sequence[Problem]
    arms: Sequence[tuple[Arm, Sampler]]
    plan: Plan
    seed: int
    declarations: Sequence[Declaration]
    correct: Correct | None
    evaluation: str
    texts: bool


def recorded(task: Task, place: Place, key: Key, loaded: tuple[Any, Any], shared: Any) -> Record:
    """Do one run, over stand-ins of the models, and say what came of it.

    All posteriors together would fill the memory.
    """
    seed = task.seed, run_number(key)
    return record_of(task, place, seed, *_run_one(task, place, seed, *map(shared, loaded)))


def record_of(
    task: Task,
    place: Place,
    seed: tuple[int, int],
    posterior: Posterior | None,
    error: str | None,
    cost: Cost,
) -> Record:
    """Say what came of a run.

    Args:
        task: what is to be done.
        place: the run's.
        seed: the run's.
        posterior: that came back; None where none did.
        error: why none did.
        cost: of the run.
    """
    problem, (arm, _) = task.problems[place.problem], task.arms[place.arm]
    answers = (
        {}
        if posterior is None
        else {answer: share for answer, share in posterior.answers.items() if answer is not None}
    )
    drawn = [] if posterior is None else [x for x in posterior.labels if x is not None]
    drawn = list(dict.fromkeys([*answers, *drawn]))
    right = dict(zip(drawn, verdicts(drawn, problem, task.correct), strict=True))
    answer = next(iter(answers), None)
    asked = task.plan.problems[place.problem]
    return Record(
        problem=place.problem,
        question=asked.question,
        right_answer=asked.right_answer,
        copy=asked.copy,
        sampler=arm.name,
        arm=place.arm,
        settings=arm.settings,
        repeat=place.repeat,
        seed=list(seed),
        answer=answer,
        probability=0.0 if answer is None else answers[answer],
        right_probability=min(
            sum(share for answer, share in answers.items() if right[answer]), 1.0
        ),
        right=answer is not None and right[answer],
        tokens=cost.generated_tokens,
        cost=cost.asdict(),
        log_evidence=None if posterior is None else _finite(posterior.log_evidence),
        ess=None
        if posterior is None or not len(posterior.ess)
        else _finite(float(posterior.ess[-1])),
        seconds=cost.seconds,
        versions=_versions(),
        error=error,
        evaluation=task.evaluation,
        draws=None if posterior is None else pool_of(posterior).asdict(),
        right_answers=None if posterior is None else [x for x in drawn if right[x]],
        texts=_texts(posterior) if task.texts and posterior is not None else None,
    )


def _run_one(
    task: Task, place: Place, seed: tuple[int, int], lm: LanguageModel, prm: RewardModel
) -> tuple[Posterior | None, str | None, Cost]:
    """Return the posterior, or why there is none: all particles died, or the question is too long.

    And the cost.
    """
    began = own_seconds()
    model = StateSpaceModel.of(task.declarations[place.problem], lm, prm)
    try:
        posterior = task.arms[place.arm][1].run(model, seed=seed)
    except (AllParticlesDead, QuestionTooLong) as failure:
        return None, str(failure), replace(model.cost, seconds=own_seconds() - began)
    # in one of the user's functions: half a run is no result
    if posterior.provenance.stopped == "interrupt":
        raise KeyboardInterrupt
    return posterior, None, posterior.cost


def _texts(posterior: Posterior) -> list[str]:
    """Return what each draw says, with what JSON in UTF-8 cannot hold replaced."""
    return [x.text.encode("utf-8", "replace").decode("utf-8") for x in posterior.trajectories]


def _finite(value: float | None) -> float | None:
    return value if value is not None and isfinite(value) else None


@cache
def _versions() -> dict[str, str]:
    return {"python": python_version(), **{name: version(name) for name in USED}}
