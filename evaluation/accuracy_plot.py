"""Accuracy against generated tokens: what was measured, and what was fitted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..diagnostics.plots.canvas import frame, legend, one
from ..diagnostics.plots.shades import NAMED, readable
from .accuracy_table import credible

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .results import Results
    from .scaling_fit import ScalingFit

MARKERS = "osD^vP"  # so that colours which come again can be told apart
POINTS = 97  # of a curve
BAND = 0.18  # opacity


def plot_accuracy(
    evaluation: Results,
    fit: ScalingFit | None = None,
    *,
    probability: float = 0.95,
    ax: Axes | None = None,
) -> Axes:
    """Plot the accuracy of each method against the tokens it generates for a problem.

    Each dot is a method at one budget, with the 95% credible interval of its accuracy by itself,
    from Jeffreys' prior; lines and bands are the posterior medians and intervals of the fit, within
    what was measured.

    Args:
        evaluation: at least one of whose problems all arms are done with.
        fit: of the evaluation (`evaluation.fit()`); None for dots alone.
        probability: of the bands, between 0 and 1.
        ax: where to draw; on a new figure when None.

    Returns:
        The axes.

    Raises:
        ValueError: nothing is done, or no tokens were counted; the fit is of other samplers.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import motes
        >>> from motes.models import TableLM
        >>> from motes.samplers import MajorityVote
        >>> file = Path(tempfile.mkdtemp()) / "results.jsonl"
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> ask = {"lm": lm, "prm": None, "max_steps": 3, "progress": False, "results": file}
        >>> first = lambda x: str(x.token_ids[0]) if x.finished else None
        >>> vote = {"vote": MajorityVote(samples=3)}
        >>> evaluation = motes.evaluate([("?", 1), ("!", 0)], samplers=vote, answer=first, **ask)
        >>> from matplotlib.figure import Figure
        >>> plot_accuracy(evaluation, ax=Figure().subplots()).get_ylabel()
        'accuracy'
    """
    if not evaluation.whole or not np.all(evaluation.tokens.mean(axis=0) > 0):
        raise ValueError(
            "a plot needs at least one problem that all samplers are done with, and tokens that "
            "were counted"
        )
    if fit is not None and fit.arms != tuple(arm.name for arm in evaluation.arms):
        raise ValueError(
            f"fit must be of this evaluation's samplers, not of {', '.join(fit.samplers)}"
        )
    ax = one(ax, 6.4, 3.8)
    handles = [
        _draw(ax, evaluation, fit, name, place, probability)
        for place, name in enumerate(evaluation.methods)
    ]
    ax.set_xscale("log", base=2)
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    intervals = "dots: 95% intervals" + (
        "" if fit is None else f"; bands: {100 * probability:g}% of the fit"
    )
    frame(
        ax,
        title=f"Accuracy on {len(evaluation.whole)} problems ({intervals})",
        x="tokens generated a problem",
        y="accuracy",
        grid="both",
    )
    legend(ax, handles)
    return ax


def _draw(
    ax: Axes, evaluation: Results, fit: ScalingFit | None, name: str, place: int, probability: float
) -> object:
    """Return one method; what stands for it in a legend."""
    arms = [k for k, arm in enumerate(evaluation.arms) if arm.name == name]
    tokens, right = evaluation.tokens[:, arms].mean(axis=0), evaluation.right[:, arms]
    accuracy = right.mean(axis=0) / evaluation.repeats
    low, high = np.array([credible(column, evaluation.repeats) for column in right.T]).T
    colour, marker = NAMED[place % len(NAMED)], MARKERS[place // len(NAMED) % len(MARKERS)]
    spread = np.stack([accuracy - low, high - accuracy])
    dots = ax.errorbar(
        tokens,
        accuracy,
        spread,
        fmt=marker,
        color=colour,
        markersize=6,
        linewidth=1.4,
        capsize=3,
        label=readable(name),
    )
    if fit is not None:
        curve = fit.curve(name, np.geomspace(*fit.measured(name), POINTS), probability=probability)
        ax.plot(curve.tokens, curve.median, color=colour, linewidth=1.8)
        ax.fill_between(curve.tokens, curve.low, curve.high, color=colour, alpha=BAND, linewidth=0)
    return dots
