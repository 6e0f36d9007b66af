"""The pictures that a posterior has, drawn for the page.

Which those are, the pictures themselves say: `motes.diagnostics.plots` refuses a posterior that
lacks what a picture needs, and the report leaves that picture out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from markupsafe import Markup

from ...ppl.posterior.posterior import Posterior
from .. import plots
from .captions import KINDS, Kind
from .legends import Legend, take_legends
from .svg import drawing, inline

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH = 4.6  # inches, so that eleven points are legible on a phone
CELLS = 2_000  # draws that are drawn as one cell each


class Picture(NamedTuple):
    """A picture as the page shows it.

    Attributes:
        name: of the function in `motes.diagnostics.plots`, without "plot_".
        title: its heading.
        svg: the picture.
        painted: whether its colours are those of a light page, whatever the page.
        legends: its legends, taken out of the drawing.
        caption: how to read it.
    """

    name: str
    title: str
    svg: Markup
    painted: bool
    legends: list[Legend]
    caption: str


def pictures(posterior: Posterior, *, every: bool) -> list[Picture]:
    """Draw the pictures that the posterior has.

    Args:
        posterior: of any sampler.
        every: whether the ancestry of all particles, or the whole tree of a search, is among them.
    """
    drawn = []
    for kind in KINDS:
        if kind.name in ("ancestry", "tree") and not every:
            continue
        one = picture(posterior, kind)
        if one is not None:
            drawn.append(one)
    return drawn


def picture(posterior: Posterior, kind: Kind) -> Picture | None:
    """Draw one picture; None where the posterior lacks what it needs."""
    with drawing():
        axes = _axes(posterior, kind)
        draw = getattr(plots, f"plot_{kind.name}")
        canvas = {"axes": axes} if kind.panels(posterior) else {"ax": axes[0]}
        try:
            draw(kind.of(posterior), **canvas, **kind.settings(posterior))
        except ValueError:  # it says what is lacking
            return None
        legends = take_legends(axes)
        title = kind.title or axes[0].get_title(loc="left").replace(r"\$", "$")
        if not kind.title:
            axes[0].set_title("", loc="left")
        _tidy(axes, kind, paint=len(posterior.trajectories) > CELLS)
        words = kind.alt(posterior)
        label = f"{title}: {words}" if words else title
        name = kind.name.replace("_", "-")
        svg, painted = inline(axes[0].figure, name, label)  # type: ignore[arg-type]
    return Picture(kind.name, title, svg, painted, legends, kind.caption)


def _axes(posterior: Posterior, kind: Kind) -> list[Axes]:
    """Make the axes that a picture needs, on a figure that pyplot does not manage."""
    from matplotlib.figure import Figure

    panels = kind.panels(posterior) or 1
    figure = Figure(figsize=(WIDTH, kind.height(posterior)), layout="constrained")
    rows = -(-panels // kind.columns)
    grid = figure.subplots(rows, kind.columns, squeeze=False, **kind.layout)
    axes = grid.ravel().tolist()
    for spare in axes[panels:]:
        spare.remove()
    return axes[:panels]


def _tidy(axes: list[Axes], kind: Kind, *, paint: bool) -> None:
    """Rasterise large meshes; label only the outer axes of a grid."""
    from matplotlib.collections import QuadMesh
    from matplotlib.ticker import MaxNLocator

    for number, ax in enumerate(axes):
        for cells in (of for of in ax.collections if isinstance(of, QuadMesh)):
            cells.set(edgecolor="face", rasterized=paint)
        if kind.columns > 1:
            ax.xaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
            ax.set_xlabel(ax.get_xlabel() if number >= len(axes) - kind.columns else "")
            ax.set_ylabel(ax.get_ylabel() if number % kind.columns == 0 else "")
            lines = ax.get_title(loc="left").rsplit(": ", 1)  # too long for one line
            ax.set_title("\n".join(lines), loc="left", fontsize="medium")
