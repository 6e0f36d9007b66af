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
from math import nan
from typing import TYPE_CHECKING

import numpy as np

from .. import checks
from ..diagnostics.plots.canvas import frame, legend, one
from ..diagnostics.plots.shades import NAMED, readable
from .law_rows import LawRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike

    from .results import Results


@dataclass(frozen=True, eq=False)
class RiskCurve:
    """The risk at each coverage of n answers, surest first.

    Attributes:
        risk: share of wrong answers among the first m = 1, ..., n, shape (n,).

    Example:
        >>> from motes.evaluation import risk_curve
        >>> curve = risk_curve([0.9, 0.8, 0.3, 0.6], [True, True, False, False])
        >>> curve.coverage.tolist(), curve.risk.round(2).tolist()
        ([0.25, 0.5, 0.75, 1.0], [0.0, 0.0, 0.33, 0.5])
    """

    risk: np.ndarray

    @property
    def coverage(self) -> np.ndarray:
        """The share of questions that is answered, m / n, shape (n,)."""
        return np.arange(1, len(self.risk) + 1) / len(self.risk)

    @property
    def aurc(self) -> float:
        """The area under the curve of risk; that of a random order is the last risk."""
        return float(self.risk.mean())

    @property
    def augrc(self) -> float:
        """The area under the curve of risk times coverage; in a random order about half a risk."""
        return float(np.mean(self.risk * self.coverage))

    def rows(self) -> tuple[LawRow, ...]:
        """Return the two areas, and the error that is left when everything is answered."""
        return (
            LawRow("AURC", self.aurc, nan, nan, "Mean risk over all shares that are answered."),
            LawRow("AUGRC", self.augrc, nan, nan, "Mean share that is answered, and wrong."),
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
        lines += ax.plot(curve.coverage, curve.risk, "-", color=colour, label=label)
    frame(ax, title="Risk against coverage", x="share that is answered", y="wrong", grid="both")
    ax.set_xlim(0, 1)
    ax.set_ylim(bottom=0)
    legend(ax, lines)
    return ax


def risk_curve(confidence: ArrayLike, right: ArrayLike) -> RiskCurve:
    """Return the curve of answers held with these confidences.

    Args:
        confidence: of each of n answers, finite, on any scale, shape (n,).
        right: whether each is, shape (n,).

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
    _, group, size = np.unique(-sure, return_inverse=True, return_counts=True)
    # in a random order, each place of a group of ties has the mean loss of the group
    loss = np.repeat(np.bincount(group, ~truths) / size, size)
    return RiskCurve(np.cumsum(loss) / np.arange(1, len(loss) + 1))


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
    return risk_curve([run.probability for run in runs], [run.right for run in runs])
