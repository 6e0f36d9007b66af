"""What a search has written, and what became of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...ppl.posterior.posterior import Posterior
from ..formatting import counted
from .ancestry import SMALL, score_greys
from .canvas import FAINT, count_up, frame, legend, one
from .shades import WEIGHTLESS, keys, shades
from .tree_layout import TreeLayout, tree_layout, tree_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

MOST = 120  # lines of a picture


def plot_tree(posterior: Posterior, *, ax: Axes | None = None) -> Axes:
    """Draw the tree of a search: each dot is a step, joined to the one that it was drawn after.

    Lines have the colour of the answer that they lead to; what was given up is light grey. The
    darker a dot, the more the search took the prefix to be worth. Equal siblings are one dot. Of a
    large tree the lines that lead to answers are drawn, and those of the greatest value. Heights
    have no meaning.

    Args:
        posterior: of a search.
        ax: where to draw; on a new figure when None.

    Returns:
        The axes.

    Raises:
        ValueError: the posterior has no tree.

    Example:
        >>> import matplotlib
        >>> matplotlib.use("Agg")
        >>> import motes
        >>> from motes.models import FunctionReward, TableLM
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> prm = FunctionReward(lambda x: 1.0 - x.token_ids[-1])
        >>> posterior = motes.solve("?", lm=lm, prm=prm, sampler="beam_search", max_steps=4)
        >>> type(plot_tree(posterior)).__name__
        'Axes'
    """
    tree = tree_of(posterior, "a picture of a tree")
    groups = shades(posterior)
    layout = tree_layout(tree, posterior, groups, MOST)
    deepest = int(layout.depths.max())
    ax = one(ax, min(5.0 + 0.35 * deepest, 11.0), float(np.clip(2.2 + 0.05 * layout.lines, 3.2, 8)))
    row = 72 * ax.bbox.height / ax.figure.dpi / max(layout.lines, 1)  # in points
    colours = np.array([*(group.colour for group in groups), WEIGHTLESS])
    _draw_lines(ax, layout, colours, float(np.clip(row / 2, 0.8, 2.0)))
    _draw_dots(ax, layout, colours, float(np.clip(0.75 * row, 1.2, 7.0)))
    count_up(ax, deepest)
    ax.set_ylim(layout.lines - 0.5, -0.5)
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    title = f"Tree of {counted(len(tree) - 1, 'step')}"
    if layout.lines < layout.of:
        title += f": {layout.lines} of {layout.of} lines"
    frame(ax, title=title, x="step", y="lines of reasoning")
    legend(ax, [*keys(groups), *_entries(layout)], "answer (probability)")
    return ax


def _draw_lines(ax: Axes, layout: TreeLayout, colours: np.ndarray, width: float) -> None:
    """Draw a line from each dot to its parent; those that lead nowhere are underneath."""
    from matplotlib.collections import LineCollection

    inner = layout.parents >= 0
    above = layout.parents[inner]
    parents = np.stack([layout.depths[above], layout.rows[above]], axis=-1)
    children = np.stack([layout.depths[inner], layout.rows[inner]], axis=-1)
    segments = np.stack([parents, children], axis=-2)
    shade = layout.shade[inner]
    order = np.argsort(shade >= 0, kind="stable")
    widths = np.where(shade < 0, 0.6 * width, width)
    ax.add_collection(
        LineCollection(
            list(segments[order]),
            colors=list(colours[shade[order]]),
            linewidths=list(widths[order]),
            zorder=2,
        )
    )


def _draw_dots(ax: Axes, layout: TreeLayout, colours: np.ndarray, size: float) -> None:
    """Draw the dots, `size` points high."""
    edges = list(colours[layout.shade])
    values = np.nan_to_num(layout.value)  # what was not valued is as light as what is worth nothing
    look = {"c": values, "cmap": score_greys(), "vmin": 0.0, "vmax": 1.0, "s": size**2}
    if size > SMALL:
        look |= {"edgecolors": edges, "linewidths": size / 6}
    ax.scatter(layout.depths, layout.rows, zorder=4, **look)


def _entries(layout: TreeLayout) -> list[Line2D]:
    """Make the legend's entries for lines that end, and for dots."""
    from matplotlib.lines import Line2D

    entries = []
    if (layout.shade < 0).any():
        entries.append(Line2D([], [], color=WEIGHTLESS, linewidth=1.5, label="given up"))
    grey = score_greys()
    for level in (0.0, 0.5, 1.0):
        dot = Line2D(
            [],
            [],
            color="none",
            marker="o",
            markersize=6,
            markeredgecolor=FAINT,
            markerfacecolor=grey(level),
            label=f"value {level:g}",
        )
        entries.append(dot)
    return entries
