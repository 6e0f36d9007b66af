"""Sets of answers that contain the right one with a stated probability.

The score of a question is the probability P of its right answer, 0 where that was never sampled.
With the k-th smallest of n scores, k = floor(alpha (n + 1)), as bound, the set of all answers whose
P is at least the bound contains the right one with probability at least 1 - alpha (split conformal
prediction: Vovk, Gammerman and Shafer 2005). Where the bound is 0, an answer that was never sampled
can be right: then the set has the symbol OTHER besides. Any P will do; a good one makes sets small.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import floor, nan
from typing import Final

import numpy as np

from ... import checks
from ..law_rows import LawRow, frequency_row, sentence
from .known_questions import CalibrationSet
from .threshold_rule import ON_CALIBRATION

OTHER: Final = "<another answer>"
"""Stands in a set for all answers that were never sampled."""

ROUNDING = 1e-9  # of alpha times a number of questions


@dataclass(frozen=True, eq=False)
class AnswerSetRule:
    """Keep all answers whose probability is at least a bound.

    Attributes:
        bound: 0 where the set has to contain OTHER.
        promise: what holds for questions that are exchangeable with the calibration, in words.
        calibration: what it was calibrated on.

    Example:
        >>> from motes.evaluation.abstention import AnswerSetRule, CalibrationSet
        >>> import numpy as np
        >>> known = CalibrationSet(np.array([0.9]), np.array([True]), np.array([0.9]))
        >>> AnswerSetRule(0.2, "", known).answers({"18": 0.7, "17": 0.2, None: 0.1})
        ('18', '17')
    """

    bound: float
    promise: str
    calibration: CalibrationSet

    def rows(self) -> tuple[LawRow, ...]:
        """Return the bound, and how often the right answer reaches it on the calibration."""
        known = self.calibration
        rows = (LawRow("bound of the sets", self.bound, nan, nan, sentence(self.promise)),)
        if known.right_probability is None:
            return rows
        inside = int(np.sum(known.right_probability >= self.bound))
        name = "right answers in the sets"
        return (*rows, frequency_row(name, inside, known.size, ON_CALIBRATION))

    def answers(
        self, probabilities: Mapping[str, float] | Mapping[str | None, float]
    ) -> tuple[str, ...]:
        """Return the set, in order, with OTHER at its end where it must be there.

        Args:
            probabilities: of the answers, those of `posterior.answers` for example; None stands for
                no answer.
        """
        kept = []
        for answer, probability in probabilities.items():
            if answer is not None and probability >= self.bound:
                kept.append(answer)
        return (*kept, OTHER) if self.bound <= 0 else tuple(kept)


def calibrate_answer_sets(calibration: CalibrationSet, alpha: float) -> AnswerSetRule:
    """Return the rule whose sets contain the right answer with probability 1 - alpha or more.

    Args:
        calibration: n questions with the probabilities of their right answers.
        alpha: between 0 and 1.

    Raises:
        TypeError, ValueError: `alpha` does not lie between 0 and 1; the calibration has no
            probabilities of right answers.

    Example:
        >>> import numpy as np
        >>> from motes.evaluation.abstention import CalibrationSet, calibrate_answer_sets
        >>> share = np.array([0.9, 0.8, 0.6, 0.0])
        >>> known = CalibrationSet(share, share > 0.5, share)
        >>> calibrate_answer_sets(known, alpha=0.4).bound, calibrate_answer_sets(known, 0.2).bound
        (0.6, 0.0)
    """
    alpha = checks.level("alpha", alpha)
    if calibration.right_probability is None:
        raise ValueError("sets of answers need a calibration with probabilities of right answers")
    place = floor(alpha * (calibration.size + 1) + ROUNDING)
    ordered = np.sort(calibration.right_probability)
    bound = float(ordered[place - 1]) if place >= 1 else 0.0
    promise = f"the set contains the right answer with probability at least {1 - alpha:g}"
    return AnswerSetRule(bound, promise, calibration)
