"""Helpers that the pictures share: axes to draw on, frames, marks of resampling and legends.

matplotlib is imported by the first picture that is drawn, and not before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...aliases import Axes, SeveralAxes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

    from ...ppl.posterior.posterior import Posterior
    from ...smc import History

INK, FAINT, GRID = "#333333", "#999999", "#E6E6E6"
BLUE, VERMILION = "#0072B2", "#D55E00"


def one(ax: Axes | None, width: float, height: float) -> Axes:
    """Return these axes, or those of a new figure of this size in inches."""
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=(width, height), layout="constrained")[1]


def several(
    axes: SeveralAxes | None,
    panels: int,
    width: float,
    height: float,
    *,
    columns: int = 1,
    **settings: Any,
) -> np.ndarray:
    """Return these axes, or those of a new figure of this size, as an array of shape (panels,).

    Args:
        axes: an array or a sequence of axes; None for a new figure.
        panels: how many axes.
        width, height: of a new figure, in inches.
        columns: of a new figure.
        settings: of a new figure, as matplotlib's `subplots` takes them.

    Raises:
        ValueError: there are more or fewer axes.
    """
    if axes is not None:
        given = np.asarray(axes, dtype=object).ravel()
        if len(given) != panels:
            raise ValueError(f"axes must be {panels} axes, one for each panel, not {len(given)}")
        return given
    import matplotlib.pyplot as plt

    rows = -(-panels // columns)
    _, made = plt.subplots(
        rows, columns, figsize=(width, height), layout="constrained", squeeze=False, **settings
    )
    for spare in made.ravel()[panels:]:
        spare.remove()
    return made.ravel()[:panels]


def frame(ax: Axes, *, title: str = "", x: str = "", y: str = "", grid: str | None = None) -> None:
    """Set title and labels; no lines above and right; a faint grid along "x", "y" or "both"."""
    ax.set_title(title, loc="left", fontsize="medium")
    ax.set_xlabel(x)
    ax.set_ylabel(y)
    ax.spines[["top", "right"]].set_visible(False)
    if grid is not None:
        ax.grid(axis=grid, color=GRID, linewidth=0.8)  # type: ignore[arg-type]
        ax.set_axisbelow(True)


def count_up(ax: Axes, last: int) -> None:
    """Let the x-axis go from 1 to this number, with whole numbers as ticks."""
    from matplotlib.ticker import MaxNLocator

    ax.xaxis.set_major_locator(MaxNLocator(nbins=12, integer=True, min_n_ticks=1))
    ax.set_xlim(0.5, last + 0.5)


def mark_resampling(ax: Axes, history: History) -> Line2D | None:
    """Draw a dotted line before each step that resampling preceded.

    It is halfway from the step before.

    Returns:
        One of the lines, for a legend; None where there are none.
    """
    lines = [
        ax.axvline(t - 0.5, color=INK, linestyle=":", linewidth=1, zorder=1.5, label="resampled")
        for t, resampled in enumerate(history.resampled.tolist(), start=1)
        if resampled
    ]
    return lines[0] if lines else None


def legend(ax: Axes, handles: Sequence[Any], title: str = "") -> None:
    """Put a legend to the right of the axes."""
    ax.legend(
        handles=handles,
        title=title or None,
        loc="upper left",
        bbox_to_anchor=(1.01, 1.0),
        frameon=False,
        fontsize="small",
        title_fontsize="small",
        alignment="left",
    )


def generation(posterior: Posterior) -> str:
    """Name what one row of the history is: "step", or "rung" of a tempering path."""
    return posterior.provenance.unit


def history_of(posterior: Posterior, picture: str) -> History:
    """Return the history of the steps. Raises ValueError where there is none."""
    if posterior.history is None or not len(posterior.history.ess):
        raise ValueError(
            f"{picture} needs the history of a filter's steps, and this posterior of "
            f"{posterior.sampler!r} has none"
        )
    return posterior.history


def chains_of(posterior: Posterior, picture: str) -> int:
    """Return the number of chains. Raises ValueError where there are none."""
    if not posterior.chains:
        raise ValueError(
            f"{picture} is for chains, and the draws of {posterior.sampler!r} are weighted "
            "particles"
        )
    return posterior.chains
