"""Conformal selection: the questions to answer, with few false ones among them.

Question j of m new ones, with confidence c_j, has the p-value of "its answer is wrong"

    p_j = (1 + number of wrong answers of the calibration with confidence >= c_j) / (n + 1),

and the procedure of Benjamini and Hochberg at level alpha picks questions of which a share of at
most alpha is wrong in expectation (false discovery rate): Jin and Candes (2023), arXiv:2210.01408,
theorem 3. Questions are picked together, unlike with a threshold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ... import checks
from .known_questions import CalibrationSet, calibration_set

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from ..records import Record


@dataclass(frozen=True, eq=False)
class SelectionRule:
    """Pick questions to answer so that the false discovery rate is at most alpha.

    Attributes:
        alpha: between 0 and 1.
        promise: what holds for questions that are exchangeable with the calibration, in words.
        calibration: what it was calibrated on.

    Example:
        >>> import numpy as np
        >>> from motes.evaluation.abstention import CalibrationSet, calibrate_selection
        >>> known = CalibrationSet(np.linspace(0, 1, 19), np.arange(19) > 9)
        >>> calibrate_selection(known, alpha=0.1).picks([0.9, 0.3, 0.8]).tolist()
        [True, False, True]
    """

    alpha: float
    promise: str
    calibration: CalibrationSet

    def p_values(self, confidence: ArrayLike) -> np.ndarray:
        """Return the p-value of a wrong answer at each confidence, shape (m,)."""
        known = self.calibration
        wrong = np.sort(known.confidence[~known.right])
        above = len(wrong) - np.searchsorted(wrong, np.asarray(confidence, np.float64), "left")
        return (1 + above) / (known.size + 1)

    def picks(self, confidence: ArrayLike) -> np.ndarray:
        """Return which of m questions to answer, shape (m,), bool.

        Args:
            confidence: of each new question's answer, shape (m,).
        """
        values = self.p_values(confidence)
        count = len(values)
        ordered = np.sort(values)
        passing = np.flatnonzero(ordered <= self.alpha * np.arange(1, count + 1) / count)
        if not passing.size:
            return np.zeros(count, np.bool_)
        return values <= ordered[passing[-1]]

    def decide(self, records: Sequence[Record]) -> tuple[str | None, ...]:
        """Return the answer of each record, or None to say nothing.

        Raises:
            ValueError: the records are seen not to be exchangeable with the calibration.
        """
        new = calibration_set(records)
        for record in records:
            self.calibration.check(record)
        self.calibration.check_together(new)
        picked = self.picks(new.confidence).tolist()
        return tuple(
            record.answer if pick else None for record, pick in zip(records, picked, strict=True)
        )


def calibrate_selection(calibration: CalibrationSet, alpha: float) -> SelectionRule:
    """Return the rule that picks questions with a false discovery rate of at most alpha.

    Args:
        calibration: n questions with known answers.
        alpha: between 0 and 1.

    Raises:
        TypeError, ValueError: `alpha` does not lie between 0 and 1.

    Example:
        >>> import numpy as np
        >>> from motes.evaluation.abstention import CalibrationSet, calibrate_selection
        >>> known = CalibrationSet(np.array([0.9, 0.5]), np.array([True, False]))
        >>> calibrate_selection(known, alpha=0.2).p_values([0.6, 0.5]).round(2).tolist()
        [0.33, 0.67]
    """
    alpha = checks.level("alpha", alpha)
    promise = f"of the questions picked, a share of at most {alpha:g} is wrong in expectation"
    return SelectionRule(alpha, promise, calibration)
