r"""The value of an expression, and what tells expressions apart that are not equal.

Numbers are exact (fractions) as long as the operations allow, then complex to `DIGITS` digits. An
expression with letters is evaluated at fixed points; two that agree at all of them to `KEPT`
digits, relatively, are equal but for a probability that can be neglected (Schwartz 1980, Zippel
1979). So no pairs are compared, there is no tolerance below which all is equal, and the class of
an expression depends on nothing but itself.

Letters stand for real numbers of either sign, unless "i" occurs: `\sqrt{x^2}` is not x. An
expression that is not defined at a point is equal only to those that are not defined there
either. `\log` without a base may be of any: it is the natural logarithm times a number that
occurs nowhere else, so that `\log 2 + \log 3 = \log 6` holds and `\log 100 = 2` does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from hashlib import sha256
from typing import Any, TypeAlias

from mpmath import MPContext

from .arithmetic import Undefined, Value, evaluated, inexact
from .expressions import Node, Unread

Key: TypeAlias = tuple[Any, ...]
"""("exact", Fraction), ("constant", real part, imaginary part) or ("function", several values)."""

DIGITS = (90, 130)  # an expression is computed twice: what changes with the digits is rounding
KEPT = 50
POINTS = 4


def key(node: Node) -> Key:
    """Return what expressions have in common that are equal, and others don't.

    Raises:
        Unread: it has no value.
        TooLarge: its value cannot be computed in a short time.
    """
    if not letters(node):
        value = evaluated(node, {}, _CONTEXTS[0], real=False)
        if isinstance(value, Fraction):
            return ("exact", value)
        return ("constant", *rounded(_inexact_value(node, {}, real=False)))
    found = tuple(map(_rounded, _at_points(node)))
    if len(set(found)) == 1 and found[0] is not None:
        return ("constant", *found[0])
    return ("function", *found)


def ratios(node: Node, positive: bool) -> Key:
    """Return what an expression has in common with its multiples.

    Args:
        node: the expression.
        positive: by positive factors alone.

    Raises:
        As `key` does.
    """
    found = _at_points(node)
    unit = next((value for value in found if value), None)
    if unit is None:
        raise Unread("it is zero")
    if positive:
        unit = abs(unit)
    shares = [_share(value, unit) for value in found]
    return ("ratios", *map(_rounded, shares))


def solved(node: Node, letter: str) -> Key | None:
    """Return the key of a letter where an expression is zero; None if that isn't linear in it.

    Args:
        node: an expression in this letter and others.
        letter: its name.

    Raises:
        As `key` does.
    """
    names = sorted(letters(node) - {letter})
    real = not _has_imaginary(node)
    found = []
    for number in range(POINTS):
        point = _point(names, number)
        try:
            at = [_inexact_value(node, {**point, letter: Fraction(n)}, real) for n in range(3)]
        except Undefined:
            return None
        slope, curve = at[1] - at[0], at[2] - 2 * at[1] + at[0]
        if abs(curve) > abs(slope) * _CONTEXTS[1].mpf(10) ** -KEPT or slope == 0:
            return None
        found.append(rounded(-at[0] / slope))
    if len(set(found)) == 1:
        return ("constant", *found[0])
    return ("function", *found)


def _rounded(value: Value | None) -> tuple[str, str] | None:
    """Return what `rounded` does; None of a value that is not defined."""
    return None if value is None else rounded(value)


def _share(value: Value | None, unit: Value) -> Value | None:
    """Return a value in units of another; None of one that is not defined."""
    return None if value is None else value / unit


def rounded(value: Value) -> tuple[str, str]:
    """Return the real and the imaginary part to `KEPT` digits."""
    context = _CONTEXTS[1]
    value = context.mpmathify(inexact(value, context))
    least = abs(value) * context.mpf(10) ** -KEPT

    def digits(part: Value) -> str:
        part = context.mpf(0) if abs(part) < least else part
        return str(context.nstr(part, KEPT, min_fixed=1, max_fixed=0))

    return digits(value.real), digits(value.imag)


def letters(node: Node) -> set[str]:
    """Return the names of the letters that occur, other than e and i."""
    if node[0] == "letter":
        return {node[1]}
    return set().union(*(letters(part) for part in node[1:] if isinstance(part, tuple)))


def _at_points(node: Node) -> list[Value | None]:
    """Return the values at all points; None where it is not defined."""
    names, real = sorted(letters(node)), not _has_imaginary(node)
    found: list[Value | None] = []
    for number in range(POINTS):
        try:
            found.append(_inexact_value(node, _point(names, number), real))
        except Undefined:
            found.append(None)
    if all(value is None for value in found):
        raise Unread("it is defined at no point")
    return found


def _inexact_value(node: Node, point: Mapping[str, Fraction], real: bool) -> Value:
    """Return the value at a point; zero where nothing is left but rounding."""
    rough, fine = (
        inexact(evaluated(node, point, context, real), context)
        for context in _CONTEXTS  # of fewer digits and of more
    )
    ten = _CONTEXTS[1].mpf(10)
    if abs(rough - fine) <= abs(fine) * ten ** -(KEPT + 10):
        return fine
    if abs(fine) > abs(rough) * ten**-20 and abs(fine) > ten**-100:
        raise Unread("its digits cancel")
    return ten * 0


_CONTEXTS = tuple(MPContext() for _ in DIGITS)
for _context, _digits in zip(_CONTEXTS, DIGITS, strict=True):
    _context.dps = _digits


def _point(names: list[str], number: int) -> dict[str, Fraction]:
    """Return values of the letters: all positive, all negative, then some of both."""
    point = {}
    for letter in names:
        digest = int.from_bytes(sha256(f"{letter} {number}".encode()).digest()[:8])
        size = Fraction(digest % 1_999_993 + 500_000, 1_000_003)
        negative = number == 1 or (number > 1 and digest >> 32 & 1)
        point[letter] = -size if negative else size
    return point


def _has_imaginary(node: Node) -> bool:
    if node == ("constant", "i"):
        return True
    return any(_has_imaginary(part) for part in node[1:] if isinstance(part, tuple))
