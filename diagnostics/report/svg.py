"""matplotlib's figures as SVG that belongs to the page: its fonts, its colours, no names that could meet another picture's."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from markupsafe import Markup

from .colours import themed
from .visible_text import legible

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HEAVY = 700_000  # characters of SVG from which lines and areas are painted instead
# characters that XML cannot hold; those that cannot be printed are gone by then
NOT_XML = {0xFFFE: 0xFFFD, 0xFFFF: 0xFFFD}
SVG, LINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}href"
LOOK: dict[str, Any] = {
    # text stays text, which the page's own fonts print, and readers can search and hear
    "svg.fonttype": "none",
    "svg.hashsalt": "motes",  # the same picture is the same file
    "font.size": 11.0,
    "text.color": "#333333",
    "axes.labelcolor": "#333333",
    "axes.titlecolor": "#333333",
    "axes.edgecolor": "#999999",
    "xtick.color": "#333333",
    "ytick.color": "#333333",
    "savefig.dpi": 160,
}


@contextmanager
def drawing() -> Iterator[None]:
    """While it lasts, matplotlib draws for the page; characters that its own font lacks are no matter, since the browser prints them."""
    import matplotlib

    with matplotlib.rc_context(LOOK), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from")
        yield


def inline(figure: Figure, name: str, label: str) -> tuple[Markup, bool]:
    """The figure as an element of the page, and whether it had to be painted, so that its colours are fixed.

    Args:
        figure: of matplotlib.
        name: unlike that of any other picture on the page; letters and hyphens.
        label: what is said instead to who cannot see it.
    """
    text, painted = _saved(figure), False
    if len(text) > HEAVY:
        for artist in (
            artist for ax in figure.axes for artist in (*ax.lines, *ax.collections, *ax.patches)
        ):
            artist.set_rasterized(True)
        text, painted = _saved(figure), True
    root = ElementTree.fromstring(text)
    for element in list(root):
        if element.tag.endswith("metadata"):
            root.remove(element)
    _rename(root, name)
    for element in root.iter():
        for style in [child for child in element if child.tag == f"{SVG}style"]:
            element.remove(style)  # it would hold for the whole page
        if element.text:
            element.text = legible(element.text)
        if "style" in element.attrib:
            element.set("style", _restyled(element.attrib["style"]))
        element.tag = element.tag.removeprefix(SVG)
    view = root.attrib["viewBox"]
    root.attrib.clear()
    root.attrib |= {"viewBox": view, "role": "img", "aria-label": label}
    return Markup(ElementTree.tostring(root, encoding="unicode")), painted


def _saved(figure: Figure) -> str:
    buffer = BytesIO()
    figure.savefig(
        buffer,
        format="svg",
        transparent=True,
        metadata={"Date": None, "Creator": None, "Format": None, "Type": None},
    )
    return buffer.getvalue().decode().translate(NOT_XML)


def _rename(root: ElementTree.Element, name: str) -> None:
    """Identifiers get the picture's name, those that nothing refers to go."""
    used = set(
        re.findall(r'(?:url\(#|href="#)([^)"]+)', ElementTree.tostring(root, encoding="unicode"))
    )
    number = {identifier: f"{name}-{i}" for i, identifier in enumerate(sorted(used))}
    for element in root.iter():
        identifier = element.attrib.pop("id", None)
        if identifier in number:
            element.set("id", number[identifier])
        link = element.attrib.pop(LINK, None)
        if link is not None:
            element.set("href", f"#{number[link[1:]]}" if link.startswith("#") else link)
        for key, value in element.attrib.items():
            if value.startswith("url(#"):
                element.set(key, f"url(#{number[value[5:-1]]})")


def _restyled(style: str) -> str:
    """A style with the page's font and colours."""
    kept = []
    for key, _, value in (part.partition(":") for part in style.split(";") if ":" in part):
        key, value = key.strip(), value.strip()
        if key == "font":  # "10px 'DejaVu Sans', ...": of which the size stays
            key, value = "font-size", next(word for word in value.split() if word.endswith("px"))
        if key in ("fill", "stroke"):
            value = themed(value)
        if key not in ("font-family", "font-weight", "font-style", "font-stretch"):
            kept.append(f"{key}:{value}")
    return ";".join(kept)
