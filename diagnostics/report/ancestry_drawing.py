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
from .particles import Particle, particle_numbers, said

ROWS, COLUMNS, NODES = 64, 120, 2_400  # at most: particles, steps, and both together
FEWEST = 8  # particles, however many steps there are
ACROSS, DOWN, MARGIN = 46, 14, 16  # units of the drawing: between steps, between particles, around


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


class Ancestry(NamedTuple):
    """A drawing.

    Attributes:
        kind: what one column is, "step" or "rung".
        width, height: of the drawing.
        dots: the particles, column by column.
        columns: for each column its x and its number.
        resampled: where resampling is marked.
        shown, slots: how many of the last particles are drawn, and how many there are.
        held: how much of the weight the drawn ones hold.
        scored: whether dots show scores.
        data: what the page's script needs; see `motes.diagnostics.report.particles`.
    """

    kind: str
    width: float
    height: float
    dots: list[Dot]
    columns: list[tuple[float, int]]
    resampled: list[float]
    shown: int
    slots: int
    held: float
    scored: bool
    data: dict[str, Any]


def ancestry(posterior: Posterior) -> Ancestry | None:
    """The drawing; None where the posterior has no genealogy, or no steps."""
    history = posterior.genealogy
    if history is None or not len(history.ess):
        return None
    steps, slots = history.ancestors.shape
    groups = shades(posterior)
    grown, lineage = forest(posterior, groups), lineages(history.ancestors)[1:]
    first = max(steps - COLUMNS, 0)
    kept = _heaviest(posterior.log_weights, min(ROWS, max(NODES // (steps - first), FEWEST)))
    heights = _heights(grown, lineage, kept)
    shown = [Particle(t, slot) for t in range(first, steps) for slot in sorted(heights[t])]
    data: dict[str, Any] = particle_numbers(posterior, shown, lineage, grown)
    data["answers"] = [said(group.name) for group in groups]
    places = [
        (MARGIN + ACROSS * (t - first), round(MARGIN + DOWN * heights[t][slot], 1))
        for t, slot in shown
    ]
    lines = [
        "" if parent < 0 else _line(places[parent], place)
        for parent, place in zip(data["parent"], places, strict=True)
    ]
    looks = zip(places, data["answer"], data["score"], data["ended"], lines, strict=True)
    return Ancestry(
        kind=data["kind"],
        width=2 * MARGIN + ACROSS * (steps - first - 1),
        height=2 * MARGIN + DOWN * (len(kept) - 1),
        dots=[
            Dot(*place, shade, score, ended > 0, line) for place, shade, score, ended, line in looks
        ],
        columns=[(MARGIN + ACROSS * (t - first), t + 1) for t in range(first, steps)],
        resampled=[
            MARGIN + ACROSS * (t - first - 0.5)
            for t in range(first + 1, steps)
            if history.resampled[t]
        ],
        shown=len(kept),
        slots=slots,
        held=float(np.exp(posterior.log_weights[kept]).sum()),
        scored=any(score is not None for score in data["score"]),
        data=data,
    )


def _heaviest(log_weights: np.ndarray, most: int) -> np.ndarray:
    """The slots of the greatest weight, in their order."""
    return np.sort(np.argsort(-log_weights, kind="stable")[:most])


def _heights(grown: Forest, lineage: np.ndarray, kept: np.ndarray) -> list[dict[int, float]]:
    """Of every drawn particle, by step and slot, in rows: of all as the forest has them, of some in the middle of their descendants."""
    steps, slots = grown.rows.shape
    if len(kept) == slots:
        return [dict(enumerate(row.tolist())) for row in grown.rows]
    row = {slot: i for i, slot in enumerate(kept[np.argsort(grown.rows[-1, kept])].tolist())}
    below: list[dict[int, list[int]]] = [{} for _ in range(steps)]
    for t in range(steps):
        for slot in kept.tolist():
            below[t].setdefault(int(lineage[t, slot]), []).append(row[slot])
    return [{slot: sum(rows) / len(rows) for slot, rows in column.items()} for column in below]


def _line(parent: tuple[float, float], child: tuple[float, float]) -> str:
    """From parent to child, bent only where they differ in height."""
    (x, y), (to_x, to_y) = parent, child
    if y == to_y:
        return f"M{x:g} {y:g}H{to_x:g}"
    middle = (x + to_x) / 2
    return f"M{x:g} {y:g}C{middle:g} {y:g} {middle:g} {to_y:g} {to_x:g} {to_y:g}"
