"""math-verify (Kydlicek 2025) compares the same answers; where it differs, this says why.

It reads LaTeX with SymPy, and finds equal what agrees to six places, or what SymPy can show to be
equal.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import combinations
from typing import Any

import pytest
from answer_grid import GOLDS, every, respellings
from math_verify import LatexExtractionConfig, parse, verify

from motes.ppl.answers import group

# Different here, equal there.
EQUAL_THERE = {
    frozenset({r"1.6 \times 10^{-19}", r"1.6 \times 10^{-20}"}): "it rounds to six places, to zero",
    frozenset({r"\sqrt{2} \cdot 10^{-9}", r"\sqrt{3} \cdot 10^{-9}"}): "the same",
    frozenset({"10^{-9}x", "10^{-8}x"}): "the same",
    frozenset({"2516_8", "2516_7"}): "it drops the base",
    frozenset({"1011_2", "1011_3"}): "the same",
    frozenset({"204_5", "4210_5"}): "the same",
}

# Equal here, different there: what it does not read, by what the respelling has.
UNREAD_THERE = {
    "０１２３４５６７８９": "digits of full width",
    "√": "roots in Unicode",
    "²": "powers in Unicode",
    "∞": "infinity in Unicode",
    "π": "pi in Unicode",
}
DIFFERENT_THERE = {
    ("whole number", "z ="): "thousands in LaTeX braces behind an equals sign are a list to it",
    ("matrix", "array"): "an array in brackets",
    ("matrix", "\n"): "a space behind the end of a row",
    ("tuple", r"\left "): "a space behind a bracket's size",
    ("polynomial", "(-16t^2"): "it takes the t at the end of 64t for tonnes",
    ("base", "base"): "bases in words",
    ("equation", "-3("): "multiples of an equation",
    ("with a unit", "inches^2"): "units in plain words",
    ("with a unit", " cm"): "the same",
    ("with a unit", " dollars"): "the same",
    ("with a unit", " m/s"): "the same",
    ("with a unit", " cups"): "the same",
    ("with a unit", "°"): "degrees in Unicode",
    ("with a unit", "97.5"): "percents that are no whole number",
}


def tree(text: str) -> Any:
    latex = [LatexExtractionConfig()]
    return parse(f"${text}$", latex, fallback_mode="no_fallback", parsing_timeout=None)


def equal(first: Any, second: Any) -> bool:
    """Whether it finds two answers equal, in either order."""
    return any(verify(*pair, timeout_seconds=None) for pair in ((first, second), (second, first)))


def check_pairs(pairs: Iterator[tuple[str, str]]) -> None:
    trees: dict[str, Any] = {}
    for first, second in pairs:
        for text in (first, second):
            trees.setdefault(text, tree(text))
        found = equal(trees[first], trees[second])
        assert not found or frozenset({first, second}) in EQUAL_THERE, (first, second)
        assert group([first, second]) == [first, second]


def check_respellings(chosen: Iterator[tuple[str, str, str]]) -> None:
    for kind, gold, spelling in chosen:
        assert len(set(group([gold, spelling]))) == 1
        if not equal(tree(gold), tree(spelling)):
            unread = any(set(signs) & set(spelling) for signs in UNREAD_THERE)
            listed = any(kind == of and sign in spelling for of, sign in DIFFERENT_THERE)
            assert unread or listed, (kind, gold, spelling)


def bare(kind: str, gold: str) -> Iterator[tuple[str, str, str]]:
    """Respellings that are no wrappers, which it is not asked to read here."""
    for spelling in respellings(kind, gold):
        is_wrapped = "boxed" in spelling or spelling.startswith(("$", r"\[", "*", " "))
        if kind != "text" and not is_wrapped:
            yield kind, gold, spelling


def test_a_sample() -> None:
    generator = random.Random(1)
    pairs = [pair for golds in GOLDS.values() for pair in combinations(golds, 2)]
    check_pairs(
        iter(
            [
                *generator.sample(pairs, 25),
                (r"1.6 \times 10^{-19}", r"1.6 \times 10^{-20}"),
                ("2516_8", "2516_7"),
            ]
        )
    )
    spelled = [chosen for kind, gold in every() for chosen in bare(kind, gold)]
    check_respellings(iter(generator.sample(spelled, 25)))


@pytest.mark.statistics
def test_all_pairs_of_a_kind() -> None:
    check_pairs(pair for golds in GOLDS.values() for pair in combinations(golds, 2))


@pytest.mark.statistics
def test_all_respellings() -> None:
    check_respellings(chosen for kind, gold in every() for chosen in bare(kind, gold))
