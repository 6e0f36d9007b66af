"""OptCS: conformal selection whose score is chosen with the same data, at no cost in validity.

Of m new questions, question j is tested with the score that promises most selected ones. Score k is
judged with j's answer taken for wrong: of n + 1 questions, those of the calibration and j, count
the wrong ones with confidence at least that of each other new question l,

    p_l = (number of wrong answers among them with c_k >= c_k(l)) / (n + 1)  for l other than j,

and let R_j(k) be how many Benjamini and Hochberg pick at level alpha with p_j = 0. That is the same
whichever of the n + 1 wrong ones is called j. So with the score of the largest R_j = R_j(k),

    p_j = (1 + number of wrong answers of the calibration with confidence >= c_j) / (n + 1)

is a p-value given R_j. Questions with p_j <= alpha R_j / m remain, and of these the largest set of
r with xi_j R_j <= r is picked, where xi_j is one uniform number for all (1 and one for each are
valid too, and pick fewer). Then
the false discovery rate is at most alpha: Bai and Jin (2024), arXiv:2411.17983.

The published code counts confidences *above* c_j alone: with ties, as votes have them, that is no
p-value, and the rate is not kept. Here equal ones count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

import numpy as np

from ... import checks
from .known_questions import CalibrationSet, calibration_set, check_scores

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from ..records import Record

Pruning = Literal["none", "common", "each"]
Learner = Callable[[np.ndarray, np.ndarray], Callable[[np.ndarray], np.ndarray]]
"""From scores (N, K) and truths (N,) to a function from scores (M, K) to confidences (M,)."""

ROUNDING = 1e-9  # relative, of alpha times a number of questions


class Judgement(NamedTuple):
    """What the rule makes of m new questions.

    Attributes:
        picked: which are answered, shape (m,), bool.
        p_values: of a wrong answer, shape (m,).
        counts: R_j, how many would be picked if j were wrong, shape (m,), int64.
        chosen: the column of the score that j was tested with, shape (m,), int64; K for what the
            learner made.

    Example:
        >>> import numpy as np
        >>> from motes.evaluation.abstention import Judgement
        >>> one = np.array([1])
        >>> Judgement(one == 1, one / 20, one, one - 1).picked.tolist()
        [True]
    """

    picked: np.ndarray
    p_values: np.ndarray
    counts: np.ndarray
    chosen: np.ndarray


@dataclass(frozen=True, eq=False)
class OptimisedSelectionRule:
    """Pick questions to answer, each tested with the score that promises most.

    Attributes:
        alpha: between 0 and 1.
        promise: what holds for questions that are exchangeable with the calibration, in words.
        calibration: what it was calibrated on, with K scores.
        learner: makes a further score of all scores; None for none.
        pruning: "none", or with random numbers "common" to all or for "each".
        seed: of the random numbers.

    Example:
        >>> import numpy as np
        >>> from motes.evaluation.abstention import CalibrationSet, calibrate_optimised_selection
        >>> right = np.arange(19) > 9
        >>> scores = np.stack([np.linspace(0, 1, 19), np.zeros(19)], axis=1)
        >>> known = CalibrationSet(scores[:, 0], right, scores=scores)
        >>> rule = calibrate_optimised_selection(known, alpha=0.1, seed=1)
        >>> found = rule.judge([[0.9, 0.0], [0.3, 0.0], [0.8, 0.0]])
        >>> found.picked.tolist(), found.chosen.tolist()
        ([True, False, True], [0, 0, 0])
    """

    alpha: float
    promise: str
    calibration: CalibrationSet
    learner: Learner | None
    pruning: Pruning
    seed: int

    def judge(self, scores: ArrayLike) -> Judgement:
        """Return which of m questions to answer, and why.

        Args:
            scores: of each new question's answer, shape (m, K).

        Raises:
            ValueError: the scores are not finite numbers of that shape.
        """
        known = _scores(self.calibration)
        new = np.asarray(scores, np.float64)
        check_scores(new, len(new))
        if new.shape[1] != known.shape[1]:
            raise ValueError(
                f"scores must have the {known.shape[1]} columns of the calibration, not "
                f"{new.shape[1]}"
            )
        columns = known.shape[1]
        best_count = np.zeros(len(new), np.int64)
        values, chosen = np.ones(len(new)), np.zeros(len(new), np.int64)
        for column in range(columns + (self.learner is not None)):
            for j, (here, there) in enumerate(self._confidences(column, known, new)):
                count = self._count(here, there, j)
                if count > best_count[j]:  # of equal ones the first
                    best_count[j], chosen[j] = count, column
                    values[j] = _p_value(here[~self.calibration.right], there[j], len(here))
        picked = _prune(values, best_count, self.alpha, self._random_numbers(len(new)))
        return Judgement(picked, values, best_count, chosen)

    def decide(self, records: Sequence[Record]) -> tuple[str | None, ...]:
        """Return the answer of each record, or None to say nothing.

        Raises:
            ValueError: the records are seen not to be exchangeable with the calibration, or the
                calibration was made of numbers, so that the scores of a record are not known.
        """
        scorers = self.calibration.scorers
        if not scorers:
            raise ValueError(
                "records are decided upon by a calibration that was made of records with scores: "
                "see motes.evaluation.abstention.calibration_set"
            )
        new = calibration_set(records, scorers)
        for record in records:
            self.calibration.check(record)
        self.calibration.check_together(new)
        picked = self.judge(_scores(new)).picked.tolist()
        return tuple(
            record.answer if pick else None for record, pick in zip(records, picked, strict=True)
        )

    def _confidences(
        self, column: int, known: np.ndarray, new: np.ndarray
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield for each new question j the confidences of all known and of all new ones."""
        if self.learner is None or column < known.shape[1]:
            for _ in range(len(new)):
                yield known[:, column], new[:, column]
            return
        right = np.append(self.calibration.right, False)
        for j in range(len(new)):
            learned = self.learner(np.vstack([known, new[j : j + 1]]), right)
            yield learned(known), learned(new)

    def _count(self, here: np.ndarray, there: np.ndarray, j: int) -> int:
        """Return R_j of a score: how many would be picked if j were wrong, and known to be."""
        wrong = np.append(here[~self.calibration.right], there[j])
        wrong.sort()
        above = len(wrong) - np.searchsorted(wrong, there, "left")
        values = above / (len(here) + 1)
        values[j] = 0.0
        ordered = np.sort(values)
        line = self.alpha * np.arange(1, len(there) + 1) / len(there)
        return int(np.flatnonzero(ordered <= line * (1 + ROUNDING))[-1]) + 1

    def _random_numbers(self, count: int) -> np.ndarray:
        """Return xi of each new question."""
        generator = np.random.default_rng(self.seed)
        if self.pruning == "each":
            return generator.random(count)
        return np.full(count, generator.random() if self.pruning == "common" else 1.0)


def calibrate_optimised_selection(
    calibration: CalibrationSet,
    alpha: float,
    *,
    seed: int,
    learner: Learner | None = None,
    pruning: Pruning = "common",
) -> OptimisedSelectionRule:
    """Return the rule that picks questions by the best of several scores, few of them wrong.

    Args:
        calibration: n questions with known answers and K scores each, as
            `calibration_set(records, scores)` makes it.
        alpha: the false discovery rate, between 0 and 1.
        learner: from scores (N, K) and truths (N,) to a function from scores to confidences, which
            must not depend on the order of the questions; it is trained once for each new question.
        pruning: xi is one random number for all ("common"), one for each question ("each"), or 1
            ("none"): deterministic, but where the R_j differ, much is lost: R_j of more than r
            questions must not exceed r.
        seed: of the random numbers. Choose it before the questions are seen, and another one each
            time: the promise is an average over seeds.

    Raises:
        TypeError, ValueError: an argument is not of its kind, or out of its range; the calibration
            has no scores; the learner is seen to depend on the order of the questions.

    Example:
        >>> import numpy as np
        >>> from motes.evaluation.abstention import CalibrationSet, calibrate_optimised_selection
        >>> known = CalibrationSet(np.array([0.9]), np.array([True]), scores=np.array([[0.9, 1.0]]))
        >>> calibrate_optimised_selection(known, alpha=0.2, seed=1).promise
        'of the questions picked, a share of at most 0.2 is wrong in expectation'
    """
    alpha = checks.level("alpha", alpha)
    checks.choice("pruning", pruning, get_args(Pruning))
    if learner is not None:
        checks.function("learner", learner, "scores and truths to a function")
        _check_symmetry(learner, _scores(calibration), calibration.right)
    _scores(calibration)
    promise = f"of the questions picked, a share of at most {alpha:g} is wrong in expectation"
    return OptimisedSelectionRule(alpha, promise, calibration, learner, pruning, checks.seed(seed))


def _scores(calibration: CalibrationSet) -> np.ndarray:
    """Return the scores of a calibration, shape (n, K); ValueError where there are none."""
    if calibration.scores is None:
        raise ValueError("optimised selection needs a calibration with scores")
    return calibration.scores


def _check_symmetry(learner: Learner, scores: np.ndarray, right: np.ndarray) -> None:
    """Raise ValueError where a learner makes other confidences of the questions in reverse."""
    forward = np.asarray(learner(scores, right)(scores), np.float64)
    if forward.shape != right.shape:
        raise ValueError(
            f"learner must make confidences of the shape ({len(right)},), not {forward.shape}"
        )
    backward = learner(scores[::-1], right[::-1])(scores)
    if not np.allclose(forward, backward, rtol=1e-4, atol=1e-6):
        raise ValueError(
            "learner must not depend on the order of the questions, and makes other confidences "
            "of the same questions in reverse"
        )


def _p_value(wrong: np.ndarray, confidence: float, questions: int) -> float:
    """Return the p-value of a wrong answer at a confidence; equal confidences count against it."""
    return (1 + int(np.sum(wrong >= confidence))) / (questions + 1)


def _prune(values: np.ndarray, counts: np.ndarray, alpha: float, numbers: np.ndarray) -> np.ndarray:
    """Return the largest set of r questions that pass, with xi R <= r; shape (m,), bool."""
    passing = values <= alpha * counts / len(values) * (1 + ROUNDING)
    sizes = np.where(passing, numbers * counts, np.inf)
    ordered = np.sort(sizes)
    enough = np.flatnonzero(ordered <= np.arange(1, len(values) + 1))
    if not enough.size:
        return np.zeros(len(values), np.bool_)
    return sizes <= enough[-1] + 1
