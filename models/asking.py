"""What is asked of models, as data: so that what several ask at one moment can go out as one batch.

Questions to one model that have all in common but their rows are one call. Those to language models
over one network, under different prompts or laws, are one batch of it (see
`motes.models.language.joint_batch`).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

from .batched_methods import METHODS
from .protocols import shared_network, stands_in


class Question(NamedTuple):
    """What is asked of a model.

    Attributes:
        model: of whom.
        method: the name of what, in `METHODS`.
        rows: the arguments that have a row for each answer.
        common: those that hold for all rows, by place.
        named: those that hold for all rows, by name.
    """

    model: Any
    method: str
    rows: tuple[Sequence[Any], ...]
    common: tuple[Any, ...] = ()
    named: tuple[tuple[str, Any], ...] = ()

    @property
    def call(self) -> Hashable:
        """What questions must have in common to be one call."""
        return self.method, id(self.model), self.common, self.named

    @property
    def batch(self) -> Hashable:
        """What questions must have in common to be one batch."""
        if METHODS[self.method].across is None:
            return self.call
        network = shared_network(self.model)
        return self.call if network is None else (self.method, id(network))


def asked(questions: Sequence[Question]) -> list[Any]:
    """Ask several models at once; return what each answers, in order.

    The models of a run that goes with others wait until those have asked as well.

    Example:
        >>> from motes.models import Sampling, TableLM
        >>> lm = TableLM(lambda prefix: [0.5, 0.5])
        >>> named = (("prior", Sampling()),)
        >>> question = Question(lm, "logprob", ([lm.start("?")], [(0,)]), named=named)
        >>> [values] = asked([question])
        >>> values.round(3)
        array([-0.693])
    """
    if questions and stands_in(questions[0].model):
        return questions[0].model.ask_all(questions)
    return answered(questions)


def answered(questions: Sequence[Question]) -> list[Any]:
    """Answer questions in as few batches as can be, in order."""
    answers: list[Any] = [None] * len(questions)
    for group in batches(questions):
        for place, answer in zip(group, _together([questions[i] for i in group]), strict=True):
            answers[place] = answer
    return answers


def batches(questions: Sequence[Question]) -> list[list[int]]:
    """Return the places of questions that make one batch each."""
    groups: dict[Hashable, list[int]] = {}
    for place, question in enumerate(questions):
        groups.setdefault(question.batch, []).append(place)
    return list(groups.values())


def _together(questions: Sequence[Question]) -> list[Any]:
    """Answer questions that make one batch."""
    joined: dict[Hashable, list[int]] = {}
    for place, question in enumerate(questions):
        joined.setdefault(question.call, []).append(place)
    found = _called([_joined([questions[i] for i in places]) for places in joined.values()])
    answers: list[Any] = [None] * len(questions)
    for places, rows in zip(joined.values(), found, strict=True):
        first = 0
        for place in places:
            last = first + len(questions[place].rows[0])
            answers[place], first = rows[first:last], last
    return answers


def _joined(questions: Sequence[Question]) -> Question:
    """Return one question of questions that are one call."""
    columns: list[list[Any]] = [[] for _ in questions[0].rows]
    for question in questions:
        for column, rows in zip(columns, question.rows, strict=True):
            column.extend(rows)
    return questions[0]._replace(rows=tuple(columns))


def _called(questions: Sequence[Question]) -> list[Any]:
    """Call one model; or several over one network, in one batch."""
    method, [first, *others] = METHODS[questions[0].method], questions
    if not others:
        return [
            method.call(first.model, *method.join(*first.rows), *first.common, **dict(first.named))
        ]
    assert method.across is not None  # only such methods make batches of several models
    for question in questions:
        method.across.before(question.model, **dict(question.named))
    found = first.model.answer_together(questions)
    return [
        method.across.after(question.model, question.rows[0], answer)
        for question, answer in zip(questions, found, strict=True)
    ]
