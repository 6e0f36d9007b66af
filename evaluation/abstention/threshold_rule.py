"""A rule that answers where the confidence reaches a threshold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .known_questions import CalibrationSet

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from ..records import Record


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
