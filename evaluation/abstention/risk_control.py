"""Conformal risk control: how often a question gets a wrong answer.

The loss of a question at threshold t is 1 where it is answered and wrong, and does not rise with t.
With n questions of calibration, the smallest t at which

    (losses of the n questions at t + 1) / (n + 1) <= alpha

has P(the next question is answered, and wrong) <= alpha: Angelopoulos et al. (2022),
arXiv:2208.02814, theorem 1. The share of wrong answers *among those given* does not fall with t:
for that see `motes.evaluation.abstention.calibrate_selective_risk`.
"""

from __future__ import annotations

from math import floor, inf

import numpy as np

from ... import checks
from .known_questions import CalibrationSet
from .threshold_rule import ThresholdRule

ROUNDING = 1e-9  # of alpha times a number of questions


def calibrate_risk_control(calibration: CalibrationSet, alpha: float) -> ThresholdRule:
    """Return the most generous threshold with P(answered and wrong) <= alpha.

    Args:
        calibration: n questions with known answers.
        alpha: between 0 and 1.

    Raises:
        TypeError, ValueError: `alpha` does not lie between 0 and 1.

    Example:
        >>> import numpy as np
        >>> from motes.evaluation.abstention import CalibrationSet, calibrate_risk_control
        >>> known = CalibrationSet(np.array([0.9, 0.5]), np.array([True, False]))
        >>> calibrate_risk_control(known, alpha=0.4).answers([0.6, 0.5]).tolist()
        [True, False]
    """
    alpha = checks.level("alpha", alpha)
    allowed = floor(alpha * (calibration.size + 1) + ROUNDING) - 1
    wrong = np.sort(calibration.confidence[~calibration.right])[::-1]
    if allowed < 0:
        threshold = inf
    elif allowed >= len(wrong):
        threshold = -inf
    else:
        threshold = float(np.nextafter(wrong[allowed], inf))
    promise = f"a question is answered and wrong with probability at most {alpha:g}"
    return ThresholdRule(threshold, promise, calibration)
