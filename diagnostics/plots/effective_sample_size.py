"""Pictures of the weights: the ESS at each step, and how unequal the weights are in the end."""

from __future__ import annotations

from math import log
from typing import TYPE_CHECKING

import numpy as np

from ...aliases import Axes, SeveralAxes
from ...ppl.posterior.posterior import Posterior
from ...smc import entropy
from .canvas import (
    BLUE,
    FAINT,
    INK,
    VERMILION,
    count_up,
    frame,
    generation,
    history_of,
    legend,
    mark_resampling,
    one,
    several,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_ess(posterior: Posterior, *, axes: SeveralAxes | None = None) -> np.ndarray:
    """Draw the effective sample size and the entropy of a filter's weights after each step.

        ESS = 1 / sum_i W_i^2, in particles        entropy = - sum_i W_i log W_i, in nats

    Both are of the weights before any later resampling, and greatest, N and log N, where all
    weights are equal. Dotted lines mark resampling, a dashed one the ESS below which the population
    is resampled, where the sampler has such a threshold.

    Args:
        posterior: of a filter, or of importance sampling.
        axes: two axes, for the ESS and the entropy; of a new figure when None.

    Returns:
        The two axes, shape (2,).

    Raises:
        ValueError: the posterior has no history of steps, or `axes` are not two.

    Example:
        >>> import matplotlib
        >>> matplotlib.use("Agg")
        >>> import motes
        >>> from motes.models import TableLM
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> from motes.models import FunctionReward
        >>> prm = FunctionReward(lambda x: 1.0 - x.token_ids[-1])
        >>> posterior = motes.solve("?", lm=lm, prm=prm, particles=8, max_steps=4)
        >>> type(plot_ess(posterior)).__name__
        'ndarray'
    """
    history = history_of(posterior, "a plot of the ESS by step")
    steps, slots = history.log_weights.shape
    entropies = [float(entropy(row)) for row in history.log_weights]
    unit = "particles" if posterior.genealogy is not None else "chains"
    panels = several(axes, 2, min(5.0 + 0.25 * steps, 9.0), 4.2, sharex=True)
    upper, lower = panels
    threshold = posterior.provenance.ess_threshold * slots
    for ax, values, most in ((upper, history.ess, slots), (lower, entropies, log(slots))):
        ax.plot(np.arange(1, steps + 1), values, color=BLUE, marker="o", markersize=5, zorder=3)
        marks = [ax.axhline(most, color=FAINT, linewidth=1, label=f"equal weights: {most:.4g}")]
        if ax is upper and threshold:
            marks.append(
                ax.axhline(
                    threshold,
                    color=VERMILION,
                    linestyle="--",
                    linewidth=1,
                    label=f"resamples below {threshold:.4g}",
                )
            )
        resampling = mark_resampling(ax, history)
        if resampling is not None:
            marks.append(resampling)
        ax.set_ylim(0, 1.08 * max(most, 0.1))
        legend(ax, marks)
        count_up(ax, steps)
    frame(upper, title="Effective sample size", y=f"ESS ({unit})", grid="y")
    frame(
        lower, title="Entropy of the weights", x=generation(posterior), y="entropy (nats)", grid="y"
    )
    return panels


def plot_lorenz(posterior: Posterior, *, ax: Axes | None = None) -> Axes:
    """Draw how unequal the final weights are: the Lorenz curve, with the Gini coefficient.

    The curve shows which share of the weight the lightest particles hold together, from the
    lightest up. On the diagonal all weights are equal; the Gini coefficient is twice the area
    between the two, 0 for equal weights and 1 - 1/N for a single particle. Dead particles count,
    with weight zero; copies of one trajectory count each.

    Args:
        posterior: of weighted particles.
        ax: where to draw; on a new figure when None.

    Returns:
        The axes.

    Raises:
        ValueError: the posterior is of chains, whose draws have equal weights by construction.

    Source: Lorenz (1905), doi:10.2307/2276207; Gini (1912).

    Example:
        >>> import matplotlib
        >>> matplotlib.use("Agg")
        >>> import motes
        >>> from motes.models import TableLM
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> from motes.models import FunctionReward
        >>> prm = FunctionReward(lambda x: 1.0 - x.token_ids[-1])
        >>> posterior = motes.solve("?", lm=lm, prm=prm, particles=8, max_steps=4)
        >>> type(plot_lorenz(posterior)).__name__
        'Axes'
    """
    if posterior.chains:
        raise ValueError(
            f"a Lorenz curve is for weighted particles, and the draws of {posterior.sampler!r} all "
            "weigh the same"
        )
    particles, weight = lorenz(np.exp(posterior.log_weights))
    slots = len(particles) - 1
    gini = 1 - 2 * float(np.trapezoid(weight, particles))
    ax = one(ax, 4.6, 4.4)
    ax.plot([0, 1], [0, 1], color=FAINT, linewidth=1, label="equal weights")
    ax.fill_between(particles, weight, particles, color=BLUE, alpha=0.12, linewidth=0)
    ax.plot(
        particles,
        weight,
        color=BLUE,
        marker="o" if slots <= 32 else "",
        markersize=4,
        label=f"Gini coefficient {max(gini, 0.0):.2f}",
    )
    ax.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    frame(
        ax,
        title="Concentration of the weights",
        x=f"share of the {slots} particles, lightest first",
        y="share of the weight",
        grid="both",
    )
    ax.legend(loc="upper left", frameon=False, fontsize="small", labelcolor=INK)
    return ax


def lorenz(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute the Lorenz curve of N weights.

    Returns:
        The shares of the particles, 0, 1/N, ..., 1, and the share of the weight that so many of the
        lightest hold; each of shape (N + 1,).
    """
    cumulative = np.concatenate([[0.0], np.cumsum(np.sort(weights))])
    return np.linspace(0, 1, len(cumulative)), cumulative / cumulative[-1]
