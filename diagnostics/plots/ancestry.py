"""The ancestry of a filter's particles: which of them survived, and what they answered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...ppl.posterior.posterior import Posterior
from ..formatting import counted
from .canvas import FAINT, count_up, frame, generation, history_of, legend, mark_resampling, one
from .forest import Forest, forest
from .shades import WEIGHTLESS, Shade, keys, shades

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.lines import Line2D


# points: lower dots are drawn as bars of this width, so that their grey can be seen
SMALL, WIDE = 3.0, 6.0


def plot_ancestry(posterior: Posterior, *, ax: Axes | None = None) -> Axes:
    """Draw who descends from whom: a line from every particle to its parent.

    Time goes from the first step on the left to the last on the right. Lines that lead to a
    particle of positive weight have the colour of its answer (where they lead to several, of the
    answer with most of the weight), the others are light grey. A dot is a particle that has written
    a step, the darker the more probable the reward model holds it that the step is right; of a step
    that was rewritten later, as it stands in the end. After its last step a trajectory has no dots.
    Dots are plain, and there at every step, where there are no scores to show: without a reward
    model, on a tempering path, and of a program, which need not be
    weighed once for each step it writes. Dotted lines mark resampling. Heights have no meaning:
    lines are ordered so that they do not cross.

    Args:
        posterior: of a filter each of whose slots holds one trajectory.
        ax: where to draw; on a new figure when None.

    Returns:
        The axes.

    Raises:
        ValueError: the posterior has no genealogy, as chains and waste-free populations have none.

    Source: after the ancestral lineages of Andrieu, Doucet and Holenstein (2010),
    doi:10.1111/j.1467-9868.2009.00736.x; why few of them reach far back: Jacob, Murray and
    Rubenthaler (2015), doi:10.1007/s11222-013-9445-x.

    Example:
        >>> import matplotlib
        >>> matplotlib.use("Agg")
        >>> import motes
        >>> from motes.models import TableLM
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> from motes.models import FunctionReward
        >>> prm = FunctionReward(lambda x: 1.0 - x.token_ids[-1])
        >>> posterior = motes.solve("?", lm=lm, prm=prm, particles=8, max_steps=4)
        >>> type(plot_ancestry(posterior)).__name__
        'Axes'
    """
    history = history_of(posterior, "an ancestry")
    if posterior.genealogy is None:
        raise ValueError(
            "an ancestry needs one trajectory for each slot, and those of this "
            f"{posterior.sampler!r} hold several"
        )
    groups = shades(posterior)
    grown = forest(posterior, groups)
    steps, slots = history.ancestors.shape
    ax = one(ax, min(5.0 + 0.35 * steps, 11.0), float(np.clip(2.2 + 0.04 * slots, 3.2, 7.0)))
    row = 72 * ax.bbox.height / ax.figure.dpi / slots  # in points
    _draw_lines(ax, grown, history.ancestors, groups, float(np.clip(row / 2, 0.8, 2.0)))
    scored = _draw_dots(ax, grown, groups, float(np.clip(0.75 * row, 1.2, 7.0)))
    entries = [*keys(groups), *_entries(grown, scored)]
    resampling = mark_resampling(ax, history)
    if resampling is not None:
        entries.append(resampling)
    count_up(ax, steps)
    ax.set_ylim(slots - 0.5, -0.5)
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    frame(
        ax,
        title=f"Ancestry of {counted(slots, 'particle')}",
        x=generation(posterior),
        y="particles",
    )
    legend(
        ax,
        entries,
        "answer (probability)",
    )
    return ax


def _draw_lines(
    ax: Axes, grown: Forest, ancestors: np.ndarray, groups: list[Shade], width: float
) -> None:
    """Draw a line from each particle of steps 2 to T to its parent, `width` points wide.

    Those without living descendants are underneath.
    """
    from matplotlib.collections import LineCollection

    steps = len(ancestors)
    starts = np.take_along_axis(grown.rows[:-1], ancestors[1:], axis=1)
    left = np.broadcast_to(np.arange(1, steps)[:, None], starts.shape)
    parents = np.stack([left, starts], axis=-1)
    children = np.stack([left + 1, grown.rows[1:]], axis=-1)
    segments = np.stack([parents, children], axis=-2).reshape(-1, 2, 2)
    shade = grown.shade[1:].ravel()
    order = np.argsort(shade >= 0, kind="stable")
    colours = np.array([*(group.colour for group in groups), WEIGHTLESS])
    widths = np.where(shade < 0, 0.6 * width, width)
    ax.add_collection(
        LineCollection(
            list(segments[order]),
            colors=list(colours[shade[order]]),
            linewidths=list(widths[order]),
            zorder=2,
        )
    )


def _draw_dots(ax: Axes, grown: Forest, groups: list[Shade], size: float) -> bool:
    """Draw the particles' dots, `size` points high, and say whether they show scores."""
    scored = ~np.isnan(grown.score)
    dead = grown.shade < 0
    t, slot = np.nonzero(dead)
    ax.scatter(
        t + 1, grown.rows[t, slot], s=(size / 2) ** 2, color=WEIGHTLESS, linewidth=0, zorder=3
    )
    t, slot = np.nonzero(scored if scored.any() else ~dead)
    colours = [groups[number].colour for number in grown.shade[t, slot]]
    look: dict[str, Any] = {"color": colours}
    if scored.any():
        look = {"c": grown.score[t, slot], "cmap": score_greys(), "vmin": 0.0, "vmax": 1.0}
    if size > SMALL:
        look |= {"s": size**2, "edgecolors": colours, "linewidths": size / 6}
    else:
        look |= {
            "s": WIDE**2,
            "marker": [(-WIDE, -size), (WIDE, -size), (WIDE, size), (-WIDE, size)],
            "linewidths": 0,
        }
    ax.scatter(t + 1, grown.rows[t, slot], zorder=4, **look)
    return bool(scored.any())


def _entries(grown: Forest, scored: bool) -> list[Line2D]:
    """Make the legend's entries for lines that end, and for dots."""
    from matplotlib.lines import Line2D

    entries = []
    if (grown.shade < 0).any():
        label = "no living descendant"
        entries.append(Line2D([], [], color=WEIGHTLESS, linewidth=1.5, label=label))
    if scored:
        grey = score_greys()
        dot: dict[str, Any] = {
            "color": "none",
            "marker": "o",
            "markersize": 6,
            "markeredgecolor": FAINT,
        }
        for level in (0.0, 0.5, 1.0):
            label = f"PRM score {level:g}"
            entries.append(Line2D([], [], **dot, markerfacecolor=grey(level), label=label))
    return entries


def score_greys() -> Colormap:
    """Make the colours of scores: from a light grey, darker than paper, to black."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("scores", ["#E8E8E8", "#000000"])
