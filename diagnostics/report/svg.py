"""matplotlib's figures as SVG with the page's fonts and colours, and names that never collide."""

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
    """Make matplotlib draw for the page, while the context lasts.

    It does not warn of characters that its own font lacks, since the browser prints them.
    """
    import matplotlib

    with matplotlib.rc_context(LOOK), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from")
        yield


def inline(figure: Figure, name: str, label: str) -> tuple[Markup, bool]:
    """Turn a figure into an element of the page.

    A figure that would be too large is painted: its lines and areas become pixels, with fixed
    colours.

    Args:
        figure: of matplotlib.
        name: unlike that of any other picture on the page; letters and hyphens.
        label: read out to those who cannot see it.

    Returns:
        The element, and whether it was painted.
    """
    text = _saved(figure)
    painted = len(text) > HEAVY
    if painted:
        for ax in figure.axes:
            for artist in (*ax.lines, *ax.collections, *ax.patches):
                artist.set_rasterized(True)
        text = _saved(figure)
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
    """Put the picture's name into all identifiers, and remove those that nothing refers to."""
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
    """Replace the font and the colours in a style by the page's."""
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
