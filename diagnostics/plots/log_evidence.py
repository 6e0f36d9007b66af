"""The log-evidence of several independent runs, and their pooled value."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan
from typing import TYPE_CHECKING, Any

import numpy as np

from ...ppl.posterior.pooling import check_poolable
from ...ppl.posterior.posterior import Posterior
from ...smc import Islands, combine
from ..formatting import counted
from .canvas import BLUE, INK, VERMILION, count_up, frame, legend, one

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_log_evidence(
    posteriors: Sequence[Posterior], *, died: int = 0, ax: Axes | None = None
) -> Axes:
    """Draw the log-evidence of K independent runs, their pooled value, and its standard error.

    The pooled value is the log of the mean of the Z-hat_k, unbiased on the natural scale where each
    of them is; the band is one standard error of the log to either side, to first order the
    relative error of that mean (see `motes.smc.combine`). The dots lie below it by about half their
    variance, on average: the log of an unbiased estimate is biased. The error is "?" for one run.

    Args:
        posteriors: of runs with different seeds on one question and target.
        died: how many further runs ended with `AllParticlesDead`; each is an estimate of zero, and
            to leave it out would be a bias.
        ax: where to draw; on a new figure when None.

    Returns:
        The axes.

    Raises:
        ValueError: a run has no evidence (as chains have none); they differ in question or target,
            or share a seed; there is none.
    """
    check_poolable(posteriors, died)
    values = np.array([posterior.log_evidence for posterior in posteriors], np.float64)
    runs = len(values) + died
    pooled = combine(np.zeros((runs, 1)), np.concatenate([values, np.full(died, -np.inf)]))
    middle, error = float(pooled.log_evidence), float(pooled.log_evidence_error)
    ax = one(ax, min(5.5 + 0.12 * runs, 10.0), 3.4)
    look: dict[str, Any] = {"color": INK, "markersize": 6, "zorder": 3, "label": "one run"}
    marks: list[Any] = ax.plot(np.arange(1, len(values) + 1), values, "o", **look)
    if not isnan(error):
        ax.axhspan(middle - error, middle + error, color=BLUE, alpha=0.18, linewidth=0)
    marks.append(ax.axhline(middle, color=BLUE, linewidth=1.8, label=_in_words(pooled)))
    if died:
        places = np.arange(len(values) + 1, runs + 1)
        marks += ax.plot(
            places,
            np.zeros(died),
            "v",
            color=VERMILION,
            markersize=8,
            label="died: minus infinity",
            transform=ax.get_xaxis_transform(),  # on the axis, whatever its range
            clip_on=False,
            zorder=3,
        )
    count_up(ax, runs)
    over = counted(runs, "independent run")
    if died:
        over += f", of which {died} died"
    frame(ax, title=f"Log-evidence over {over}", x="run", y="log-evidence (nats)", grid="y")
    legend(ax, marks)
    return ax


def _in_words(pooled: Islands) -> str:
    error = "?" if isnan(pooled.log_evidence_error) else f"{pooled.log_evidence_error:.2f}"
    return f"pooled {pooled.log_evidence:.2f} ± {error}"
