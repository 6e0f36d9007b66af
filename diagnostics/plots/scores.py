"""The reward model's scores along trajectories."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...aliases import Array
from ...log_odds import sigmoid
from ...ppl.posterior.posterior import Posterior
from .canvas import FAINT, INK, count_up, frame, legend, one
from .shades import WEIGHTLESS, keys, shades

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D


def plot_scores(posterior: Posterior, *, ax: Axes | None = None) -> Axes:
    """Draw the reward model's probability r_t that each step is right, along each trajectory.

    A line has the colour of its trajectory's answer, and is the wider and the more opaque the more
    probable the trajectory is; those with the same tokens are one line. It ends with a dot where
    the trajectory finished, with a cross where it was cut off. Trajectories of weight zero are thin
    and light grey.

    Args:
        posterior: of any sampler.
        ax: where to draw; on a new figure when None.

    Returns:
        The axes.

    Raises:
        ValueError: there are no scores: no reward model has judged the steps.

    Example:
        >>> import matplotlib
        >>> matplotlib.use("Agg")
        >>> import motes
        >>> from motes.models import TableLM
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> from motes.models import FunctionReward
        >>> prm = FunctionReward(lambda x: 1.0 - x.token_ids[-1])
        >>> posterior = motes.solve("?", lm=lm, prm=prm, particles=8, max_steps=4)
        >>> type(plot_scores(posterior)).__name__
        'Axes'
    """
    if not any(map(len, posterior.log_odds)):
        raise ValueError(
            "a plot of scores needs a reward model's score of each step, and the posterior has none"
        )
    groups = shades(posterior)
    colour = {answer: shade.colour for shade in groups for answer in shade.answers}
    label = dict(zip(posterior.trajectories, posterior.labels, strict=True))
    log_odds = dict(zip(posterior.trajectories, posterior.log_odds, strict=True))
    steps = max(map(len, posterior.log_odds))
    ax = one(ax, min(5.5 + 0.3 * steps, 10.0), 4.2)
    dead = [
        x
        for x, log_weight in zip(posterior.trajectories, posterior.log_weights, strict=True)
        if log_weight == -np.inf
    ]
    for x in dead:
        _draw(ax, x, log_odds[x], color=WEIGHTLESS, linewidth=0.7, zorder=1.8)
    heaviest = posterior.distinct[posterior.best]
    for x, probability in reversed(list(posterior.distinct.items())):  # the heaviest on top
        share = (probability / heaviest) ** 0.5
        _draw(
            ax,
            x,
            log_odds[x],
            color=colour[label[x]],
            linewidth=0.5 + 2.5 * share,
            alpha=0.2 + 0.8 * share,
        )
    greatest = max(0.1, *(right(row).max() for row in posterior.log_odds if len(row)))
    ax.set_ylim(-0.03 * greatest, 1.08 * greatest)
    count_up(ax, steps)
    frame(
        ax,
        title="Reward model's scores along trajectories",
        x="step",
        y="probability that the step is right",
        grid="y",
    )
    legend(ax, [*keys(groups), *_ends(posterior, bool(dead))], "answer (probability)")
    return ax


def right(log_odds: np.ndarray) -> np.ndarray:
    """Convert log-odds, which may be infinite, to r, the probability of being right."""
    return sigmoid(log_odds)


def _draw(ax: Axes, x: Array, log_odds: np.ndarray, **look: Any) -> None:
    """Draw one trajectory's line, and how it ended."""
    if not len(log_odds):  # it died before it was scored
        return
    scores = right(log_odds)
    size = 3.0 + look["linewidth"]
    ax.plot(
        np.arange(1, len(scores) + 1),
        scores,
        marker="o" if x.finished else "X",
        markevery=[len(scores) - 1],
        markersize=size,
        **look,
    )


def _ends(posterior: Posterior, dead: bool) -> list[Line2D]:
    """Make the legend's entries for the ways that trajectories end, and for dead ones."""
    from matplotlib.lines import Line2D

    dot: dict[str, Any] = {
        "color": "none",
        "markeredgecolor": INK,
        "markerfacecolor": FAINT,
        "markersize": 6,
    }
    finished = {x.finished for x in posterior.trajectories}
    entries = []
    if True in finished:
        entries.append(Line2D([], [], marker="o", label="finished", **dot))
    if False in finished:
        entries.append(Line2D([], [], marker="X", label="cut off", **dot))
    if dead:
        entries.append(Line2D([], [], color=WEIGHTLESS, linewidth=1.5, label="weight zero"))
    return entries
