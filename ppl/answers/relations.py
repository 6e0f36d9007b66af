"""Relations: equations up to a factor, inequalities as intervals, and names of what is equal."""

from __future__ import annotations

import re
from typing import Any

from . import values
from .expressions import Node, Unread
from .leaves import Meaning, leaf, leaves, tree

_GREEK = "alpha|beta|gamma|theta|lambda|mu|phi|omega|rho|sigma|tau|delta|epsilon|ell"
LETTER = rf"(?:[A-Za-z]|\\(?:{_GREEK}))"
_INDEX = r"(?: ?_ ?(?:\w|\{[^{}]*\}))?"
NAME = re.compile(
    rf"{LETTER}{_INDEX}(?: ?\^ ?\{{ ?-1 ?\}})?"  # x, x_1
    rf"(?: ?\( ?{LETTER}(?: ?, ?{LETTER})* ?\))?"  # f(x)
    rf"|\( ?{LETTER}{_INDEX}(?: ?, ?{LETTER}{_INDEX})+ ?\)"  # (x, y)
    r"|\\text ?\{[^{}]*\}|[A-Za-z]{3,}(?: [A-Za-z]+)*"  # Area
)
FLIPPED = {"<": ">", ">": "<", r"\le": r"\ge", r"\ge": r"\le"}


def relates(first: str, second: str) -> bool:
    """Return whether an equation relates a letter to another, or x to y."""
    if not (re.fullmatch(LETTER + _INDEX, first)):
        return False
    return bool(re.fullmatch(LETTER + _INDEX, second)) or (first == "x" and occurs("y", [second]))


def equation(first: Node, second: Node) -> Meaning:
    """Return an equation up to a factor; solved for y, where it is linear in that."""
    difference = _difference(first, second)
    if "y" in values.letters(difference) and len(values.letters(difference)) > 1:
        key = values.solved(difference, "y")
        if key is not None:
            return leaf(key)
    return ("equation", "equal", values.ratios(difference, positive=False))


def inequation(first: Node, second: Node) -> Meaning:
    """Return that two sides are not equal, up to a factor."""
    return ("equation", "not", values.ratios(_difference(first, second), positive=False))


def occurs(name: str, sides: list[str]) -> bool:
    """Return whether the name of a letter occurs in expressions."""
    if not re.fullmatch(LETTER, name):
        return False
    return any(
        re.search(
            rf"(?<![A-Za-z\\]){re.escape(name)}(?![A-Za-z])",
            re.sub(r"\\text ?\{[^{}]*\}", "", side),
        )
        for side in sides
    )


def same(structures: list[Meaning]) -> Meaning:
    """Return the value of all sides. Raises `Unread` where they differ."""
    keys = [_rounded(structure) for structure in structures]
    if any(found != keys[0] for found in keys):
        raise Unread("an equality that does not hold")
    return structures[-1]


def _rounded(structure: Meaning) -> Meaning:
    if structure[0] == "leaf" and structure[1][0] == "exact":
        return leaf(("constant", *values.rounded(structure[1][1])))
    return structure


def inequality(sides: list[str], relations: list[str]) -> Meaning:
    """Return an interval, where a letter stands by constants; or a relation up to a factor."""
    upward = all(relation in ("<", r"\le") for relation in relations)
    if not upward:
        if not all(relation in (">", r"\ge") for relation in relations):
            raise Unread("inequalities of both directions")
        sides, relations = sides[::-1], [FLIPPED[relation] for relation in reversed(relations)]
    strict = [relation == "<" for relation in relations]
    named = [bool(NAME.fullmatch(side)) for side in sides]
    if named == [True, False]:
        return _interval("(", leaf(("infinite", -1)), leaves(sides[1]), strict[0])
    if named == [False, True]:
        return _interval(strict[0], leaves(sides[0]), leaf(("infinite", 1)), ")")
    if named == [False, True, False]:
        return _interval(strict[0], leaves(sides[0]), leaves(sides[2]), strict[1])
    if len(sides) == 2:
        kind = "below" if strict[0] else "not above"
        return ("equation", kind, values.ratios(_difference(*map(tree, sides)), positive=True))
    raise Unread("a chain of inequalities")


def _interval(low: Any, first: Meaning, second: Meaning, high: Any) -> Meaning:
    opener = {True: "(", False: "["}.get(low, low)
    closer = {True: ")", False: "]"}.get(high, high)
    return ("inequality", ("ordered", opener, closer, (first, second)))


def _difference(first: Node, second: Node) -> Node:
    return ("add", first, ("negative", second))
