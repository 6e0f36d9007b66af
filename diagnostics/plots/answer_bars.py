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
    """Draw the probability of each answer as a bar, the most probable first.

    Each bar has one Monte Carlo standard error to either side. Next to it stands its value ± its
    standard error, "?" where that is undefined: see
    `Posterior.answer_mcse`, which says when. Answers after the twelfth share a bar, which has no
    error; the bar of no answer comes last.

    Args:
        posterior: of any sampler.
        ax: where to draw; on a new figure when None.

    Returns:
        The axes.

    Example:
        >>> import matplotlib
        >>> matplotlib.use("Agg")
        >>> import motes
        >>> from motes.models import TableLM
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> from motes.models import FunctionReward
        >>> prm = FunctionReward(lambda x: 1.0 - x.token_ids[-1])
        >>> posterior = motes.solve("?", lm=lm, prm=prm, particles=8, max_steps=4)
        >>> type(plot_answers(posterior)).__name__
        'Axes'
    """
    colour = {answer: shade.colour for shade in shades(posterior) for answer in shade.answers}
    probabilities = posterior.answers
    errors = posterior.answer_mcse
    stated = [answer for answer in probabilities if answer is not None]
    named, others = stated[:MOST], stated[MOST:]
    rows = [
        (readable(answer), colour[answer], probabilities[answer], errors[answer])
        for answer in named
    ]
    if None in probabilities:
        rows.append((readable(None), NO_ANSWER, probabilities[None], errors[None]))
    undefined = sum(isnan(error) for *_, error in rows)
    label = "probability ± Monte Carlo standard error"
    if undefined == len(rows):
        label = "probability (its standard error is undefined)"
    elif undefined:
        label += " (?: undefined)"
    if others:
        total = sum(probabilities[answer] for answer in others)
        rows.insert(len(named), (other(len(others)), OTHERS, total, nan))
    names, colours, heights, sizes = (list(column) for column in zip(*rows, strict=True))
    places = range(len(rows))
    ends = []  # of the bars, with their standard errors
    ax = one(ax, 6.4, 1.3 + 0.3 * len(rows))
    ax.barh(places, heights, color=colours, height=0.7)
    for place, height, size in zip(places, heights, sizes, strict=True):
        end = height
        if not isnan(size):
            end += size
            ax.errorbar(height, place, xerr=size, color=INK, linewidth=1.2, capsize=3)
        ends.append(end)
        words = plus_minus(height, size)
        if others and place == len(named):
            words = f"{height:.3f}"
        ax.annotate(
            words,
            (end, place),
            (6, 0),
            textcoords="offset points",
            va="center",
            fontsize="small",
        )
    ax.set_yticks(places, names)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.set_xlim(0, 1.3 * max(ends))
    ax.set_xticks([tick for tick in ax.get_xticks() if 0 <= tick <= 1])
    frame(ax, title="Posterior of the answer", x=label, grid="x")
    return ax
