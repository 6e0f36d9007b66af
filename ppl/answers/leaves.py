"""What answers are made of: single expressions, and numbers that are written in other ways."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fractions import Fraction
from typing import Any, TypeAlias

from . import values
from .expressions import Node, Unread, read_expression
from .units import split_unit
from .values import Key

Meaning: TypeAlias = tuple[Any, ...]
"""A kind ("leaf", "set", ...) and what is in it."""

BASED = re.compile(
    r"(?P<digits>-?[0-9A-Z]+(?:\.[0-9A-Z]+)?) ?"
    r"(?:_ ?(?:\{ ?\(?(?P<a>\w+)\)? ?\}|(?P<b>\d)"  # _{8}, _8
    r"|\{ ?\\text ?\{ ?(?P<c>[a-z]+) ?\} ?\}|\\text ?\{ ?(?P<d>[a-z]+) ?\})"  # _{\text{eight}}
    r"|(?:\\text ?\{)? ?\(? ?(?:in )?[Bb]ase[- ](?P<e>\w+) ?\)? ?\}?)"
)
_NUMERALS = """
    two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
""".split()
_BASES = {name: number for number, name in enumerate(_NUMERALS, start=2)}
_REPEATING = re.compile(r"(-?)(\d*)\.(\d*) ?\\overline ?\{(\d+)\}")


def leaf(value: Key) -> Meaning:
    """Return the structure of one expression."""
    return ("leaf", value)


def in_set(parts: Iterable[Meaning]) -> Meaning:
    """Return the structure of values without order."""
    return ("set", tuple(sorted(parts, key=repr)))


def leaves(text: str) -> Meaning:
    """Return the structure of one expression, or of the two with plus and with minus.

    Raises:
        Unread: it is none.
    """
    if re.fullmatch(r"[-+]? ?(?:\\infty|inf(?:inity)?)", text):
        return leaf(("infinite", -1 if text.startswith("-") else 1))
    repeating = _REPEATING.fullmatch(text)
    if repeating:
        return leaf(("exact", _repeated(*repeating.groups())))
    if len(re.findall(r"\\pm(?![A-Za-z])", text)) == 1 and r"\mp" not in text:
        signs = [leaf(values.key(tree(re.sub(r"\\pm(?![A-Za-z])", sign, text)))) for sign in "+-"]
        return ("both signs", tuple(sorted(signs, key=repr)))
    return leaf(values.key(tree(text)))


def in_base(match: re.Match[str]) -> Meaning:
    """Return the structure of digits in a base, from what `BASED` matched. Raises `Unread`."""
    written = next(match[name] for name in "abcde" if match[name])
    base = int(written) if written.isdecimal() else _BASES.get(written.lower())
    if base is None or not 2 <= base <= 36:
        raise Unread(f"{written!r} is no base")
    for digit in match["digits"].strip("-").replace(".", ""):
        if int(digit, 36) >= base:
            raise Unread(f"{digit!r} is no digit in base {base}")
    if base == 10:
        return leaves(match["digits"])
    return ("based", match["digits"].lstrip("0") or "0", base)


def _repeated(sign: str, whole: str, first: str, period: str) -> Fraction:
    """Return the number whose decimals go on with a period."""
    start = Fraction(int(whole + first or "0"), 10 ** len(first))
    value = start + Fraction(int(period), (10 ** len(period) - 1) * 10 ** len(first))
    return -value if sign else value


def tree(text: str) -> Node:
    """Return the tree of an expression, its unit left out. Raises `Unread`."""
    value, _ = split_unit(text)
    return read_expression(value)


def is_constant(node: Node) -> bool:
    """Return whether an expression has no letters but e and i."""
    return not values.letters(node)
