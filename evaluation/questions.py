"""What is asked, and whether an answer to it is right."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import sha256
from itertools import islice
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from .. import checks
from ..ppl.answers import group
from .golds import read_gold

Correct: TypeAlias = Callable[[str, Any], bool]
"""Says whether an answer, as it was stated, is right for a problem, as it was given."""

MOST = 100_000  # problems; more are an iterator without end


class Problem(NamedTuple):
    """One problem of an evaluation.

    Attributes:
        number: its place among the problems, from 0.
        question: what is asked.
        answer: the right answer.
        given: the problem as the user gave it.
    """

    number: int
    question: str
    answer: str
    given: Any

    @property
    def mark(self) -> str:
        """The first 16 hexadecimal digits of the SHA-256 of its question in UTF-8."""
        return sha256(self.question.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def read_problems(
    problems: Iterable[Any], count: int | None, compared: bool = True
) -> list[Problem]:
    """Return the first `count` problems, checked; all of them where None.

    Args:
        problems: rows with `question` or `problem`, and `answer` or `solution`; or pairs of a
            question and an answer.
        count: how many to take.
        compared: whether their answers are compared with what models state, and so must be
            readable; see `motes.evaluation.golds`.

    Raises:
        TypeError, ValueError: they are no problems, none, or without end; the message names the
            place.
    """
    if isinstance(problems, str | bytes | Mapping) or not isinstance(problems, Iterable):
        raise TypeError(
            "problems must be several problems, each with a question and an answer, not "
            f"{problems!r:.100}"
        )
    if count is not None:
        count = checks.count("count", count)
    given = list(islice(problems, MOST + 1 if count is None else count))
    if not given:
        raise ValueError("problems must hold at least one problem")
    if len(given) > MOST and count is None:
        raise ValueError(
            "problems must end, or count must say how many of them to take: there are more than "
            f"{MOST}"
        )
    return [
        Problem(number, *_parts(number, problem, compared), problem)
        for number, problem in enumerate(given)
    ]


def verdicts(answers: Sequence[str], problem: Problem, correct: Correct | None) -> list[bool]:
    """Return whether each answer is right.

    The user's function decides, or else equal meaning as `motes.ppl.group` finds it.

    Raises:
        TypeError: `correct` gives something else than True or False.
    """
    if correct is None:
        *labels, right = group([*answers, problem.answer])
        return [label == right for label in labels]
    found = [correct(answer, problem.given) for answer in answers]
    if bad := [verdict for verdict in found if not isinstance(verdict, bool | np.bool_)]:
        raise TypeError(
            f"correct must map an answer and a problem to True or False, not to {bad[0]!r}"
        )
    return list(map(bool, found))


def _parts(number: int, problem: object, compared: bool) -> tuple[str, str]:
    """Return question and answer."""
    place = f"problems[{number}]"
    if isinstance(problem, tuple | list) and len(problem) == 2:
        question, answer, solution = *problem, None
    else:
        question = _first(problem, "question", "problem")
        answer, solution = _first(problem, "answer"), _first(problem, "solution")
    if not isinstance(question, str) or not question.strip():
        raise TypeError(
            f"{place} must have a question that is a text and not empty, not {question!r:.100}"
        )
    if compared or not isinstance(answer, str) or not answer.strip():
        return question, read_gold(place, answer, solution)
    return question, answer


def _first(problem: object, *names: str) -> Any:
    """Return the first of these columns, or attributes, that a problem has."""
    for name in names:
        value = problem.get(name) if isinstance(problem, Mapping) else getattr(problem, name, None)
        if value is not None:
            return value
    return None
