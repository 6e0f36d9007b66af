"""Stopping by confidence: its law by enumeration, and why its level is no probability."""

from __future__ import annotations

from itertools import product
from math import inf

import numpy as np
import pytest

from motes.samplers.stopping import Confidence, Solutions, isotonic_curve


def solutions(answers, confidences, weights=None) -> Solutions:
    values = np.array(confidences)
    with np.errstate(divide="ignore"):
        rows = tuple((value,) for value in (np.log(values) - np.log1p(-values)).tolist())
    log_weights = np.zeros(len(rows)) if weights is None else np.array(weights)
    return Solutions(tuple(answers), log_weights, 0.0, rows)


def test_the_first_that_is_sure():
    seen = solutions("abcd", [0.5, 0.79, 0.81, 0.95])
    rule = Confidence(level=0.8)
    assert [rule.stop(seen.first(n)) is not None for n in (1, 2, 3)] == [False, False, True]
    assert rule.stop(seen.first(3)).answer == "c" and rule.stop(seen.first(3)).voters == (2,)


def test_what_is_left_where_none_is_sure():
    seen = solutions(["a", "b", "c", None], [0.5, 0.7, 0.6, 0.99])
    assert Confidence().stop(seen) is None  # the last states nothing
    assert Confidence().exhausted(seen).answer == "b"
    assert Confidence(fallback="last").exhausted(seen.first(3)).answer == "c"
    dead = solutions("ab", [0.5, 0.99], [0.0, -inf])
    assert Confidence().stop(dead) is None and Confidence().exhausted(dead).answer == "a"


def test_the_share_of_confidence_against_its_definition():
    rng = np.random.default_rng(0)
    rule, stopped = Confidence(criterion="share", level=0.7), 0
    for _ in range(200):
        n = int(rng.integers(1, 6))
        answers, values = rng.choice(list("ab"), n).tolist(), rng.uniform(0.05, 0.95, n)
        totals = {x: values[[a == x for a in answers]].sum() for x in set(answers)}
        leader = max(totals, key=totals.get)
        verdict = rule.stop(solutions(answers, values))
        assert (verdict is not None) == (n > 1 and totals[leader] >= 0.7 * values.sum())
        if verdict is not None:
            stopped += 1
            assert verdict.answer == leader
            assert verdict.voters == tuple(i for i, a in enumerate(answers) if a == leader)
        assert rule.exhausted(solutions(answers, values)).answer == leader
    assert 50 < stopped < 150


def test_a_score_calibrated_for_single_solutions_is_not_where_one_stops():
    """The figures of the docs, from the law of all sequences.

    On half of the questions 9 of 10 solutions have the score .8, and are right nine times in ten;
    on the others 1 of 10 has it, and is never right. Of all solutions with that score 81% are
    right, so that as a confidence 0.8 is modest; of the answers at which the rule stops fewer are.
    """
    kinds = {"easy": (0.9, 0.9), "hard": (0.1, 0.0)}  # P(sure), P(right given sure)
    of_all = sum(sure * right for sure, right in kinds.values()) / 1.0
    assert of_all == pytest.approx(0.81)
    rule, most = Confidence(level=0.8), 12
    stopped = right_mass = 0.0
    for sure, right in kinds.values():
        for pattern in product((False, True), repeat=6):
            mass = np.prod([sure if s else 1 - sure for s in pattern]) / 2
            seen = solutions("a" * 6, [0.81 if s else 0.1 for s in pattern])
            ends = [n for n in range(1, 7) if rule.stop(seen.first(n)) is not None]
            if ends:
                stopped += mass
                right_mass += mass * right
    # the same by geometric laws
    by_law = {kind: 1 - (1 - sure) ** 6 for kind, (sure, _) in kinds.items()}
    assert stopped == pytest.approx(sum(by_law.values()) / 2)
    assert right_mass / stopped == pytest.approx(0.9 * by_law["easy"] / sum(by_law.values()))
    assert right_mass / stopped < 0.62
    reached = 1 - 0.9**most
    assert 0.9 / (1 + reached) == pytest.approx(0.524, abs=1e-3)  # of twelve solutions


def test_the_isotonic_curve_is_the_minimax_of_means():
    """Against the formula max_{j <= i} min_{k >= i} mean(j..k), which needs no algorithm."""
    rng = np.random.default_rng(1)
    scores = np.sort(rng.uniform(size=40))
    right = rng.uniform(size=40) < scores
    curve = isotonic_curve(scores.tolist(), right.tolist())
    places, heights = np.array(curve).T
    for i in range(40):
        bounds = [min(right[j : k + 1].mean() for k in range(i, 40)) for j in range(i + 1)]
        assert np.interp(scores[i], places, heights) == pytest.approx(max(bounds))
    rule = Confidence(curve=curve)
    seen = solutions("ab", [0.3, 0.9])
    expected = np.interp([0.3, 0.9], places, heights)
    assert rule.confidences(seen) == pytest.approx(expected)


def test_equal_scores_count_together():
    assert isotonic_curve([0.5, 0.5, 0.5, 0.9], [True, False, False, True]) == (
        (0.5, pytest.approx(1 / 3)),
        (0.9, 1.0),
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"criterion": "vote"}, "criterion must be one of"),
        ({"fallback": "first"}, "fallback must be one of"),
        ({"level": 1.0}, "level must be"),
        ({"curve": ((0.2, 0.5), (0.2, 0.6))}, "rising in both"),
        ({"curve": ((0.2, 0.5), (0.4, 1.6))}, "in \\[0, 1\\]"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        Confidence(**settings)
    with pytest.raises(ValueError, match="scores and right must be as many"):
        isotonic_curve([], [])
