"""Rank plots: whether chains have been at the same places (Vehtari et al. 2021).

All draws of all chains are ranked together, and each chain's ranks are counted in bins of equal
width. Where the chains have mixed every bin of every chain holds the same, up to chance. Draws that
tie, as those of a length or of an indicator do, share their ranks evenly: what a bin holds is the
mean over all ways to break the ties.
"""

from __future__ import annotations

import numpy as np

from ...aliases import Axes, SeveralAxes
from ...ppl.posterior.posterior import Posterior
from .canvas import FAINT, chains_of, frame, several
from .chain_quantities import chain_colours, heading, indicators, measures

COLUMNS = 3
MOST = 20  # bins
DRAWS = 5  # of a chain, that each bin is to hold


def plot_rank(posterior: Posterior, *, axes: SeveralAxes | None = None) -> np.ndarray:
    """Draw rank histograms of chains: of the log-density, the length and each answer.

    Each chain has a row of bars; the dashed line is what each bar would be if the chains had mixed.
    For an answer, which a draw states or does not, a step in a chain's bars says that it states it
    more often, or less, than all chains do. The panels' headings give R-hat and ESS. Answers are
    grouped as in all pictures.

    Args:
        posterior: of chains.
        axes: one for each panel: log-density, length, and one for each shade of answers; of a new
            figure when None.

    Returns:
        The axes, shape (panels,).

    Raises:
        ValueError: the posterior is not of chains, or there are more or fewer `axes` than panels.

    Source: Vehtari, Gelman, Simpson, Carpenter and Bürkner (2021), doi:10.1214/20-BA1221.

    Example:
        >>> import matplotlib
        >>> matplotlib.use("Agg")
        >>> import motes
        >>> from motes.models import TableLM
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> ask = {"lm": lm, "prm": None, "max_steps": 4, "chains": 2, "iterations": 8}
        >>> posterior = motes.solve("?", sampler="suffix_metropolis", **ask)
        >>> plot_rank(posterior) is not None
        True
    """
    chains = chains_of(posterior, "a rank plot")
    quantities = [*measures(posterior), *indicators(posterior)]
    rows = -(-len(quantities) // COLUMNS)
    panels = several(
        axes, len(quantities), 3.4 * COLUMNS, rows * (1.3 + 0.3 * chains), columns=COLUMNS
    )
    bins = int(np.clip(len(posterior.trajectories) // chains // DRAWS, 2, MOST))
    for number, (ax, quantity) in enumerate(zip(panels, quantities, strict=True)):
        below = number >= len(quantities) - COLUMNS
        frame(ax, title=heading(quantity), x="rank among all draws" if below else "", y="chain")
        ax.set_yticks(np.arange(chains) + 0.4, range(chains, 0, -1))
        ax.tick_params(axis="y", length=0)
        if np.isnan(quantity.values).any():
            ax.text(
                0.5,
                0.5,
                "not known of every draw",
                transform=ax.transAxes,
                ha="center",
                color=FAINT,
            )
        else:
            _draw(ax, rank_counts(quantity.values, bins))
    return panels


def rank_counts(values: np.ndarray, bins: int) -> np.ndarray:
    """Count the draws of each chain in bins of rank, ties shared evenly.

    Args:
        values: shape (C, S).
        bins: of equal width, from rank 0 to rank C S.

    Returns:
        Counts, not always whole, that sum to the number of draws; shape (C, bins).
    """
    _, inverse, ties = np.unique(values, return_inverse=True, return_counts=True)
    above = np.cumsum(ties)
    edges = np.linspace(0, values.size, bins + 1)
    # draws that tie at a value have their ranks spread evenly over (above - ties, above]
    below = np.clip((edges - (above - ties)[:, None]) / ties[:, None], 0, 1)
    return np.diff(below, axis=1)[inverse.reshape(values.shape)].sum(axis=1)


def _draw(ax: Axes, counts: np.ndarray) -> None:
    """Draw a row of bars for each chain, the first uppermost, all on one scale.

    The dashed lines are at equal counts.
    """
    chains, bins = counts.shape
    draws = counts[0].sum()
    even = draws / bins
    scale = 0.9 / max(2 * even, counts.max())
    width = chains * draws / bins
    for chain, (row, colour) in enumerate(zip(counts, chain_colours(chains), strict=True)):
        base = chains - 1 - chain
        ax.bar(
            np.arange(bins) * width,
            row * scale,
            width=0.92 * width,
            bottom=base,
            align="edge",
            color=colour,
            linewidth=0,
        )
        ax.axhline(base + even * scale, color=FAINT, linestyle="--", linewidth=1)
    ax.set_xlim(0, chains * draws)
    ax.set_ylim(-0.05, chains)
