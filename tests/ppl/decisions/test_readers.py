"""Equivalence by behaviour, and models that read the solutions."""

from __future__ import annotations

import numpy as np
import pytest
from pools import make_pool

from motes.ppl.decisions import (
    aggregated,
    majority_vote,
    regrouped,
    same_behaviour,
    universal_self_consistency,
)


def pair(rng: np.random.Generator) -> tuple[int, int]:
    return int(rng.integers(1, 1000)), int(rng.integers(1, 1000))


def fails(a, b):
    raise ZeroDivisionError


def test_functions_that_agree_on_random_inputs_are_one():
    functions = [
        lambda a, b: (a + b) ** 2,
        lambda a, b: a**2 + 2 * a * b + b**2,
        lambda a, b: a**2 + b**2,
        None,
        fails,
        lambda a, b: a / 0,
        lambda a, b: f"{a + b}",
        lambda a, b: (a + b) ** 2 + 1e-9,  # the tenth digit or later
    ]
    assert same_behaviour(functions, pair) == [0, 0, 2, None, 4, 4, 6, 0]
    pool = make_pool(["f", "g", "h", None, "i", "j", "k", "l"])
    merged = regrouped(pool, same_behaviour(functions, pair))
    assert majority_vote(merged).shares["f"] == pytest.approx(3 / 8)


def test_a_false_merge_is_geometrically_rare_in_the_probes():
    """Two functions that differ on half of all inputs: merged by mistake once in 2^probes."""
    functions = [lambda a: a % 2, lambda a: 0]
    merged = {}
    for probes in (1, 3):
        trials = 400
        found = [
            same_behaviour(
                functions, lambda rng: (int(rng.integers(10**6)),), probes=probes, seed=i
            )
            for i in range(trials)
        ]
        merged[probes] = found.count([0, 0]) / trials
    # four standard errors of a share of 400: fails falsely less than once in 5,000 seeds
    assert merged[1] == pytest.approx(1 / 2, abs=4 * 0.025)
    assert merged[3] == pytest.approx(1 / 8, abs=4 * 0.0166)


def test_places_must_fit_the_pool():
    pool = make_pool(["a", "b"])
    with pytest.raises(ValueError, match="places must be 2, one for each draw, not 1"):
        regrouped(pool, [0])
    with pytest.raises(ValueError, match=r"places must lie in \[0, 2\), not 5"):
        regrouped(pool, [0, 5])


def test_a_model_that_chooses_by_place_is_shown_several_orders():
    pool = make_pool(["a", "b", "b", "b"])
    texts = ["one a", "one b", "two b", "three b"]
    seen = []

    def first(question, shown):
        seen.append(tuple(shown))
        return 0

    decision = universal_self_consistency(pool, "?", texts, first, orders=400)
    assert len(set(seen)) == 24  # every order
    # whoever stands first wins: a in a quarter of the orders
    assert decision.answer == "b" and decision.shares["a"] == pytest.approx(0.25, abs=0.09)
    assert seen[0] == tuple(texts)
    assert universal_self_consistency(pool, "?", texts, first).answer == "a"
    by_text = universal_self_consistency(
        pool, "?", texts, lambda question, shown: list(shown).index("one a"), orders=7
    )
    assert by_text.value == pytest.approx(1) and by_text.answer == "a"


def test_an_aggregator_reads_groups_that_vote():
    read = []

    def last(question, texts):
        read.append(list(texts))
        return texts[-1]

    decision = aggregated("?", ["1", "2", "3", "2.0", "5"], last, size=2)
    assert read == [["1", "2"], ["3", "2.0"], ["5"]]
    assert decision.answer == "2" and decision.value == pytest.approx(2 / 3)
    assert aggregated("?", ["1", "7"], lambda question, texts: None).answer is None


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda pool: universal_self_consistency(pool, "?", ["x"], max),
            "texts must be 2, one for",
        ),
        (
            lambda pool: universal_self_consistency(pool, "?", ["x", "y"], lambda q, t: 2),
            r"choose must give a place in \[0, 2\), not 2",
        ),
        (lambda pool: aggregated("?", [], max), "texts must hold at least one solution"),
    ],
)
def test_what_a_reader_lacks_is_said(call, words):
    with pytest.raises(ValueError, match=words):
        call(make_pool(["a", "b"]))
