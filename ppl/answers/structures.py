"""Structures of expressions: lists, sets, tuples, intervals, unions and matrices."""

from __future__ import annotations

import re
from typing import Any

from . import values
from .brackets import depths, join_thousands, split
from .expressions import Unread
from .leaves import BASED, Meaning, in_base, in_set, is_constant, leaf, leaves, tree
from .notation import closing_brace
from .relations import (
    FLIPPED,
    LETTER,
    NAME,
    equation,
    inequality,
    inequation,
    occurs,
    relates,
    same,
)
from .units import split_unit

DEEPEST = 12  # structures within structures

_SEPARATOR = re.compile(
    r"\s*(?:[,;]\s*)?"
    r"(?:\\text ?\{\s*,?\s*(and|or)\s*\}|(?<![A-Za-z])(and|or)(?![A-Za-z]))\s*|\s*[,;]\s*"
)
_RELATION = re.compile(
    r"\\(?:le|ge|ne|in|approx|equiv|sim|cong|to|subset|subseteq|Rightarrow|implies)(?![A-Za-z])"
    r"|[=<>]"
)
_MATRIX = re.compile(
    r"\\begin ?\{([pbBvV]|small)?matrix\}(.*)\\end ?\{(?:[pbBvV]|small)?matrix\}",
    re.DOTALL,
)
_ARRAY = re.compile(
    r"([(\[|]) ?\\begin ?\{array\} ?\{[^{}]*\}(.*)\\end ?\{array\} ?([)\]|])",
    re.DOTALL,
)
_BUILDER = re.compile(rf"{LETTER}(?: ?\\in ?\\mathbb\{{R\}})? ?[|:] ?(.*)")
_FRACTION = re.compile(r"(?:\d+ ?/ ?\d+|\\frac ?(?:\{\d+\} ?\{\d+\}|\d\d))(?: .*)?")
_ANGLES = re.compile(r"\\langle(?![A-Za-z])((?:(?!\\[lr]angle).)*)\\rangle")


def structure_of(text: str, depth: int = 0) -> Meaning:
    """Return what is written as a structure.

    Args:
        text: in plain notation; see `motes.ppl.answers.notation.tidy`.
        depth: how many structures it stands in.

    Raises:
        Unread: it is none, or can be read in several ways.
    """
    if depth > DEEPEST:
        raise Unread("structures within structures within structures")
    text = text.strip()
    if text.startswith("{") and closing_brace(text, 1) == len(text) - 1:
        return structure_of(text[1:-1], depth + 1)
    vector = _ANGLES.fullmatch(text)
    if vector:
        return _tuple("<", vector[1], ">", depth) or leaves(text)
    based = BASED.fullmatch(text)
    if based:
        return in_base(based)
    text = join_thousands(text)
    parts, separators = split(text, _SEPARATOR)
    if len(parts) > 1:
        return _listed(parts, separators, depth)
    relations = split(text, _RELATION)
    if len(relations[0]) > 1:
        return _related(*relations, depth)
    unions, _ = split(text, re.compile(r"\\cup(?![A-Za-z])"))
    if len(unions) > 1:
        parts_of_union = [structure_of(part, depth + 1) for part in unions]
        return ("union", tuple(sorted(parts_of_union, key=repr)))
    return _bracketed(text, depth) or leaves(text)


def alone(structure: Meaning) -> Meaning:
    """Return a structure as it stands alone: without a name, both signs as a set of two."""
    structure = _unnamed(structure)
    return in_set(structure[1]) if structure[0] == "both signs" else structure


def _unnamed(structure: Meaning) -> Meaning:
    if structure[0] == "assigned":
        return structure[2]
    return structure[1] if structure[0] == "inequality" else structure


def _listed(parts: list[str], separators: list[str], depth: int) -> Meaning:
    """Read several values: of one name, of several, or of none."""
    if len({unit for unit in map(_unit_of, parts) if unit}) > 1:
        raise Unread("values of different units")
    if any(re.match(r"0\d", part) for part in parts):
        raise Unread("1,00,000 is written in another way")
    if separators == ["and"] and re.fullmatch(r"-?\d+", parts[0]) and _FRACTION.fullmatch(parts[1]):
        raise Unread("3 and 1/2 may be one number")
    structures = [structure_of(part, depth + 1) for part in parts]
    if any(structure[0] == "inequality" for structure in structures):
        return _system(structures, all("or" in separator for separator in separators))
    names = [_name_of(structure) for structure in structures]
    distinct = {name for name in names if name is not None}
    if len(distinct) < 2:
        unnamed = map(_unnamed, structures)
        return in_set(part for structure in unnamed for part in _parts_of(structure))
    if len(distinct) < len(names):
        raise Unread("some values have names, and some not, or the same")
    pairs = [(name, alone(each)) for name, each in zip(names, structures, strict=True)]
    return ("assignments", tuple(sorted(pairs, key=repr)))


def _unit_of(part: str) -> str:
    try:
        return split_unit(part)[1]
    except Unread:
        return ""


def _parts_of(structure: Meaning) -> tuple[Meaning, ...]:
    """Return what a part of a list adds to it: two values where it is one with plus or minus."""
    return structure[1] if structure[0] == "both signs" else (structure,)


def _system(structures: list[Meaning], is_union: bool) -> Meaning:
    parts = tuple(sorted(map(alone, structures), key=repr))
    if is_union and all(structure[0] == "inequality" for structure in structures):
        return ("union", parts)
    return ("system", parts)


def _related(sides: list[str], relations: list[str], depth: int) -> Meaning:
    """Read sides with signs between them."""
    if not all(sides):
        raise Unread("a relation with nothing on one side")
    if set(relations) == {"="}:
        return _equality(sides, depth)
    if relations == [r"\in"] and NAME.fullmatch(sides[0]):
        return structure_of(sides[1], depth + 1)
    if set(relations) <= set(FLIPPED):
        return inequality(sides, relations)
    if relations == [r"\ne"]:
        return inequation(*map(tree, sides))
    raise Unread("a relation of which nothing is known")


def _equality(sides: list[str], depth: int) -> Meaning:
    if len(sides) == 2 and NAME.fullmatch(sides[1]) and not NAME.fullmatch(sides[0]):
        sides = sides[::-1]
    name = re.sub(r"\s+", "", sides[0])
    is_named = NAME.fullmatch(sides[0]) and not occurs(name, sides[1:])
    if is_named and not (len(sides) == 2 and relates(*sides)):
        value = same([structure_of(side, depth + 1) for side in sides[1:]])
        return ("assigned", name, _unnamed(value))
    if len(sides) == 2:
        trees = [tree(side) for side in sides]
        if is_constant(trees[0]) and is_constant(trees[1]):
            return same([leaf(values.key(node)) for node in trees])
        return equation(*trees)
    return same([structure_of(side, depth + 1) for side in sides])


def _bracketed(text: str, depth: int) -> Meaning | None:
    """Return a matrix, a set, a tuple or an interval; None where the text is none."""
    matrix = _MATRIX.fullmatch(text)
    if matrix:
        return _matrix("determinant" if matrix[1] in ("v", "V") else "matrix", matrix[2], depth)
    array = _ARRAY.fullmatch(text)
    if array:
        return _matrix("determinant" if array[1] == "|" else "matrix", array[2], depth)
    if text in (r"\emptyset", r"\{\}", r"\{ \}"):
        return ("set", ())
    if text == r"\mathbb{R}":
        return ("ordered", "(", ")", (leaf(("infinite", -1)), leaf(("infinite", 1))))
    if text.startswith(r"\{") and text.endswith(r"\}"):
        return _braced(text[2:-2].strip(), depth)
    if text[:1] in ("(", "[") and text[-1:] in (")", "]") and min(depths(text)[1:-1]) > 0:
        return _tuple(text[0], text[1:-1], text[-1], depth)
    return None


def _name_of(structure: Meaning) -> Any:
    """Return the name that a value is given; None where it has none."""
    return structure[1] if structure[0] == "assigned" else None


def _matrix(kind: str, body: str, depth: int) -> Meaning:
    rows = [row for row in re.split(r"\\\\(?:\[[^\]]*\])?|\\cr(?![A-Za-z])", body) if row.strip()]
    cells = []
    for row in rows:
        cells.append(tuple(structure_of(cell, depth + 1) for cell in row.split("&")))
    if len({len(row) for row in cells}) != 1:
        raise Unread("rows of different lengths")
    return (kind, tuple(cells))


def _braced(inside: str, depth: int) -> Meaning:
    builder = _BUILDER.fullmatch(inside)
    if builder:
        return alone(structure_of(builder[1], depth + 1))
    parts, separators = split(inside, _SEPARATOR)
    if any(separator not in ",;" for separator in separators):
        raise Unread("words in a set")
    elements: set[Meaning] = set()
    for part in parts:
        elements.update(_parts_of(_unnamed(structure_of(part, depth + 1))))
    return in_set(elements)


def _tuple(opener: str, inside: str, closer: str, depth: int) -> Meaning | None:
    parts, separators = split(inside, _SEPARATOR)
    if len(parts) < 2:
        return None
    if any(separator not in ",;" for separator in separators):
        raise Unread("words in a tuple")
    structures = tuple(_unnamed(structure_of(part, depth + 1)) for part in parts)
    if any(structure[0] == "both signs" for structure in structures):
        raise Unread("both signs in a tuple")
    return ("ordered", opener, closer, structures)
