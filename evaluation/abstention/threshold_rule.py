"""A rule that answers where the confidence reaches a threshold."""

from __future__ import annotations

from dataclasses import dataclass
from math import nan
from typing import TYPE_CHECKING

import numpy as np

from ..law_rows import LawRow, frequency_row, sentence
from .known_questions import CalibrationSet

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from ..records import Record

ON_CALIBRATION = "On the calibration, where the rule was chosen."


@dataclass(frozen=True, eq=False)
class ThresholdRule:
    """Answer where the confidence is at least a threshold.

    Attributes:
        threshold: infinite where the rule never answers, minus infinite where it always does.
        promise: what holds for questions that are exchangeable with the calibration, in words.
        calibration: what it was calibrated on.

    Example:
        >>> import numpy as np
        >>> from motes.evaluation.abstention import CalibrationSet, calibrate_risk_control
        >>> sure = np.array([0.9, 0.8, 0.7, 0.6])
        >>> known = CalibrationSet(sure, np.array([True, True, False, False]))
        >>> rule = calibrate_risk_control(known, alpha=0.3)
        >>> rule.answers([0.95, 0.7, 0.65]).tolist()
        [True, False, False]
    """

    threshold: float
    promise: str
    calibration: CalibrationSet

    def rows(self) -> tuple[LawRow, ...]:
        """Return the threshold, and what it answers of the calibration, on which it was chosen."""
        known = self.calibration
        answered = known.confidence >= self.threshold
        count, wrong = int(answered.sum()), int((answered & ~known.right).sum())
        share = frequency_row("share that is answered", count, known.size, ON_CALIBRATION)
        rows = (LawRow("threshold", self.threshold, nan, nan, sentence(self.promise)), share)
        if not count:
            return rows
        return (*rows, frequency_row("wrong among the answers", wrong, count, ON_CALIBRATION))

    def answers(self, confidence: ArrayLike) -> np.ndarray:
        """Return whether to answer at each confidence, in its shape."""
        return np.asarray(confidence, np.float64) >= self.threshold

    def decide(self, record: Record) -> str | None:
        """Return the answer of a record, or None to say nothing.

        Raises:
            ValueError: the record is seen not to be exchangeable with the calibration.
        """
        self.calibration.check(record)
        return record.answer if self.answers(record.probability) else None
