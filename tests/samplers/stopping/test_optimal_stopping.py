"""Optimal stopping with recall, against dynamic programming over everything that can be seen."""

from __future__ import annotations

from functools import cache
from math import inf, log

import numpy as np
import pytest

from motes.samplers.stopping import OptimalStopping, Solutions

VALUES = (0.1, 0.4, 0.7, 0.95)


def log_odds(value: float) -> float:
    return log(value / (1 - value))


def seen(*values: float) -> Solutions:
    rows = tuple((log_odds(value),) for value in values)
    return Solutions(tuple(str(value) for value in values), np.zeros(len(values)), 0.0, rows)


def stops(rule: OptimalStopping, counts: tuple[int, ...]) -> bool:
    values = [value for value, count in zip(VALUES, counts, strict=True) for _ in range(count)]
    return rule.stop(seen(*values)) is not None


def after(counts: tuple[int, ...], k: int) -> tuple[int, ...]:
    return (*counts[:k], counts[k] + 1, *counts[k + 1 :])


@pytest.mark.parametrize("price", [0.01, 0.04, 0.1, 0.3])
@pytest.mark.parametrize("strength", [inf, 8.0, 1.0])
def test_no_rule_does_better(price, strength):
    """At every state the rule does what backward induction finds best, of seven solutions.

    The law of the next score is F itself where it is known, else that of Polya's urn.
    """
    most = 7
    rule = OptimalStopping(price=price, known=VALUES, strength=strength)

    def law(counts: tuple[int, ...]) -> np.ndarray:
        if strength == inf:
            return np.full(4, 1 / 4)
        return (strength / 4 + np.array(counts)) / (strength + sum(counts))

    @cache
    def best(counts: tuple[int, ...]) -> tuple[float, float]:
        """The values of stopping and of going on, less the price of what is yet to come."""
        now = max(value for value, count in zip(VALUES, counts, strict=True) if count)
        if sum(counts) == most:
            return now, -inf
        going = [max(best(after(counts, k))) for k in range(4)]
        return now, float(law(counts) @ going) - price

    decisions = set()
    states = {after((0, 0, 0, 0), k) for k in range(4)}
    while states:
        for counts in states:
            now, on = best(counts)
            assert abs(now - on) > 1e-9  # no state is a matter of taste
            assert stops(rule, counts) == (now > on), counts
            decisions.add(now > on)
        states = {after(c, k) for c in states for k in range(4) if sum(c) < most - 1}
    assert decisions == {True, False} or price in (0.01, 0.3)


def test_the_reservation_score():
    """E_F[(R - z)_+] = c at z, by the integral: of the uniform law z = 1 - sqrt(2 c)."""
    rule = OptimalStopping(price=0.02, strength=inf)
    z = 1 - np.sqrt(2 * 0.02)
    assert rule.stop(seen(0.1, z - 1e-6)) is None
    assert rule.stop(seen(0.1, z + 1e-6)).answer == str(z + 1e-6)


def test_it_recalls_the_best():
    rule = OptimalStopping(price=0.05, strength=4.0)
    early = seen(0.6, *[0.2] * 3)
    assert rule.stop(early.first(1)) is None  # 4 / 5 of 0.08 is more than 0.05
    verdict = rule.stop(early)
    assert verdict.answer == "0.6" and verdict.voters == (0,)  # 4 / 8 of 0.08 is less
    assert "costs 0.05" in verdict.said and "not that it is right" in verdict.said


def test_solutions_that_cannot_answer():
    rows = ((5.0,), (5.0,), (-1.0,))
    mixed = Solutions((None, "17", "18"), np.array([0.0, -inf, 0.0]), 0.0, rows)
    rule = OptimalStopping(price=0.4)
    assert rule.stop(mixed).answer == "18"
    silent = Solutions((None,), np.zeros(1), 0.0, ((5.0,),))
    assert rule.stop(silent) is None and rule.exhausted(silent).answer is None
    with pytest.raises(ValueError, match="have no scores"):
        rule.stop(Solutions(("17",), np.zeros(1)))


@pytest.mark.parametrize(
    ("score", "best"), [("product", "a"), ("last", "b"), ("min", "a"), ("mean", "b")]
)
def test_the_score_is_the_reward_models(score, best):
    rows = ((1.0, 1.0), (0.0, 9.0))
    solutions = Solutions(("a", "b"), np.zeros(2), 0.0, rows)
    odds = 1 / (1 + np.exp(-np.array(rows)))
    expected = {"product": odds.prod(1), "last": odds[:, 1], "min": odds.min(1)}
    expected["mean"] = odds.mean(1)
    assert solutions.scores(score) == pytest.approx(expected[score])
    assert OptimalStopping(price=0.9, score=score).stop(solutions).answer == best


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"price": 0.0}, "price must be"),
        ({"score": "sum"}, "score must be one of"),
        ({"known": ()}, "known must hold one score"),
        ({"known": (0.5, 2.0)}, "a score of known must be"),
        ({"strength": 0.0}, "strength must be"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        OptimalStopping(**settings)
