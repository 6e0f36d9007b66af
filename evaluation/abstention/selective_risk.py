"""Selective risk: how often the answers that are given are wrong, with confidence.

At a threshold t that was fixed before the data, k of the m questions with confidence at least t are
wrong, k ~ Binomial(m, risk(t)), so that P(Binomial(m, alpha) <= k) is a p-value of risk(t) > alpha.
Thresholds are tested from the highest to lower ones until one fails, from several starts that share
delta (fixed sequences: Angelopoulos et al. 2021, Learn then Test, arXiv:2110.01052). So

    P(risk at the rule's threshold > alpha) <= delta  over calibrations.

Geifman and El-Yaniv (2017), arXiv:1705.08500, search thresholds among the confidences of the data
themselves, for which the binomial law is not exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

import numpy as np

from ... import checks
from .known_questions import CalibrationSet
from .threshold_rule import ThresholdRule

GRID = tuple((np.arange(20, -1, -1) / 20).tolist())
STARTS = 4


def calibrate_selective_risk(
    calibration: CalibrationSet,
    alpha: float,
    delta: float = 0.05,
    *,
    thresholds: Sequence[float] = GRID,
) -> ThresholdRule:
    """Return the lowest threshold whose answers are wrong at most alpha of the time, surely enough.

    Args:
        calibration: n questions with known answers.
        alpha: the risk of an answer that is given, between 0 and 1.
        delta: the probability that the threshold's risk is larger, between 0 and 1.
        thresholds: falling, and chosen without a look at the calibration; 1, 0.95, ..., 0, for
            confidences that are probabilities.

    Returns:
        The rule; it never answers where no threshold can be certified.

    Raises:
        TypeError, ValueError: `alpha` or `delta` does not lie between 0 and 1, or `thresholds`
            do not fall.

    Example:
        >>> import numpy as np
        >>> from motes.evaluation.abstention import CalibrationSet, calibrate_selective_risk
        >>> sure = np.repeat([0.9, 0.3], 100)
        >>> known = CalibrationSet(sure, sure > 0.5)
        >>> round(calibrate_selective_risk(known, alpha=0.1).threshold, 2)
        0.35
    """
    from scipy.stats import binom

    alpha, delta = checks.level("alpha", alpha), checks.level("delta", delta)
    grid = np.asarray(thresholds, np.float64)
    if grid.ndim != 1 or not grid.size or np.any(np.diff(grid) >= 0):
        raise ValueError(f"thresholds must fall, not be {checks.shown(thresholds)}")
    selected = calibration.confidence >= grid[:, None]  # (thresholds, questions)
    wrong = (selected & ~calibration.right).sum(axis=1)
    values = binom.cdf(wrong, selected.sum(axis=1), alpha)
    starts = np.unique(np.linspace(0, len(grid), STARTS, endpoint=False).astype(np.int64))
    certified = -1
    for start in starts.tolist():
        place = start
        while place < len(grid) and values[place] <= delta / len(starts):
            certified = max(certified, place)
            place += 1
    threshold = float(grid[certified]) if certified >= 0 else inf
    promise = (
        f"of the questions that are answered, at most {alpha:g} are answered wrong; a calibration "
        f"that breaks this has probability at most {delta:g}"
    )
    return ThresholdRule(threshold, promise, calibration)
