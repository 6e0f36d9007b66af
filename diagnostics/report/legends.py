"""A picture's legend, taken out of it, so that on a small screen its lines break and its letters stay large."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .colours import variable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

DASHES = {"-": "", "--": "5 3", ":": "1.5 3", "-.": "5 2 1 2"}
MARKS = {"o": "dot", "X": "cross", "v": "triangle"}


class Key(NamedTuple):
    """An entry of a legend.

    Attributes:
        label: what it means.
        line: the line's colour as a style's value; "" without a line.
        width: of the line, pixels.
        dash: SVG's stroke-dasharray.
        mark: "dot", "cross", "triangle" or "".
        fill, edge: of the mark, colours likewise.
    """

    label: str
    line: str
    width: float
    dash: str
    mark: str
    fill: str
    edge: str


class Keys(NamedTuple):
    """A legend: its title, which may be empty, and its entries."""

    title: str
    entries: list[Key]


def taken(axes: list[Axes]) -> list[Keys]:
    """The legends of these axes, which lose them; where there are several, one without a title gets that of its axes."""
    legends = {ax: legend for ax in axes if (legend := ax.get_legend()) is not None}
    found = []
    for ax, legend in legends.items():
        title = legend.get_title().get_text() or (
            ax.get_title(loc="left").partition(":")[0] if len(legends) > 1 else ""
        )
        handles = zip(legend.legend_handles, legend.get_texts(), strict=True)
        found.append(Keys(title, [key(handle, text.get_text()) for handle, text in handles]))  # type: ignore[arg-type]
        legend.remove()
    return found


def key(handle: Line2D, label: str) -> Key:
    """The entry of a line."""
    from matplotlib.colors import to_hex

    colour, mark = handle.get_color(), MARKS.get(str(handle.get_marker()), "")
    invisible = handle.get_linestyle() == "None" or (isinstance(colour, str) and colour == "none")
    fill, edge = handle.get_markerfacecolor(), handle.get_markeredgecolor()
    return Key(
        label=label.replace(r"\$", "$").strip(),
        line="" if invisible else variable(to_hex(colour)),
        width=min(float(handle.get_linewidth()), 3.0),
        dash=DASHES.get(str(handle.get_linestyle()), ""),
        mark=mark,
        fill=variable(to_hex(fill)) if mark else "",
        edge=variable(to_hex(edge)) if mark else "",
    )
