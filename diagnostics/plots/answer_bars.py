"""The posterior over answers, as bars."""

from __future__ import annotations

from math import isnan, nan
from typing import TYPE_CHECKING

from ...ppl.posterior.posterior import Posterior
from ..formatting import plus_minus
from .canvas import INK, frame, one
from .shades import NO_ANSWER, OTHERS, other, readable, shades

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST = 12  # bars of answers by name


def plot_answers(posterior: Posterior, *, ax: Axes | None = None) -> Axes:
    """The probability of each answer, the most probable first, with one Monte Carlo standard error to either side.

    Beside each bar stands its value ± its standard error, "?" where that is undefined: see
    `Posterior.answer_mcse`, which says when. Answers after the twelfth share a bar, which has no
    error; the bar of no answer comes last.

    Args:
        posterior: of any sampler.
        ax: where to draw; on a new figure when None.

    Returns:
        The axes.
    """
    colour = {answer: shade.colour for shade in shades(posterior) for answer in shade.answers}
    probabilities, errors = posterior.answers, posterior.answer_mcse
    stated = [answer for answer in probabilities if answer is not None]
    named, others = stated[:MOST], stated[MOST:]
    rows = [
        (readable(answer), colour[answer], probabilities[answer], errors[answer])
        for answer in named
    ]
    if None in probabilities:
        rows.append((readable(None), NO_ANSWER, probabilities[None], errors[None]))
    undefined = sum(isnan(error) for *_, error in rows)
    label = "probability ± Monte Carlo standard error" + " (?: undefined)" * (undefined > 0)
    if undefined == len(rows):
        label = "probability (its standard error is undefined)"
    if others:
        rows.insert(
            len(named),
            (other(len(others)), OTHERS, sum(probabilities[answer] for answer in others), nan),
        )
    names, colours, heights, sizes = (list(column) for column in zip(*rows, strict=True))
    reach = [
        height + (0.0 if isnan(size) else size) for height, size in zip(heights, sizes, strict=True)
    ]
    places = range(len(rows))
    ax = one(ax, 6.4, 1.3 + 0.3 * len(rows))
    ax.barh(places, heights, color=colours, height=0.7)
    for place in places:
        if not isnan(sizes[place]):
            ax.errorbar(
                heights[place], place, xerr=sizes[place], color=INK, linewidth=1.2, capsize=3
            )
        words = (
            f"{heights[place]:.3f}"
            if others and place == len(named)
            else plus_minus(heights[place], sizes[place])
        )
        ax.annotate(
            words,
            (reach[place], place),
            (6, 0),
            textcoords="offset points",
            va="center",
            fontsize="small",
        )
    ax.set_yticks(places, names)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.set_xlim(0, 1.3 * max(reach))
    ax.set_xticks([tick for tick in ax.get_xticks() if 0 <= tick <= 1])
    frame(ax, title="Posterior of the answer", x=label, grid="x")
    return ax
