"""Colours on a light and on a dark page.

Pictures are drawn once. Each colour in them becomes a variable of the page's style, `--c-` and its
six digits, which stands for the colour itself on a light page, on paper and on panels that are
always light, and for one that can be told apart from a dark page where the page is dark.
"""

from __future__ import annotations

import colorsys
import re
from collections.abc import Iterable

from markupsafe import Markup

LEAST, MOST = 0.62, 0.92  # lightness of lines and text on a dark page
# share of its saturation that a colour keeps when it is made lighter, which would make it glare
CALM = 0.6
GREY = 0.05  # saturation of what has no hue

# What a rule would not find: hues that lie near each other once they are light, and the greys of
# frames, from paper to ink.
DARK = {
    "#ffffff": "#1b1f24",
    "#e6e6e6": "#343a41",
    "#d9d9d9": "#4a5159",
    "#999999": "#8b949e",
    "#8f8f8f": "#98a1ab",
    "#333333": "#d5dae0",
    "#000000": "#f0f2f4",
    "#0072b2": "#3a9fe0",
    "#e69f00": "#f0b840",
    "#009e73": "#25c196",
    "#cc79a7": "#e296c1",
    "#d55e00": "#f5803a",
    "#56b4e9": "#a5dcff",
    "#5d4037": "#b8978b",
}

_COLOUR = re.compile(r"#[0-9a-f]{6}")
_VARIABLE = re.compile(r"var\(--c-([0-9a-f]{6})\)")


def variable(colour: str) -> str:
    """Name the variable that stands for a colour "#rrggbb"."""
    return f"var(--c-{colour.lower()[1:]})"


def dark(colour: str) -> str:
    """Choose the colour for a dark page.

    The hue is kept; what is dark becomes light, and what is lighter stays.
    """
    if colour in DARK:
        return DARK[colour]
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    hue, lightness, saturation = colorsys.rgb_to_hls(red, green, blue)
    if saturation < GREY:
        lifted = 1 - lightness
    else:
        lifted = min(max(lightness, LEAST), MOST)
        if lightness < LEAST:
            saturation *= CALM
    parts = colorsys.hls_to_rgb(hue, lifted, saturation)
    return "#" + "".join(f"{round(255 * part):02x}" for part in parts)


def declarations(styled: Iterable[str]) -> Markup:
    """Write the style that declares every variable of a colour in these pieces of markup."""
    used: set[str] = set()
    for piece in styled:
        used.update(_VARIABLE.findall(piece))
    light_page = "".join(f"--c-{digits}:#{digits};" for digits in sorted(used))
    dark_page = "".join(f"--c-{digits}:{dark(f'#{digits}')};" for digits in sorted(used))
    return Markup(
        f":root,.paper{{{light_page}}}\n@media screen and (prefers-color-scheme: dark)"
        f"{{:root{{{dark_page}}}.paper{{{light_page}}}}}"
    )


def themed(style: str) -> str:
    """Replace the colours in a style by their variables."""
    return _COLOUR.sub(lambda match: variable(match[0]), style)
