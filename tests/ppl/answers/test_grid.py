"""Answers of the kinds that golds have, against themselves, their respellings and each other."""

from __future__ import annotations

import random
from itertools import combinations

import pytest
from answer_grid import GOLDS, RULES, every, respellings

from motes.ppl.answers import group, last_answer

SAMPLE = random.Random(0).sample(list(every()), 60)


def check(golds: list[tuple[str, str]]) -> None:
    """Every answer is equal to its respellings, and to no other answer's."""
    spelled = {gold: respellings(kind, gold) for kind, gold in golds}
    everything = [spelling for spellings in spelled.values() for spelling in spellings]
    label = dict(zip(everything, group(everything), strict=True))
    for gold, spellings in spelled.items():
        assert {label[spelling] for spelling in spellings} == {label[gold]}, gold
    assert len({label[gold] for gold in spelled}) == len(spelled)


def test_the_grid_is_large() -> None:
    assert sum(map(len, GOLDS.values())) >= 300
    for rule in RULES:
        assert any(rule(kind, gold) != gold for kind, gold in every()), rule.__name__


def test_a_sample_of_the_grid() -> None:
    check(SAMPLE)


@pytest.mark.statistics
def test_the_whole_grid() -> None:
    check(list(every()))


@pytest.mark.statistics
def test_pairs_alone() -> None:
    """What is equal does not depend on which other answers there are."""
    for (_, first), (_, second) in combinations(every(), 2):
        assert group([first, second]) == [first, second]
    for kind, gold in every():
        for spelling in respellings(kind, gold):
            assert len(set(group([gold, spelling]))) == 1, (gold, spelling)


def test_a_box_gives_the_gold() -> None:
    """What is read in a solution means what the gold means."""
    for kind, gold in every():
        if kind == "text" and gold != r"7\text{ million}":
            continue
        stated = last_answer(f"Hence we have $\\boxed{{{gold}}}$.")
        assert len(set(group([stated, gold]))) == 1, gold
