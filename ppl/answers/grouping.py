"""Which answers mean the same."""

from __future__ import annotations

import warnings
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import TypeAlias

from . import values
from .leaves import Meaning, in_set, leaf
from .meaning import understand

Same: TypeAlias = dict[values.Key, values.Key]
"""Maps a key to the key of its class."""

FEWEST = 7  # significant digits of a decimal that may stand for what it rounds


def group(answers: Sequence[str | None]) -> list[str | None]:
    """Give answers that mean the same one label.

    The label is the commonest spelling among them, then the shortest, then the first by alphabet.

    A decimal of seven significant digits or more counts as the root, the fraction or the constant
    that it is rounded from, where that is among the answers, and nothing else of which that is
    true.

    Args:
        answers: N answers; None, where there is none, is a class of its own.

    Returns:
        N labels.

    Warns:
        RuntimeWarning: numbers are too large to be computed; such answers are equal to the same
            text alone.

    Example:
        >>> group(["1,000", "17", "$1000.00", None, "1,000"])
        ['1,000', '17', '1,000', None, '1,000']
    """
    spellings = Counter(answer for answer in answers if answer is not None)
    meanings = _meanings(spellings)

    def rank(spelling: str) -> tuple[int, int, str]:
        return -spellings[spelling], len(spelling), spelling

    labels: dict[Meaning, str] = {}
    for spelling in sorted(spellings, key=rank):
        labels.setdefault(meanings[spelling], spelling)
    return [None if answer is None else labels[meanings[answer]] for answer in answers]


def _meanings(spellings: Iterable[str]) -> dict[str, Meaning]:
    """Return what each spelling means, equal where they mean the same."""
    understood = {spelling: understand(spelling) for spelling in spellings}
    large = [spelling for spelling, (_, too_large) in understood.items() if too_large]
    if large:
        examples = ", ".join(map(repr, sorted(large)[:3]))
        message = "answers are too large to be computed, and equal to the same text alone"
        warnings.warn(f"{len(large)} {message}: {examples:.200}", RuntimeWarning, stacklevel=3)
    meanings = {spelling: meaning for spelling, (meaning, _) in understood.items()}
    keys: set[values.Key] = set()
    for meaning in meanings.values():
        keys.update(_keys(meaning))
    same = _unified(keys)
    if not same:
        return meanings
    return {spelling: _replaced(meaning, same) for spelling, meaning in meanings.items()}


def _keys(meaning: Meaning) -> Iterable[values.Key]:
    """Return the keys of all leaves of a structure."""
    if meaning[0] == "leaf":
        yield meaning[1]
        return
    for part in meaning:
        if isinstance(part, tuple) and part:
            yield from _keys(part)


def _replaced(meaning: Meaning, same: Same) -> Meaning:
    """Return the structure with each leaf as the first of its class."""
    if meaning[0] == "leaf":
        return leaf(same[meaning[1]]) if meaning[1] in same else meaning
    parts: Meaning = ()
    for part in meaning:
        is_structure = isinstance(part, tuple) and part
        parts += (_replaced(part, same) if is_structure else part,)
    if meaning[0] == "set":
        return in_set(parts[1])
    if meaning[0] in ("union", "system", "assignments"):
        return (meaning[0], tuple(sorted(parts[1], key=repr)))
    return parts


# Numbers that were written, or computed, in different ways.


def _unified(keys: Iterable[values.Key]) -> Same:
    """Map keys of equal numbers, and of what one rounds, to one of them; others are left out."""
    exact = sorted(key[1] for key in keys if key[0] == "exact")
    inexact = sorted(key for key in keys if key[0] == "constant")
    same: Same = {}
    by_digits: dict[tuple[str, str], values.Key] = {}
    for value in exact if inexact else ():
        by_digits.setdefault(values.rounded(value), ("exact", value))
    for key in inexact:
        if key[1:] in by_digits:
            same[key] = by_digits[key[1:]]
    for decimal, others in _roundings(exact, [key for key in inexact if key not in same]):
        if len(others) == 1:
            same = _joined(same, ("exact", decimal), others[0])
    return same


def _joined(same: Same, first: values.Key, second: values.Key) -> Same:
    """Return the map with the classes of both keys as one, under the least of its keys."""
    old = {same.get(first, first), same.get(second, second)}
    new = min(old, key=repr)
    joined = {key: key for key in old} | same
    return {key: new if value in old else value for key, value in joined.items()}


def _roundings(
    exact: list[Fraction],
    inexact: list[values.Key],
) -> Iterable[tuple[Fraction, list[values.Key]]]:
    """Return each decimal and the keys of what it may be rounded from."""
    endless: list[tuple[Fraction, values.Key]] = []
    for value in exact:
        if _places(value) is None:
            endless.append((value, ("exact", value)))
    for key in inexact:
        if key[2] == "0.0":
            endless.append((Fraction(key[1]), key))
    endless.sort(key=lambda pair: pair[0])
    for value in exact if endless else ():
        places = _places(value)
        if not places or abs(value) * 10**places < 10 ** (FEWEST - 1):
            continue
        half = Fraction(1, 2 * 10**places)
        start = bisect_left(endless, value - half, key=lambda pair: pair[0])
        found = []
        for other, key in endless[start:]:
            if other > value + half:
                break
            found.append(key)
        yield value, found


def _places(value: Fraction) -> int | None:
    """Return how many decimal places a number has; None if they never end."""
    places, rest = 0, value.denominator
    for prime in (2, 5):
        count = 0
        while rest % prime == 0:
            rest, count = rest // prime, count + 1
        places = max(places, count)
    return places if rest == 1 and places <= 200 else None
