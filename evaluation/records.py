"""What is written down of one run, and whether a line of a file is such a record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from math import isfinite
from typing import Any

from ..ppl.decisions import Pool
from .arms import arm_key
from .plan import Key, Place


@dataclass(frozen=True, kw_only=True)
class Record:
    """What one sampler made of one problem.

    Attributes:
        problem: its number, from 0.
        question: the first 16 hexadecimal digits of the SHA-256 of the question.
        right_answer: as the problem states it.
        copy: 0, or how many problems before it have the same question and right answer.
        sampler: the method, by its name in `samplers`.
        arm: the number of method and budget, from 0, in the order of `samplers`.
        settings: of the sampler, in plain values.
        repeat: which of the runs of this arm on this problem, from 0.
        seed: of the run: `motes.solve(question, sampler=..., seed=tuple(seed), ...)` repeats it.
        answer: the most probable one; None where none was stated, or all particles died.
        probability: of the answer; 0 where there is none.
        right_probability: of all answers that are right.
        right: whether the answer is.
        tokens: generated, by language models, those of dead particles included.
        cost: everything that was computed, as `motes.models.Cost` counts it: what falls to this run
            in the batches it shared, so that all but generated tokens depends on the company.
        log_evidence: nats; None of chains, and where all particles died.
        ess: the last effective sample size; None where it is not defined, or all particles died.
        seconds: the run's share of the time that passed; all runs' together are the evaluation's.
        versions: of motes and what it computes with.
        error: that all particles died, and at which step; None where a posterior came back. Such a
            run counts as wrong.
        evaluation: the digest of the evaluation's arguments that it belongs to.
        draws: every draw with its answer, weight, scores, log-probability, tokens and end, in plain
            values: `motes.ppl.decisions.pool_of` reads them. None where no posterior came back,
            and in files of before they were kept.
        right_answers: those of the draws' answers that are right, whatever their weight; None where
            there are no draws.
        texts: of each draw what was written, in the order of `draws`; None where the evaluation
            was not asked to keep them.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import motes
        >>> from motes.models import TableLM
        >>> from motes.samplers import MajorityVote
        >>> file = Path(tempfile.mkdtemp()) / "results.jsonl"
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> ask = {"lm": lm, "prm": None, "max_steps": 3, "progress": False, "results": file}
        >>> first = lambda x: str(x.token_ids[0]) if x.finished else None
        >>> vote = {"vote": MajorityVote(samples=3)}
        >>> evaluation = motes.evaluate([("?", 1), ("!", 0)], samplers=vote, answer=first, **ask)
        >>> [(record.sampler, record.answer, record.right) for record in evaluation.records]
        [('vote', '0', False), ('vote', '1', False)]
    """

    problem: int
    question: str
    right_answer: str
    copy: int
    sampler: str
    arm: int
    settings: dict[str, Any]
    repeat: int
    seed: list[int]
    answer: str | None
    probability: float
    right_probability: float
    right: bool
    tokens: int
    cost: dict[str, Any]
    log_evidence: float | None
    ess: float | None
    seconds: float
    versions: dict[str, str]
    error: str | None
    evaluation: str
    draws: dict[str, Any] | None = None
    right_answers: list[str] | None = None
    texts: list[str] | None = None

    @property
    def place(self) -> tuple[int, int]:
        """The numbers of problem and arm."""
        return self.problem, self.arm

    @property
    def key(self) -> Key:
        """What it is of, whatever the numbers of problem and arm."""
        problem = self.question, self.right_answer, self.copy
        return (*problem, *arm_key(self.sampler, self.settings), self.repeat)

    def at(self, place: Place) -> Record:
        """Return the record with the numbers of problem and arm that it has in a plan."""
        return replace(self, problem=place.problem, arm=place.arm)


def read_record(content: Mapping[str, Any]) -> Record | None:
    """Return the record that this is.

    None where anything is missing, unknown, or of another type.
    """
    content = {**dict.fromkeys(_LATER), **content}
    if content.keys() != _CHECKS.keys():
        return None
    if not all(check(content[name]) for name, check in _CHECKS.items()):
        return None
    return Record(**content)


def _count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _probability(value: object) -> bool:
    return isinstance(value, int | float) and _number(value) and 0 <= value <= 1 + 1e-9


def _text(value: object) -> bool:
    return isinstance(value, str)


def _text_or_none(value: object) -> bool:
    return value is None or isinstance(value, str)


def _number_or_none(value: object) -> bool:
    return value is None or _number(value)


def _mapping(value: object) -> bool:
    return isinstance(value, dict)


def _costs(value: object) -> bool:
    return isinstance(value, dict) and all(map(_number, value.values()))


def _texts(value: object) -> bool:
    return isinstance(value, dict) and all(map(_text, value.values()))


def _seed(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_count, value))


def _draws_or_none(value: object) -> bool:
    if value is None:
        return True
    try:
        Pool.fromdict(value if isinstance(value, dict) else {})
    except ValueError:
        return False
    return True


def _list_or_none(value: object) -> bool:
    return value is None or (isinstance(value, list) and all(map(_text, value)))


def _flag(value: object) -> bool:
    return isinstance(value, bool)


_LATER = ("draws", "right_answers", "texts")  # records of before they were kept lack them

_BY_TYPE = {
    "int": _count,
    "str": _text,
    "str | None": _text_or_none,
    "float": _number,
    "float | None": _number_or_none,
    "bool": _flag,
    "dict[str, Any]": _mapping,
    "dict[str, str]": _texts,
    "list[int]": _seed,
    "list[str] | None": _list_or_none,
    "dict[str, Any] | None": _draws_or_none,
}
_CHECKS = {field.name: _BY_TYPE[str(field.type)] for field in fields(Record)}
_CHECKS |= {"probability": _probability, "right_probability": _probability, "cost": _costs}
