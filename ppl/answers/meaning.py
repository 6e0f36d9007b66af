r"""What an answer amounts to, as a value that answers of the same meaning share.

An answer is read as a structure whose leaves are expressions:

    leaf          17, \frac{1}{2}, 2\sqrt{3}, x^2 - 1        with or without a unit
    set           \{1, 2\}, 1 or 2, x = 1, 2, \pm 1          order does not matter
    ordered       (1, 2), [0, 1), x < 3, x \in [0, 1)        inequalities of a letter are intervals
    union         [0, 1) \cup (2, \infty)
    matrix        \begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}
    assignments   x = 1, y = 2                               one alone is its value: x = 5 is 5
    equation      x^2 + y^2 = 1, 2x < 6                      up to a factor
    based         2516_8                                     its digits and its base
    text          everything else, without regard to case, spacing and markup

Every structure is a tuple that begins with its kind, so that equal meanings are equal values.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from fractions import Fraction
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

from . import values
from .expressions import Node, Unread, read_expression
from .notation import closing_brace, tidy
from .units import split_unit
from .values import Key, TooLarge

Meaning: TypeAlias = tuple[Any, ...]
"""A kind ("leaf", "set", ...) and what is in it."""

_UNSURE = re.compile(
    r"[A-Za-z]*"  # a letter of several offered
    r"|\d+-\d+(?:-\d+)*"  # a range, a score or a difference
    r"|\d+ ?- ?\d+/\d+"  # 3 1/2 or a difference
    r"|\d+/\d+/\d+"  # a date
    r"|[\d.,/]+ \([\d.,/ +*^-]+\)"  # what is said again in other words, or a product
)

LONGEST = 2000  # characters of an answer that is read; a longer one is text
DEEPEST = 12  # structures within structures


class Understood(NamedTuple):
    """What an answer amounts to.

    Attributes:
        meaning: a structure.
        too_large: whether it is text only because computing it would take too long.
    """

    meaning: Meaning
    too_large: bool = False


@lru_cache(maxsize=2**16)
def understand(answer: str) -> Understood:
    r"""Return what an answer amounts to.

    Example:
        >>> understand("1,000").meaning == understand(r"x = \frac{2000}{2}").meaning
        True
    """
    if len(answer) > LONGEST:
        return Understood(("text", " ".join(answer.casefold().split())))
    plain = tidy(answer)
    text = Understood(("text", _folded(plain)))
    if _UNSURE.fullmatch(plain):
        return text
    try:
        return Understood(_value(_structure(plain)))
    except TooLarge:
        return text._replace(too_large=True)
    except Unread:
        return text


def leaf(value: Key) -> Meaning:
    """Return the structure of one expression."""
    return ("leaf", value)


def in_set(parts: Iterable[Meaning]) -> Meaning:
    """Return the structure of values without order."""
    return ("set", tuple(sorted(parts, key=repr)))


# Text.


def _folded(plain: str) -> str:
    """The text without case and markup; in notation without spaces too."""
    text = re.sub(r"\\text ?\{([^{}]*)\}", r" \1 ", plain)
    text = re.sub(r"(?<=[ap])\.(?=m)|(?<=[ap]\.m)\.|(?<=[ap]m)\.", "", text, flags=re.IGNORECASE)
    text = re.sub(r"\s+", " ", text).strip(" .")
    if re.search(r"[\\^_=+*/<>(){}\[\]|:&,-]", text):
        text = re.sub(r"(?<![^\W_]) | (?![^\W_])", "", text)
    return text if "\\" in text else text.casefold()


# Structures.

_THOUSANDS = re.compile(r"(?<![\d,.])\d{1,3}(?:,\d{3})+(?!\d|,\d)")
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
_BASED = re.compile(
    r"(?P<digits>-?[0-9A-Z]+(?:\.[0-9A-Z]+)?) ?"
    r"(?:_ ?(?:\{ ?\(?(?P<a>\w+)\)? ?\}|(?P<b>\d)"  # _{8}, _8
    r"|\{ ?\\text ?\{ ?(?P<c>[a-z]+) ?\} ?\}|\\text ?\{ ?(?P<d>[a-z]+) ?\})"  # _{\text{eight}}
    r"|(?:\\text ?\{)? ?\(? ?(?:in )?[Bb]ase[- ](?P<e>\w+) ?\)? ?\}?)"
)
_NUMERALS = """
    two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
""".split()
_BASES = {name: number for number, name in enumerate(_NUMERALS, start=2)}
_GREEK = "alpha|beta|gamma|theta|lambda|mu|phi|omega|rho|sigma|tau|delta|epsilon|ell"
_LETTER = rf"(?:[A-Za-z]|\\(?:{_GREEK}))"
_INDEX = r"(?: ?_ ?(?:\w|\{[^{}]*\}))?"
_NAME = re.compile(
    rf"{_LETTER}{_INDEX}(?: ?\^ ?\{{ ?-1 ?\}})?"  # x, x_1
    rf"(?: ?\( ?{_LETTER}(?: ?, ?{_LETTER})* ?\))?"  # f(x)
    rf"|\( ?{_LETTER}{_INDEX}(?: ?, ?{_LETTER}{_INDEX})+ ?\)"  # (x, y)
    r"|\\text ?\{[^{}]*\}|[A-Za-z]{3,}(?: [A-Za-z]+)*"  # Area
)
_BUILDER = re.compile(rf"{_LETTER}(?: ?\\in ?\\mathbb\{{R\}})? ?[|:] ?(.*)")
_FRACTION = re.compile(r"(?:\d+ ?/ ?\d+|\\frac ?(?:\{\d+\} ?\{\d+\}|\d\d))(?: .*)?")
_ANGLES = re.compile(r"\\langle(?![A-Za-z])((?:(?!\\[lr]angle).)*)\\rangle")
_REPEATING = re.compile(r"(-?)(\d*)\.(\d*) ?\\overline ?\{(\d+)\}")
_OPENERS, _CLOSERS = "([{", ")]}"
_FLIPPED = {"<": ">", ">": "<", r"\le": r"\ge", r"\ge": r"\le"}


def _structure(text: str, depth: int = 0) -> Meaning:
    """What is written, as a structure. Raises `Unread`."""
    if depth > DEEPEST:
        raise Unread("structures within structures within structures")
    text = text.strip()
    if text.startswith("{") and closing_brace(text, 1) == len(text) - 1:
        return _structure(text[1:-1], depth + 1)
    vector = _ANGLES.fullmatch(text)
    if vector:
        return _tuple("<", vector[1], ">", depth) or _leaves(text)
    based = _BASED.fullmatch(text)
    if based:
        return _in_base(based)
    text = _join_thousands(text)
    parts, separators = _split(text, _SEPARATOR)
    if len(parts) > 1:
        return _listed(parts, separators, depth)
    relations = _split(text, _RELATION)
    if len(relations[0]) > 1:
        return _related(*relations, depth)
    unions, _ = _split(text, re.compile(r"\\cup(?![A-Za-z])"))
    if len(unions) > 1:
        return ("union", tuple(sorted((_structure(part, depth + 1) for part in unions), key=repr)))
    return _bracketed(text, depth) or _leaves(text)


def _value(structure: Meaning) -> Meaning:
    """A structure as it stands alone: without a name, both signs as a set of two."""
    structure = _unnamed(structure)
    return in_set(structure[1]) if structure[0] == "both signs" else structure


def _unnamed(structure: Meaning) -> Meaning:
    if structure[0] == "assigned":
        return structure[2]
    return structure[1] if structure[0] == "inequality" else structure


def _split(text: str, separator: re.Pattern[str]) -> tuple[list[str], list[str]]:
    """The parts of a text between separators outside of all brackets, and the separators."""
    depths = _depths(text)
    parts, separators, start = [], [], 0
    for match in separator.finditer(text):
        if depths[match.start()] == 0 and match.group().strip():
            parts.append(text[start : match.start()].strip())
            separators.append(match.group().strip())
            start = match.end()
    return [*parts, text[start:].strip()], separators


def _join_thousands(text: str) -> str:
    """The text with 1,000 as 1000, but within brackets, where a comma separates."""
    depths = _depths(text)
    for match in reversed(list(_THOUSANDS.finditer(text))):
        if depths[match.start()] == 0:
            text = text[: match.start()] + match.group().replace(",", "") + text[match.end() :]
    return text


def _depths(text: str) -> list[int]:
    """How many brackets are open in front of each character, and at the end."""
    depths, depth = [], 0
    for letter in text:
        depths.append(depth)
        depth += (letter in _OPENERS) - (letter in _CLOSERS)
        if depth < 0:
            raise Unread("a bracket closes that was not opened")
    if depth:
        raise Unread("a bracket is missing")
    return [*depths, depth]


def _listed(parts: list[str], separators: list[str], depth: int) -> Meaning:
    """Several values: of one name, of several, or of none."""
    if len({unit for unit in map(_unit_of, parts) if unit}) > 1:
        raise Unread("values of different units")
    if any(re.match(r"0\d", part) for part in parts):
        raise Unread("1,00,000 is written in another way")
    if separators == ["and"] and re.fullmatch(r"-?\d+", parts[0]) and _FRACTION.fullmatch(parts[1]):
        raise Unread("3 and 1/2 may be one number")
    structures = [_structure(part, depth + 1) for part in parts]
    if any(structure[0] == "inequality" for structure in structures):
        return _system(structures, all("or" in separator for separator in separators))
    names = [structure[1] if structure[0] == "assigned" else None for structure in structures]
    distinct = {name for name in names if name is not None}
    if len(distinct) < 2:
        return in_set(part for structure in structures for part in _parts_of(_unnamed(structure)))
    if len(distinct) < len(names):
        raise Unread("some values have names, and some not, or the same")
    return (
        "assignments",
        tuple(
            sorted(
                ((name, _value(each)) for name, each in zip(names, structures, strict=True)),
                key=repr,
            )
        ),
    )


def _unit_of(part: str) -> str:
    try:
        return split_unit(part)[1]
    except Unread:
        return ""


def _parts_of(structure: Meaning) -> tuple[Meaning, ...]:
    """What a part of a list adds to it: two values where it is one with plus or minus."""
    return structure[1] if structure[0] == "both signs" else (structure,)


def _system(structures: list[Meaning], is_union: bool) -> Meaning:
    parts = tuple(sorted(map(_value, structures), key=repr))
    if is_union and all(structure[0] == "inequality" for structure in structures):
        return ("union", parts)
    return ("system", parts)


def _in_base(match: re.Match[str]) -> Meaning:
    written = next(match[name] for name in "abcde" if match[name])
    base = int(written) if written.isdecimal() else _BASES.get(written.lower())
    if base is None or not 2 <= base <= 36:
        raise Unread(f"{written!r} is no base")
    for digit in match["digits"].strip("-").replace(".", ""):
        if int(digit, 36) >= base:
            raise Unread(f"{digit!r} is no digit in base {base}")
    if base == 10:
        return _leaves(match["digits"])
    return ("based", match["digits"].lstrip("0") or "0", base)


def _related(sides: list[str], relations: list[str], depth: int) -> Meaning:
    """Sides with signs between them."""
    if not all(sides):
        raise Unread("a relation with nothing on one side")
    if set(relations) == {"="}:
        return _equality(sides, depth)
    if relations == [r"\in"] and _NAME.fullmatch(sides[0]):
        return _structure(sides[1], depth + 1)
    if set(relations) <= set(_FLIPPED):
        return _inequality(sides, relations)
    if relations == [r"\ne"]:
        return ("equation", "not", _up_to_a_factor(*map(_tree, sides), positive=False))
    raise Unread("a relation of which nothing is known")


def _equality(sides: list[str], depth: int) -> Meaning:
    if len(sides) == 2 and _NAME.fullmatch(sides[1]) and not _NAME.fullmatch(sides[0]):
        sides = sides[::-1]
    name = re.sub(r"\s+", "", sides[0])
    is_named = _NAME.fullmatch(sides[0]) and not _occurs(name, sides[1:])
    if is_named and not (len(sides) == 2 and _relates_y(*sides)):
        return (
            "assigned",
            name,
            _unnamed(_same([_structure(side, depth + 1) for side in sides[1:]])),
        )
    if len(sides) == 2:
        trees = [_tree(side) for side in sides]
        if _is_constant(trees[0]) and _is_constant(trees[1]):
            return _same([leaf(values.key(tree)) for tree in trees])
        return _equation(*trees)
    return _same([_structure(side, depth + 1) for side in sides])


def _relates_y(first: str, second: str) -> bool:
    """Whether an equation relates a letter to another, or x to y, whichever way it is solved."""
    if not (re.fullmatch(_LETTER + _INDEX, first)):
        return False
    return bool(re.fullmatch(_LETTER + _INDEX, second)) or (first == "x" and _occurs("y", [second]))


def _equation(first: Node, second: Node) -> Meaning:
    """An equation up to a factor; solved for y, where y is what it is about."""
    difference = ("add", first, ("negative", second))
    if "y" in values.letters(difference) and len(values.letters(difference)) > 1:
        key = values.solved(difference, "y")
        if key is not None:
            return leaf(key)
    return ("equation", "equal", values.ratios(difference, positive=False))


def _occurs(name: str, sides: list[str]) -> bool:
    """Whether the name of a letter occurs in expressions."""
    if not re.fullmatch(_LETTER, name):
        return False
    return any(
        re.search(
            rf"(?<![A-Za-z\\]){re.escape(name)}(?![A-Za-z])",
            re.sub(r"\\text ?\{[^{}]*\}", "", side),
        )
        for side in sides
    )


def _same(structures: list[Meaning]) -> Meaning:
    """The value of all sides, of which the last is the shortest, as a rule."""
    keys = [_rounded(structure) for structure in structures]
    if any(found != keys[0] for found in keys):
        raise Unread("an equality that does not hold")
    return structures[-1]


def _rounded(structure: Meaning) -> Meaning:
    if structure[0] == "leaf" and structure[1][0] == "exact":
        return leaf(("constant", *values.rounded(structure[1][1])))
    return structure


def _inequality(sides: list[str], relations: list[str]) -> Meaning:
    """An interval, where a letter stands by constants; or a relation up to a positive factor."""
    upward = all(relation in ("<", r"\le") for relation in relations)
    if not upward:
        if not all(relation in (">", r"\ge") for relation in relations):
            raise Unread("inequalities of both directions")
        sides, relations = sides[::-1], [_FLIPPED[relation] for relation in reversed(relations)]
    strict = [relation == "<" for relation in relations]
    named = [bool(_NAME.fullmatch(side)) for side in sides]
    if named == [True, False]:
        return _interval("(", leaf(("infinite", -1)), _leaves(sides[1]), strict[0])
    if named == [False, True]:
        return _interval(strict[0], _leaves(sides[0]), leaf(("infinite", 1)), ")")
    if named == [False, True, False]:
        return _interval(strict[0], _leaves(sides[0]), _leaves(sides[2]), strict[1])
    if len(sides) == 2:
        return (
            "equation",
            "below" if strict[0] else "not above",
            _up_to_a_factor(*map(_tree, sides), positive=True),
        )
    raise Unread("a chain of inequalities")


def _interval(low: Any, first: Meaning, second: Meaning, high: Any) -> Meaning:
    opener = {True: "(", False: "["}.get(low, low)
    closer = {True: ")", False: "]"}.get(high, high)
    return ("inequality", ("ordered", opener, closer, (first, second)))


def _up_to_a_factor(first: Node, second: Node, positive: bool) -> Key:
    return values.ratios(("add", first, ("negative", second)), positive)


def _bracketed(text: str, depth: int) -> Meaning | None:
    """A matrix, a set, a tuple or an interval; None where the text is none."""
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
    if text[:1] in ("(", "[") and text[-1:] in (")", "]") and min(_depths(text)[1:-1]) > 0:
        return _tuple(text[0], text[1:-1], text[-1], depth)
    return None


def _matrix(kind: str, body: str, depth: int) -> Meaning:
    rows = [row for row in re.split(r"\\\\(?:\[[^\]]*\])?|\\cr(?![A-Za-z])", body) if row.strip()]
    cells = tuple(tuple(_structure(cell, depth + 1) for cell in row.split("&")) for row in rows)
    if len({len(row) for row in cells}) != 1:
        raise Unread("rows of different lengths")
    return (kind, cells)


def _braced(inside: str, depth: int) -> Meaning:
    builder = _BUILDER.fullmatch(inside)
    if builder:
        return _value(_structure(builder[1], depth + 1))
    parts, separators = _split(inside, _SEPARATOR)
    if any(separator not in ",;" for separator in separators):
        raise Unread("words in a set")
    elements: set[Meaning] = set()
    for part in parts:
        elements.update(_parts_of(_unnamed(_structure(part, depth + 1))))
    return in_set(elements)


def _tuple(opener: str, inside: str, closer: str, depth: int) -> Meaning | None:
    parts, separators = _split(inside, _SEPARATOR)
    if len(parts) < 2:
        return None
    if any(separator not in ",;" for separator in separators):
        raise Unread("words in a tuple")
    structures = tuple(_unnamed(_structure(part, depth + 1)) for part in parts)
    if any(structure[0] == "both signs" for structure in structures):
        raise Unread("both signs in a tuple")
    return ("ordered", opener, closer, structures)


# Leaves.


def _leaves(text: str) -> Meaning:
    """One expression, or the two of plus and minus."""
    if re.fullmatch(r"[-+]? ?(?:\\infty|inf(?:inity)?)", text):
        return leaf(("infinite", -1 if text.startswith("-") else 1))
    repeating = _REPEATING.fullmatch(text)
    if repeating:
        return leaf(("exact", _repeated(*repeating.groups())))
    if len(re.findall(r"\\pm(?![A-Za-z])", text)) == 1 and r"\mp" not in text:
        signs = [leaf(values.key(_tree(re.sub(r"\\pm(?![A-Za-z])", sign, text)))) for sign in "+-"]
        return ("both signs", tuple(sorted(signs, key=repr)))
    return leaf(values.key(_tree(text)))


def _repeated(sign: str, whole: str, first: str, period: str) -> Fraction:
    """The number whose decimals go on with a period."""
    start = Fraction(int(whole + first or "0"), 10 ** len(first))
    value = start + Fraction(int(period), (10 ** len(period) - 1) * 10 ** len(first))
    return -value if sign else value


def _tree(text: str) -> Node:
    value, _ = split_unit(text)
    return read_expression(value)


def _is_constant(tree: Node) -> bool:
    return not values.letters(tree)
