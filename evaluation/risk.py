"""Risk against coverage: how often an arm is wrong when it answers only where it is surest.

The confidence in an answer is its posterior probability. Of n runs in the order of falling
confidence, with loss 1 for a wrong answer and 0 for a right one,

    risk(m) = mean loss of the first m
    AURC    = mean over m of risk(m)
    AUGRC   = mean over m of (losses among the first m) / n

AURC: Geifman, Uziel and El-Yaniv (2019), arXiv:1805.08206. AUGRC, which does not count an early
error again and again: Traub et al. (2024), arXiv:2407.01032. Runs of equal confidence come in
random order, and the figures are expectations over it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import nan
from typing import TYPE_CHECKING

import numpy as np

from .. import checks
from ..diagnostics.plots.canvas import frame, legend, one
from ..diagnostics.plots.shades import NAMED, readable
from .law_rows import LawRow
from .risk_intervals import Ranked, area_ends, risk_ends

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike

    from .results import Results

BAND = 0.18  # opacity
AURC = "Mean share of wrong answers among those given, over all shares that are answered."
AUGRC = "Mean share of questions that are answered, and wrong, over all shares that are answered."
EXCESS = "0 where every right answer is held with more confidence than every wrong one."


@dataclass(frozen=True, eq=False)
class RiskCurve:
    """The risk at each coverage of n answers, surest first.

    Attributes:
        risk: share of wrong answers among the first m = 1, ..., n, shape (n,).
        answers: that it is of, for intervals.

    Example:
        >>> from motes.evaluation import risk_curve
        >>> curve = risk_curve([0.9, 0.8, 0.3, 0.6], [True, True, False, False])
        >>> curve.coverage.tolist(), curve.risk.round(2).tolist()
        ([0.25, 0.5, 0.75, 1.0], [0.0, 0.0, 0.33, 0.5])
    """

    risk: np.ndarray
    answers: Ranked

    @property
    def coverage(self) -> np.ndarray:
        """The share of questions that is answered, m / n, shape (n,)."""
        return np.arange(1, len(self.risk) + 1) / len(self.risk)

    @cached_property
    def ends(self) -> tuple[np.ndarray, np.ndarray]:
        """The lower and upper ends of the risk's 95% credible intervals, each of shape (n,)."""
        return risk_ends(self.risk, self.answers)

    @cached_property
    def area_ends(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """The 95% intervals of AURC and of AUGRC; see `motes.evaluation.risk_intervals`."""
        return area_ends(self.answers)

    @property
    def aurc(self) -> float:
        """The area under the curve of risk; that of a random order is the last risk."""
        return float(self.risk.mean())

    @property
    def excess_aurc(self) -> float:
        """How much larger the area is than that of the perfect order, right answers first."""
        count = len(self.risk)
        wrong = round(float(self.risk[-1]) * count)
        answered = np.arange(count - wrong + 1, count + 1)  # the wrong ones come last
        least = np.sum((answered - (count - wrong)) / answered) / count
        return self.aurc - float(least)

    @property
    def augrc(self) -> float:
        """The area under the curve of risk times coverage; in a random order about half a risk."""
        return float(np.mean(self.risk * self.coverage))

    def rows(self) -> tuple[LawRow, ...]:
        """Return the two areas, and by how much the first exceeds that of the perfect order."""
        aurc_ends, augrc_ends = self.area_ends
        return (
            LawRow("AURC", self.aurc, *aurc_ends, AURC),
            LawRow("AUGRC", self.augrc, *augrc_ends, AUGRC),
            LawRow("AURC above the perfect order's", self.excess_aurc, nan, nan, EXCESS),
        )


def plot_risk(curves: Mapping[str, RiskCurve], *, ax: Axes | None = None) -> Axes:
    """Plot risk against coverage: how often each arm is wrong where it answers its surest share.

    Args:
        curves: by the names of their arms.
        ax: where to draw; on a new figure when None.

    Returns:
        The axes.

    Raises:
        ValueError: there are no curves.

    Example:
        >>> from motes.evaluation import plot_risk, risk_curve
        >>> plot_risk({"vote": risk_curve([0.9, 0.4], [True, False])}).get_xlabel()
        'share that is answered'
    """
    if not curves:
        raise ValueError("curves must hold at least one curve")
    ax = one(ax, 6.4, 3.8)
    lines = []
    for place, (name, curve) in enumerate(curves.items()):
        label = f"{readable(name)}  (AURC {curve.aurc:.3f})"
        colour = NAMED[place % len(NAMED)]
        ax.fill_between(curve.coverage, *curve.ends, color=colour, alpha=BAND, linewidth=0)
        lines += ax.plot(curve.coverage, curve.risk, "-", color=colour, label=label)
    title = "Risk against coverage (bands: 95% intervals)"
    frame(ax, title=title, x="share that is answered", y="wrong among them", grid="both")
    ax.set_xlim(0, 1)
    ax.set_ylim(bottom=0)
    legend(ax, lines)
    return ax


def risk_curve(
    confidence: ArrayLike, right: ArrayLike, question: ArrayLike | None = None
) -> RiskCurve:
    """Return the curve of answers held with these confidences.

    Args:
        confidence: of each of n answers, finite, on any scale, shape (n,).
        right: whether each is, shape (n,).
        question: what each is an answer to, integers, shape (n,); another one for each when None.
            Answers to one question are not independent, and intervals are the wider for it.

    Raises:
        TypeError: `right` holds something other than truths.
        ValueError: there are no answers, the shapes differ, or a confidence is not finite.

    Example:
        >>> from motes.evaluation import risk_curve
        >>> risk_curve([0.9, 0.5, 0.5], [True, False, True]).risk.round(3).tolist()
        [0.0, 0.25, 0.333]
    """
    sure, truths = np.asarray(confidence, np.float64), np.asarray(right)
    if truths.dtype != np.bool_:
        raise TypeError(f"right must hold truths, not {truths.dtype}")
    if sure.ndim != 1 or sure.shape != truths.shape or not sure.size:
        raise ValueError(
            f"confidence and right must have the same shape (n,), n at least 1, not {sure.shape} "
            f"and {truths.shape}"
        )
    if not np.isfinite(sure).all():
        raise ValueError("confidence must be finite")
    asked = np.arange(len(sure)) if question is None else np.asarray(question)
    if asked.shape != sure.shape:
        raise ValueError(f"question must have the shape {sure.shape}, not {asked.shape}")
    order = np.argsort(-sure, kind="stable")
    _, group, size = np.unique(-sure[order], return_inverse=True, return_counts=True)
    _, number = np.unique(asked[order], return_inverse=True)
    wrong = ~truths[order]
    # in a random order, each place of a group of ties has the mean loss of the group
    loss = np.repeat(np.bincount(group, wrong) / size, size)
    risk = np.cumsum(loss) / np.arange(1, len(loss) + 1)
    return RiskCurve(risk, Ranked(wrong, group, number))


def risk_of_arm(evaluation: Results, arm: int = 0) -> RiskCurve:
    """Return the curve of all runs of an arm on the problems that all arms are done with.

    A run without an answer counts as wrong, with confidence 0.

    Args:
        evaluation: at least one of whose problems all arms are done with.
        arm: its place in `evaluation.arms`.

    Raises:
        TypeError, ValueError: `arm` is not an integer, or out of range; no problem is done.

    Example:
        >>> import motes, tempfile
        >>> from pathlib import Path
        >>> from motes.evaluation import risk_of_arm
        >>> from motes.models import TableLM
        >>> evaluation = motes.evaluate(
        ...     [("?", 1), ("!", 0)],
        ...     samplers={"vote": motes.samplers.MajorityVote(samples=3)},
        ...     answer=lambda x: str(x.token_ids[0]) if x.finished else None,
        ...     lm=TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2),
        ...     prm=None, max_steps=3, progress=False,
        ...     results=Path(tempfile.mkdtemp()) / "results.jsonl",
        ... )
        >>> risk_of_arm(evaluation).coverage.tolist()
        [0.5, 1.0]
    """
    arm = checks.count("arm", arm, least=0, most=len(evaluation.arms) - 1)
    whole = set(evaluation.whole)
    if not whole:
        raise ValueError("a risk curve needs at least one problem that all samplers are done with")
    runs = [run for run in evaluation.records if run.arm == arm and run.problem in whole]
    return risk_curve(
        [run.probability for run in runs],
        [run.right for run in runs],
        [run.problem for run in runs],
    )
