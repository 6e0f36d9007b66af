"""A picture's legend, taken out of it.

So its lines can break on a small screen, and its letters stay large.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .colours import variable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

DASHES = {"-": "", "--": "5 3", ":": "1.5 3", "-.": "5 2 1 2"}
MARKS = {"o": "dot", "X": "cross", "v": "triangle"}


class LegendEntry(NamedTuple):
    """An entry of a legend.

    Attributes:
        label: what it means.
        line: the line's colour as a style's value; "" without a line.
        width: of the line, pixels.
        dash: SVG's stroke-dasharray.
        mark: "dot", "cross", "triangle" or "".
        fill, edge: colours of the mark as a style's values; "" without a mark.
    """

    label: str
    line: str
    width: float
    dash: str
    mark: str
    fill: str
    edge: str


class Legend(NamedTuple):
    """A legend: its title, which may be empty, and its entries."""

    title: str
    entries: list[LegendEntry]


def take_legends(axes: list[Axes]) -> list[Legend]:
    """Remove the legends from these axes, and return them.

    Where there are several, one without a title gets that of its axes.
    """
    legends = {ax: ax.get_legend() for ax in axes}
    present = {ax: legend for ax, legend in legends.items() if legend is not None}
    taken = []
    for ax, legend in present.items():
        title = legend.get_title().get_text()
        if not title and len(present) > 1:
            title = ax.get_title(loc="left").partition(":")[0]
        handles = zip(legend.legend_handles, legend.get_texts(), strict=True)
        entries = [legend_entry(handle, text.get_text()) for handle, text in handles]  # type: ignore[arg-type]
        taken.append(Legend(title, entries))
        legend.remove()
    return taken


def legend_entry(handle: Line2D, label: str) -> LegendEntry:
    """Describe one line of a legend."""
    from matplotlib.colors import to_hex

    colour = handle.get_color()
    mark = MARKS.get(str(handle.get_marker()), "")
    invisible = handle.get_linestyle() == "None" or (isinstance(colour, str) and colour == "none")
    fill = handle.get_markerfacecolor()
    edge = handle.get_markeredgecolor()
    return LegendEntry(
        label=label.replace(r"\$", "$").strip(),
        line="" if invisible else variable(to_hex(colour)),
        width=min(float(handle.get_linewidth()), 3.0),
        dash=DASHES.get(str(handle.get_linestyle()), ""),
        mark=mark,
        fill=variable(to_hex(fill)) if mark else "",
        edge=variable(to_hex(edge)) if mark else "",
    )
