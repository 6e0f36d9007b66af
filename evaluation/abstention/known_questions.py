"""Questions with known answers, on which a rule for abstaining is calibrated.

Each promise of this folder is about the next question, and holds where it is exchangeable with
those of calibration: the same models, answer rule, seed, sampler and settings, and another problem.
It is a promise on average over questions, not for each one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from ..records import Record
    from .record_scores import Score

FALSE_ALARM = 1e-4  # that exchangeable questions are refused


class Origin(NamedTuple):
    """Where the records of a calibration come from.

    Attributes:
        evaluation: the digest of models, answer rule, target and seed.
        sampler: the method's name.
        settings: of the sampler, as JSON.
        problems: digests of the questions.
    """

    evaluation: str
    sampler: str
    settings: str
    problems: frozenset[str]


@dataclass(frozen=True, eq=False)
class CalibrationSet:
    """Confidences in the answers to n questions, and whether the answers were right.

    Attributes:
        confidence: on any scale, shape (n,), float64.
        right: shape (n,), bool.
        right_probability: of each question's right answer; shape (n,); None where not known.
        origin: of the records; None where there were none, and nothing can be compared.
        scores: K further confidences in each answer, shape (n, K), float64; None where there are
            none.
        scorers: how they are computed from a record, by name; empty where they were given.

    Raises:
        TypeError: `right` holds something other than truths.
        ValueError: there are no questions, the shapes differ, or a number is not finite.

    Example:
        >>> import numpy as np
        >>> from motes.evaluation.abstention import CalibrationSet
        >>> CalibrationSet(np.array([0.9, 0.4]), np.array([True, False])).size
        2
    """

    confidence: np.ndarray
    right: np.ndarray
    right_probability: np.ndarray | None = None
    origin: Origin | None = None
    scores: np.ndarray | None = None
    scorers: Mapping[str, Score] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.right.dtype != np.bool_:
            raise TypeError(f"right must hold truths, not {self.right.dtype}")
        shapes = {self.confidence.shape, self.right.shape}
        if self.right_probability is not None:
            shapes.add(self.right_probability.shape)
        if len(shapes) > 1 or self.right.ndim != 1 or not self.right.size:
            raise ValueError(
                "a calibration needs arrays of one shape (n,), n at least 1, not "
                f"{', '.join(map(str, sorted(shapes)))}"
            )
        if not np.isfinite(self.confidence).all():
            raise ValueError("confidence must be finite")
        if self.scores is not None:
            check_scores(self.scores, self.size)

    @property
    def size(self) -> int:
        """The number of questions, n."""
        return len(self.right)

    def check(self, record: Record) -> None:
        """Raise ValueError where a record is seen not to be exchangeable with these questions.

        Nothing is compared where the calibration was made of bare numbers.
        """
        if self.origin is None:
            return
        here = _origin([record])
        if here.evaluation != self.origin.evaluation:
            raise ValueError(
                "a rule holds for the models, answer rule, target and seed that it was calibrated "
                f"with (evaluation {self.origin.evaluation}), not for those of evaluation "
                f"{here.evaluation}"
            )
        if (here.sampler, here.settings) != (self.origin.sampler, self.origin.settings):
            raise ValueError(
                f"a rule calibrated on {self.origin.sampler!r} with settings "
                f"{self.origin.settings} does not hold for {here.sampler!r} with {here.settings}"
            )
        if record.question in self.origin.problems:
            raise ValueError(
                f"problem {record.problem} was part of the calibration, so the rule's promise "
                "does not hold for it"
            )

    def check_together(self, new: CalibrationSet) -> None:
        """Raise ValueError where confidences of new questions are seen to follow another law.

        Kolmogorov and Smirnov's test of two samples, of the confidence and of each score; all
        tests together refuse exchangeable questions with probability 1e-4 at most. A score that was
        tuned on the calibration differs there from what it is elsewhere, and is seen so where the
        difference is large for the numbers of questions.
        """
        from scipy.stats import ks_2samp

        pairs = [(self.confidence, new.confidence)]
        if self.scores is not None and new.scores is not None:
            pairs += zip(self.scores.T, new.scores.T, strict=True)
        for here, there in pairs:
            test: Any = ks_2samp(here, there)
            value = float(test.pvalue)
            if value < FALSE_ALARM / len(pairs):
                raise ValueError(
                    "the confidences of the new questions follow another law than those of the "
                    f"calibration (p = {value:.1g}), so the rule's promise does not hold for them"
                )


def check_scores(scores: np.ndarray, questions: int) -> None:
    """Raise ValueError where scores are not finite numbers of the shape (questions, K)."""
    if scores.ndim != 2 or len(scores) != questions or not scores.shape[1]:
        raise ValueError(
            f"scores must have the shape (n, K) with n = {questions} and K at least 1, not "
            f"{scores.shape}"
        )
    if not np.isfinite(scores).all():
        raise ValueError("scores must be finite")


def calibration_set(
    records: Sequence[Record], scores: Mapping[str, Score] | None = None
) -> CalibrationSet:
    """Return the calibration of one arm's records, with the answer's probability for confidence.

    Args:
        records: one run on each of n problems, all of one arm of one evaluation.
        scores: further confidences, each a function of one record alone, by name;
            `motes.evaluation.abstention.SCORES` has some. None for none.

    Raises:
        ValueError: there are none; they are of several evaluations or arms; a question comes twice;
            a score is not finite.

    Example:
        >>> import motes, tempfile
        >>> from pathlib import Path
        >>> from motes.evaluation.abstention import calibration_set
        >>> from motes.models import TableLM
        >>> evaluation = motes.evaluate(
        ...     [("?", 1), ("!", 0)],
        ...     samplers={"vote": motes.samplers.MajorityVote(samples=3)},
        ...     answer=lambda x: str(x.token_ids[0]) if x.finished else None,
        ...     lm=TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2),
        ...     prm=None, max_steps=3, progress=False,
        ...     results=Path(tempfile.mkdtemp()) / "results.jsonl",
        ... )
        >>> calibration_set(evaluation.records).size
        2
    """
    if not records:
        raise ValueError("a calibration needs at least one record")
    origin = _origin(records)
    return CalibrationSet(
        np.array([record.probability for record in records], np.float64),
        np.array([record.right for record in records], np.bool_),
        np.array([_one_right_answer(record) for record in records], np.float64),
        origin,
        _scored(records, scores) if scores else None,
        dict(scores or {}),
    )


def _scored(records: Sequence[Record], scores: Mapping[str, Score]) -> np.ndarray:
    """Return each score of each record, shape (n, K)."""
    rows = [[float(score(record)) for score in scores.values()] for record in records]
    return np.array(rows, np.float64)


def _origin(records: Sequence[Record]) -> Origin:
    """Return where records come from; ValueError where that is several places."""
    places = set()
    for record in records:
        settings = json.dumps(record.settings, sort_keys=True)
        places.add((record.evaluation, record.sampler, settings))
    if len(places) > 1:
        raise ValueError(
            f"records of a calibration must be of one arm of one evaluation, not of {len(places)}"
        )
    problems = frozenset(record.question for record in records)
    if len(problems) < len(records):
        raise ValueError(
            "a calibration needs one run on each question, and no question twice: "
            f"{len(records)} records are of {len(problems)} questions"
        )
    evaluation, sampler, settings = places.pop()
    return Origin(evaluation, sampler, settings, problems)


def _one_right_answer(record: Record) -> float:
    """Return a lower bound of the largest probability of a single right answer.

    It is exact where one answer alone is right. A sum over several would be no answer's own; so it
    is 0 where the number of right ones is not known, in files of before draws were kept.
    """
    if record.right:
        return record.probability
    if not record.right_answers:
        return 0.0
    return record.right_probability / len(record.right_answers)
