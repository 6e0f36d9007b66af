"""The ancestry of a filter's particles as the page draws it, so that lines can be followed.

Where there are more particles than a page can hold, those of the greatest final weight are kept,
with all their ancestors: whole lines, so that each can be followed to its beginning. What was left
out is said.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ...ppl.posterior.posterior import Posterior
from ...smc import lineages
from ..plots.forest import Forest, forest
from ..plots.shades import shades
from .particles import Particle, particle_numbers, visible

ROWS, COLUMNS, NODES = 64, 120, 2_400  # at most: particles, steps, and both together
FEWEST = 8  # particles, however many steps there are
ACROSS, DOWN, MARGIN = 46, 14, 16  # units of the drawing: between steps, between particles, around


# what the numbers of a particle are called
NAMES = {
    "dot": "particle",
    "score": "score",
    "symbol": "r = ",
    "weight": "weight then",
    "final": "weight in the end",
    "lost": "nothing: no living descendant",
}


class Dot(NamedTuple):
    """A particle as it is drawn.

    Attributes:
        x, y: where.
        shade: number of its answer's shade; -1 without living descendants.
        score: of its step; None without.
        rest: whether it had ended before.
        line: the path to its parent, as SVG's `d`; "" without.
    """

    x: float
    y: float
    shade: int
    score: float | None
    rest: bool
    line: str


class Words(NamedTuple):
    """What a drawing says of itself.

    Attributes:
        title: its heading.
        introduction: what rows, columns and lines are.
        lost: what a line is that leads nowhere.
        dot: what a dot is.
        left_out: which dots are drawn, where not all are; "" where all are.
    """

    title: str
    introduction: str
    lost: str
    dot: str
    left_out: str


class Ancestry(NamedTuple):
    """A drawing.

    Attributes:
        words: what it says of itself.
        kind: what one column is, "step" or "rung".
        width, height: of the drawing.
        dots: the particles, column by column.
        columns: for each column its x and its number.
        resampled: where resampling is marked.
        whole: whether everything is drawn.
        scored: whether dots show scores.
        data: what the page's script needs; see `motes.diagnostics.report.particles`.
    """

    words: Words
    kind: str
    width: float
    height: float
    dots: list[Dot]
    columns: list[tuple[float, int]]
    resampled: list[float]
    whole: bool
    scored: bool
    data: dict[str, Any]


def ancestry(posterior: Posterior) -> Ancestry | None:
    """Lay out the drawing; None where the posterior has no genealogy, or no steps."""
    history = posterior.genealogy
    if history is None or not len(history.ess):
        return None
    steps, slots = history.ancestors.shape
    groups = shades(posterior)
    grown = forest(posterior, groups)
    lineage = lineages(history.ancestors)[1:]
    first = max(steps - COLUMNS, 0)
    rows = min(ROWS, max(NODES // (steps - first), FEWEST))
    kept = _heaviest(posterior.log_weights, rows)
    heights = _heights(grown, lineage, kept)
    shown = [Particle(t, slot) for t in range(first, steps) for slot in sorted(heights[t])]
    data: dict[str, Any] = particle_numbers(posterior, shown, lineage, grown)
    data["answers"] = [visible(group.name) for group in groups]
    data["names"] = NAMES
    dots: list[Dot] = []
    for i, (t, slot) in enumerate(shown):
        x = MARGIN + ACROSS * (t - first)
        y = round(MARGIN + DOWN * heights[t][slot], 1)
        parent = data["parent"][i]  # drawn before its children
        to_parent = "" if parent < 0 else line((dots[parent].x, dots[parent].y), (x, y))
        ended = data["ended"][i] > 0
        dots.append(Dot(x, y, data["answer"][i], data["score"][i], ended, to_parent))
    resampled = [t for t in range(first + 1, steps) if history.resampled[t]]
    held = float(np.exp(posterior.log_weights[kept]).sum())
    left_out = (
        f"Of {slots} particles the {len(kept)} with the greatest final weight are drawn, with all "
        f"their ancestors. Together they hold {held:.0%} of the weight."
    )
    return Ancestry(
        words=Words(
            title="Ancestry",
            introduction=(
                f"Each row of dots is a particle, each column a {data['kind']}; a line joins a "
                "particle to the one it descends from, in the colour of the answer that it leads "
                "to. Where few lines leave the left edge, all answers rest on few beginnings."
            ),
            lost="no living descendant",
            dot="particle",
            left_out="" if len(kept) == slots else left_out,
        ),
        kind=data["kind"],
        width=2 * MARGIN + ACROSS * (steps - first - 1),
        height=2 * MARGIN + DOWN * (len(kept) - 1),
        dots=dots,
        columns=[(MARGIN + ACROSS * (t - first), t + 1) for t in range(first, steps)],
        resampled=[MARGIN + ACROSS * (t - first - 0.5) for t in resampled],
        whole=len(kept) == slots,
        scored=any(score is not None for score in data["score"]),
        data=data,
    )


def _heaviest(log_weights: np.ndarray, most: int) -> np.ndarray:
    """Select the slots of the greatest weight, in their order."""
    return np.sort(np.argsort(-log_weights, kind="stable")[:most])


def _heights(grown: Forest, lineage: np.ndarray, kept: np.ndarray) -> list[dict[int, float]]:
    """Give the height of every drawn particle, in rows, by step and slot.

    If all are drawn, it is that of the forest; otherwise the mean of the particle's descendants.
    """
    steps, slots = grown.rows.shape
    if len(kept) == slots:
        return [dict(enumerate(row.tolist())) for row in grown.rows]
    from_top = kept[np.argsort(grown.rows[-1, kept])].tolist()
    row = {slot: i for i, slot in enumerate(from_top)}
    heights = []
    for t in range(steps):
        descendants: dict[int, list[int]] = {}
        for slot in kept.tolist():
            descendants.setdefault(int(lineage[t, slot]), []).append(row[slot])
        heights.append({slot: sum(rows) / len(rows) for slot, rows in descendants.items()})
    return heights


def line(parent: tuple[float, float], child: tuple[float, float]) -> str:
    """Draw a line from parent to child, bent only where they differ in height."""
    (x, y), (to_x, to_y) = parent, child
    if y == to_y:
        return f"M{x:g} {y:g}H{to_x:g}"
    middle = (x + to_x) / 2
    return f"M{x:g} {y:g}C{middle:g} {y:g} {middle:g} {to_y:g} {to_x:g} {to_y:g}"
