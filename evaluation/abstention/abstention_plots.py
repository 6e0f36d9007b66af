"""Pictures of the rules for abstaining, on the questions that they were calibrated on.

What a rule does there is no estimate of what it does elsewhere: it was chosen there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...diagnostics.plots.canvas import FAINT, INK, frame, legend, one
from ...diagnostics.plots.shades import NAMED
from ...frequencies import jeffreys
from .answer_sets import AnswerSetRule
from .optimised_selection import OptimisedSelectionRule
from .selection import SelectionRule
from .threshold_rule import ThresholdRule

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike

BAND = 0.18  # opacity
SIZE = 6.4, 3.8  # inches


def plot_threshold_rule(rule: ThresholdRule, *, ax: Axes | None = None) -> Axes:
    """Plot what each threshold would answer of the calibration, and how much of it wrong.

    Args:
        rule: of one threshold, which is marked where it is finite.
        ax: where to draw; on a new figure when None.

    Returns:
        The axes.

    Example:
        >>> import numpy as np
        >>> from motes.evaluation.abstention import CalibrationSet, calibrate_risk_control
        >>> from motes.evaluation.abstention import plot_threshold_rule
        >>> known = CalibrationSet(np.array([0.9, 0.5]), np.array([True, False]))
        >>> plot_threshold_rule(calibrate_risk_control(known, alpha=0.4)).get_xlabel()
        'threshold'
    """
    known = rule.calibration
    order = np.argsort(-known.confidence, kind="stable")
    sure = known.confidence[order]
    last = np.append(np.diff(sure) != 0, True)  # of equal ones all are answered
    answered = np.arange(1, known.size + 1)[last]
    wrong = np.cumsum(~known.right[order])[last]
    thresholds, colours = sure[last], NAMED[:2]
    ax = one(ax, *SIZE)
    low, high = jeffreys(wrong, answered)
    ax.fill_between(thresholds, low, high, step="pre", color=colours[1], alpha=BAND, linewidth=0)
    lines = [
        *ax.step(thresholds, answered / known.size, color=colours[0], label="answered"),
        *ax.step(thresholds, wrong / answered, color=colours[1], label="wrong among these"),
    ]
    if np.isfinite(rule.threshold):
        label = f"threshold {rule.threshold:.3g}"
        lines.append(ax.axvline(rule.threshold, color=INK, linestyle=":", label=label))
    ax.set_ylim(0, 1)
    title = f"{known.size} questions of the calibration"
    frame(ax, title=title, x="threshold", y="share", grid="both")
    legend(ax, lines)
    return ax


def plot_answer_sets(rule: AnswerSetRule, *, ax: Axes | None = None) -> Axes:
    """Plot how often the right answer has at least each probability, on the calibration.

    Args:
        rule: whose bound is marked.
        ax: where to draw; on a new figure when None.

    Returns:
        The axes.

    Example:
        >>> import numpy as np
        >>> from motes.evaluation.abstention import CalibrationSet, calibrate_answer_sets
        >>> from motes.evaluation.abstention import plot_answer_sets
        >>> share = np.array([0.9, 0.8, 0.6, 0.0])
        >>> known = CalibrationSet(share, share > 0.5, share)
        >>> plot_answer_sets(calibrate_answer_sets(known, alpha=0.4)).get_xlabel()
        'probability of the right answer'
    """
    shares = rule.calibration.right_probability
    if shares is None:
        raise ValueError("a plot of sets needs a calibration with probabilities of right answers")
    ordered = np.sort(shares)[::-1]
    reached = np.arange(1, len(ordered) + 1) / len(ordered)
    ax = one(ax, *SIZE)
    lines = ax.step(ordered, reached, color=NAMED[0], where="post", label="right answer is in")
    label = f"bound {rule.bound:.3g}" + (", with OTHER" if rule.bound <= 0 else "")
    lines.append(ax.axvline(rule.bound, color=INK, linestyle=":", label=label))
    ax.set_xlim(1, min(-0.02, float(ordered[-1])))
    ax.set_ylim(0, 1.02)
    frame(
        ax,
        title=f"Right answers of {len(ordered)} questions of the calibration",
        x="probability of the right answer",
        y="share of questions",
        grid="both",
    )
    legend(ax, lines)
    return ax


def plot_selection(rule: SelectionRule, confidence: ArrayLike, *, ax: Axes | None = None) -> Axes:
    """Plot the p-values of new questions in order, with the line of Benjamini and Hochberg.

    Args:
        rule: that picks some of them.
        confidence: of each new question's answer, shape (m,).
        ax: where to draw; on a new figure when None.

    Returns:
        The axes.

    Example:
        >>> import numpy as np
        >>> from motes.evaluation.abstention import CalibrationSet, calibrate_selection
        >>> from motes.evaluation.abstention import plot_selection
        >>> known = CalibrationSet(np.linspace(0, 1, 19), np.arange(19) > 9)
        >>> rule = calibrate_selection(known, alpha=0.1)
        >>> plot_selection(rule, [0.9, 0.3, 0.8]).get_xlabel()
        'new questions, surest first'
    """
    values, picked = rule.p_values(confidence), rule.picks(confidence)
    order = np.argsort(values, kind="stable")
    places = np.arange(1, len(values) + 1)
    ax = one(ax, *SIZE)
    lines = ax.plot(places, rule.alpha * places / len(values), color=INK, label="alpha r / m")
    lines += _dots(ax, places, values[order], picked[order])
    frame(
        ax,
        title=f"{int(picked.sum())} of {len(values)} picked, false discovery rate {rule.alpha:g}",
        x="new questions, surest first",
        y="p-value of a wrong answer",
        grid="both",
    )
    legend(ax, lines)
    return ax


def plot_optimised_selection(
    rule: OptimisedSelectionRule, scores: ArrayLike, *, ax: Axes | None = None
) -> Axes:
    """Plot the p-value of each new question against the level that it is tested at.

    Args:
        rule: that picks some of them.
        scores: of each new question's answer, shape (m, K).
        ax: where to draw; on a new figure when None.

    Returns:
        The axes.

    Example:
        >>> import numpy as np
        >>> from motes.evaluation.abstention import CalibrationSet, calibrate_optimised_selection
        >>> from motes.evaluation.abstention import plot_optimised_selection
        >>> scores = np.linspace(0, 1, 19)[:, None]
        >>> known = CalibrationSet(scores[:, 0], np.arange(19) > 9, scores=scores)
        >>> rule = calibrate_optimised_selection(known, alpha=0.1, seed=1)
        >>> plot_optimised_selection(rule, [[0.9], [0.3], [0.8]]).get_xlabel()
        'level, alpha R / m'
    """
    found = rule.judge(scores)
    levels = rule.alpha * found.counts / len(found.counts)
    ax = one(ax, *SIZE)
    ends = np.array([0.0, rule.alpha])
    lines = ax.plot(ends, ends, color=INK, label="p-value = level")
    lines += _dots(ax, levels, found.p_values, found.picked)
    picked = f"{int(found.picked.sum())} of {len(levels)} picked"
    frame(
        ax,
        title=f"{picked}, false discovery rate {rule.alpha:g}",
        x="level, alpha R / m",
        y="p-value of a wrong answer",
        grid="both",
    )
    legend(ax, lines)
    return ax


def _dots(ax: Axes, x: np.ndarray, y: np.ndarray, picked: np.ndarray) -> list:
    """Draw questions that are picked, and others."""
    return [
        *ax.plot(x[picked], y[picked], "o", color=NAMED[0], label="picked"),
        *ax.plot(x[~picked], y[~picked], "o", color=FAINT, fillstyle="none", label="not picked"),
    ]
