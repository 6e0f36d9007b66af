"""Pictures of tempering: the powers from the prior to the target, and the swaps along them."""

from __future__ import annotations

from itertools import pairwise
from math import isnan
from typing import TYPE_CHECKING

from ...ppl.posterior.posterior import Posterior
from ..formatting import counted
from .canvas import BLUE, FAINT, INK, count_up, frame, history_of, one

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_powers(posterior: Posterior, *, ax: Axes | None = None) -> Axes:
    """Draw the powers of tempered SMC by rung, from 0, the prior, to 1, the target.

    An adaptive ladder takes small steps where the target changes the weights most. Beside each rung
    stands the ESS that its reweighing left, in particles (in chains, if waste-free).

    Args:
        posterior: of `motes.samplers.TemperedSMC`.
        ax: where to draw; on a new figure when None.

    Returns:
        The axes.

    Raises:
        ValueError: the posterior has no ladder of powers.

    Source: Del Moral, Doucet and Jasra (2006), doi:10.1111/j.1467-9868.2006.00553.x.
    """
    powers = posterior.provenance.ladder
    if not powers:
        raise ValueError(
            f"a tempering path needs the powers of its rungs, which {posterior.sampler!r} does not "
            "give"
        )
    history = history_of(posterior, "a tempering path")
    rungs, slots = len(powers), history.log_weights.shape[1]
    unit = "particles" if posterior.genealogy is not None else "chains"
    ax = one(ax, min(4.8 + 0.3 * rungs, 9.0), 3.4)
    ax.plot(range(rungs + 1), [0.0, *powers], color=BLUE, marker="o", clip_on=False, zorder=3)
    for rung, (power, ess) in enumerate(zip(powers, history.ess.tolist(), strict=True), start=1):
        ax.annotate(
            f"ESS {ess:.3g}",
            (rung, power),
            (6, -8),
            textcoords="offset points",
            va="center",
            fontsize="small",
            color=INK,
        )
    count_up(ax, rungs)
    ax.set(xlim=(-0.2, rungs + 0.5), ylim=(0, 1.05))
    frame(
        ax,
        title=f"Tempering path, with the ESS of {slots} {unit}",
        x="rung",
        y="power of the likelihood",
        grid="y",
    )
    return ax


def plot_swaps(posterior: Posterior, *, ax: Axes | None = None) -> Axes:
    """Draw how often neighbouring replicas of parallel tempering changed places.

    Each bar is a pair of powers, and its height the share of attempts that succeeded.

    The powers are well placed where the rates are about equal, and a low one is a gap that replicas
    do not cross. Pairs that never tried have no bar.

    Args:
        posterior: of `motes.samplers.ParallelTempering`.
        ax: where to draw; on a new figure when None.

    Returns:
        The axes.

    Raises:
        ValueError: the posterior has no swap rates.

    Source: Syed, Bouchard-Côté, Deligiannidis and Doucet (2022), doi:10.1111/rssb.12464.
    """
    swaps = [move.rate for move in posterior.provenance.moves if move.kind == "swap"]
    if not swaps:
        raise ValueError(
            "a plot of swaps needs the swap rates of parallel tempering, which "
            f"{posterior.sampler!r} does not have"
        )
    betas = posterior.provenance.betas
    ax = one(ax, min(3.0 + 0.9 * len(swaps), 9.0), 3.4)
    tried = [(pair, rate) for pair, rate in enumerate(swaps) if not isnan(rate)]
    ax.bar([pair for pair, _ in tried], [rate for _, rate in tried], color=BLUE, width=0.6)
    for pair, rate in enumerate(swaps):
        words, colour = ("not tried", FAINT) if isnan(rate) else (f"{rate:.2f}", INK)
        ax.annotate(
            words,
            (pair, 0.0 if isnan(rate) else rate),
            (0, 3),
            textcoords="offset points",
            ha="center",
            color=colour,
            fontsize="small",
        )
    names = [f"{upper:.3g} ↔ {lower:.3g}" for upper, lower in pairwise(betas)]
    ax.set_xticks(range(len(swaps)), names)
    ax.set(xlim=(-0.6, len(swaps) - 0.4), ylim=(0, 1.1))
    trips = counted(posterior.provenance.round_trips, "round trip")
    frame(
        ax,
        title=f"Swaps between replicas; {trips}",
        x="powers of the neighbours",
        y="share of attempts that succeeded",
        grid="y",
    )
    return ax
