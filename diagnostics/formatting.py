"""Numbers and texts as they are shown."""

from __future__ import annotations

import re
from math import isnan

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def plus_minus(probability: float, mcse: float | None) -> str:
    """Write a probability and its standard error, "?" where that is undefined."""
    error = "?" if mcse is None or isnan(mcse) else f"{mcse:.3f}"
    return f"{probability:.3f} ± {error}"


def printable(text: str) -> str:
    """Replace control characters, which could command a terminal or turn the reading direction."""
    return _CONTROL.sub("\ufffd", text.replace("\r\n", "\n"))


def counted(number: int, noun: str, nouns: str = "") -> str:
    """Write a number with its noun: "1 particle", "2 particles"."""
    if number == 1:
        return f"1 {noun}"
    return f"{number} {nouns or noun + 's'}"
