"""Texts with brackets: what stands within them, and what outside."""

from __future__ import annotations

import re

from .expressions import Unread

_THOUSANDS = re.compile(r"(?<![\d,.])\d{1,3}(?:,\d{3})+(?!\d|,\d)")
_OPENERS, _CLOSERS = "([{", ")]}"


def split(text: str, separator: re.Pattern[str]) -> tuple[list[str], list[str]]:
    """Return the parts of a text between separators outside of all brackets, and the separators."""
    open_at = depths(text)
    parts, separators, start = [], [], 0
    for match in separator.finditer(text):
        if open_at[match.start()] == 0 and match.group().strip():
            parts.append(text[start : match.start()].strip())
            separators.append(match.group().strip())
            start = match.end()
    return [*parts, text[start:].strip()], separators


def join_thousands(text: str) -> str:
    """Return the text with 1,000 as 1000, but within brackets, where a comma separates."""
    open_at = depths(text)
    for match in reversed(list(_THOUSANDS.finditer(text))):
        if open_at[match.start()] == 0:
            text = text[: match.start()] + match.group().replace(",", "") + text[match.end() :]
    return text


def depths(text: str) -> list[int]:
    """Return how many brackets are open in front of each character, and at the end."""
    counts, depth = [], 0
    for letter in text:
        counts.append(depth)
        depth += (letter in _OPENERS) - (letter in _CLOSERS)
        if depth < 0:
            raise Unread("a bracket closes that was not opened")
    if depth:
        raise Unread("a bracket is missing")
    return [*counts, depth]
