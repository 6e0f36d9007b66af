"""Text from models and users, made safe to look at.

Characters that would be invisible, or turn the reading direction, are shown as U+FFFD.

Escaping is not done here: the templates escape everything.
"""

from __future__ import annotations

import json
import re
from typing import Any

from markupsafe import Markup, escape

from ..formatting import printable

# zero-width spaces, direction marks, invisible operators, byte order marks, non-characters, tags;
# the joiners that emoji need are kept
_INVISIBLE = re.compile(
    "[\u061c\u180e\u200b\u200e\u200f\u2060-\u206f\ufeff\ufff9-\ufffb\ufffe\uffff\U000e0000-\U000e007f]"
)


def legible(text: str) -> str:
    """Replace control characters and invisible ones by U+FFFD."""
    return _INVISIBLE.sub("\ufffd", printable(text))


def short(text: str, longest: int) -> str:
    """Make the text legible, in one line of at most so many characters."""
    line = " ".join(legible(text).split())
    return line if len(line) <= longest else line[: longest - 1].rstrip() + "…"


def shown(value: object) -> Any:
    """Prepare a value for a template: text that is not markup is made legible."""
    return legible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def coded(text: str) -> Markup:
    """Turn the text into markup, with what stands between backticks as code."""
    parts = re.split("`([^`\\n]+)`", legible(text))
    pieces = []
    for i, part in enumerate(parts):  # every second one stood between backticks
        pieces.append(Markup("<code>{}</code>").format(part) if i % 2 else escape(part))
    return Markup("").join(pieces)


def embedded(value: object) -> Markup:
    """Write a value as JSON that can stand in a script element.

    Nothing in it ends the element or begins a comment.
    """
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))  # ASCII only
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))
