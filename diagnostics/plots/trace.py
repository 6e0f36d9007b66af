"""Traces: where chains have been, draw by draw."""

from __future__ import annotations

import numpy as np

from ...aliases import Axes, SeveralAxes
from ...ppl.posterior.posterior import Posterior
from .canvas import chains_of, frame, legend, several
from .chain_quantities import chain_colours, heading, measures
from .shades import keys, shade_numbers, shades

NAMED = 10  # chains that fit into a legend


def plot_trace(posterior: Posterior, *, axes: SeveralAxes | None = None) -> np.ndarray:
    """Draw the log-density, length and answer of every chain's draws, in their order.

    The first two are lines, a colour for each chain, with R-hat and ESS (see
    `motes.ppl.posterior.mixing`); the third is a row of cells for each chain, in the colours of the
    answers. Chains that have mixed look alike and change often.

    Args:
        posterior: of chains.
        axes: three axes; of a new figure when None.

    Returns:
        The three axes, shape (3,).

    Raises:
        ValueError: the posterior is not of chains, or `axes` are not three.

    Example:
        >>> import matplotlib
        >>> matplotlib.use("Agg")
        >>> import motes
        >>> from motes.models import TableLM
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> ask = {"lm": lm, "prm": None, "max_steps": 4, "chains": 2, "iterations": 8}
        >>> posterior = motes.solve("?", sampler="suffix_metropolis", **ask)
        >>> plot_trace(posterior) is not None
        True
    """
    chains = chains_of(posterior, "a trace plot")
    draws = len(posterior.trajectories) // chains
    colours = chain_colours(chains)
    marker = "o" if draws == 1 else ""  # a line through one draw would not be seen
    panels = several(
        axes,
        3,
        8.0,
        5.2 + 0.15 * chains,
        sharex=True,
        height_ratios=[1.2, 1.0, 0.5 + 0.12 * chains],
    )
    for ax, quantity in zip(panels, measures(posterior), strict=False):
        lines = []
        for number, (row, colour) in enumerate(zip(quantity.values, colours, strict=True), start=1):
            style = {"color": colour, "marker": marker, "label": f"chain {number}"}
            lines += ax.plot(np.arange(1, draws + 1), row, linewidth=1, **style)
        frame(ax, title=heading(quantity), y=f"{quantity.name} ({quantity.unit})", grid="y")
        if ax is panels[0] and chains <= NAMED:
            legend(ax, lines)
    _draw_answers(panels[2], posterior, chains, draws)
    return panels


def _draw_answers(ax: Axes, posterior: Posterior, chains: int, draws: int) -> None:
    """Draw a cell for each draw, a row for each chain, the first uppermost."""
    from matplotlib.colors import ListedColormap

    groups = shades(posterior)
    numbers = shade_numbers(posterior, groups).reshape(chains, draws)
    colours = ListedColormap([shade.colour for shade in groups])
    edges = np.arange(draws + 1) + 0.5, np.arange(chains + 1) + 0.5
    ax.pcolormesh(*edges, numbers, cmap=colours, vmin=-0.5, vmax=len(groups) - 0.5)
    ax.hlines(np.arange(1, chains) + 0.5, 0.5, draws + 0.5, color="white", linewidth=2)
    ax.set_ylim(chains + 0.5, 0.5)
    ax.set_yticks(range(1, chains + 1))
    ax.tick_params(axis="y", length=0)
    ax.set_xlim(0.5, draws + 0.5)
    frame(ax, title="answer", x="draw", y="chain")
    ax.spines[["left", "bottom"]].set_visible(False)
    legend(ax, keys(groups), "answer (probability)")
