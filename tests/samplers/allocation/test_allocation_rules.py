"""Allocations: worth by brute force, gains by dynamic programming, and the shares they give."""

from __future__ import annotations

from functools import cache
from itertools import product

import numpy as np
import pytest

from motes.samplers.allocation import (
    ALLOCATIONS,
    EqualShares,
    KnowledgeGradient,
    Thompson,
    allocation_rule,
    replayed,
)
from motes.samplers.allocation.knowledge_gradient import best_gradient, gradient
from motes.samplers.allocation.thompson import contradicted
from motes.samplers.stopping import Solutions
from motes.samplers.stopping.agreement import probability_of_largest, probability_of_lead


def said(*answers: str | None) -> Solutions:
    return Solutions(answers, np.zeros(len(answers)), 0.0)


def of_counts(*counts: int) -> Solutions:
    return said(*[str(k) for k, count in enumerate(counts) for _ in range(count)])


def chance(a: int, b: int) -> float:
    lead = probability_of_lead(a, b)
    return max(lead, 1 - lead)


@pytest.mark.parametrize(("a", "b"), [(0, 0), (1, 1), (3, 1), (5, 4), (6, 0)])
@pytest.mark.parametrize("m", [1, 2, 3, 6])
def test_the_gradient_is_that_of_all_sequences(a, b, m):
    """Against Polya's urn, sequence by sequence."""
    expected = 0.0
    for sequence in product((0, 1), repeat=m):
        counts, mass = [a, b], 1.0
        for answer in sequence:
            mass *= (counts[answer] + 1) / (sum(counts) + 2)
            counts[answer] += 1
        expected += mass * chance(*counts)
    assert gradient(a, b, m) == pytest.approx(expected - chance(a, b), abs=1e-12)


def test_one_solution_ahead_is_blind():
    """With a lead of two no single solution changes the leader, but several together may."""
    assert gradient(6, 4, 1) == 0.0 and gradient(6, 4, 2) == pytest.approx(0, abs=1e-12)
    assert best_gradient(6, 4) > 0


def test_knowledge_gradient_against_the_best_policy():
    """Two questions with two answers each and a uniform prior: expected modes known at the end.

    By backward induction over all states: the best policy, the rule, and equal shares.
    """
    budget = 10
    rule = KnowledgeGradient(budget=budget, least=1, batch=1, width=1)

    def value(policy) -> float:
        @cache
        def of(state: tuple[int, int, int, int]) -> float:
            if sum(state) == budget:
                return chance(*state[:2]) + chance(*state[2:])
            return policy(state, lambda question: going(state, question))

        def going(state: tuple[int, ...], question: int) -> float:
            total = 0.0
            a, b = state[2 * question : 2 * question + 2]
            for answer, count in enumerate((a, b)):
                after = list(state)
                after[2 * question + answer] += 1
                total += (count + 1) / (a + b + 2) * of(tuple(after))
            return total

        return of((1, 0, 1, 0))

    def ruled(state, going):
        seen = [of_counts(*state[:2]), of_counts(*state[2:])]
        [grant] = rule.next(seen, [budget] * 2, 1)
        return going(grant.question)

    def equal(state, going):
        return going(0 if sum(state[:2]) <= sum(state[2:]) else 1)

    best = value(lambda state, going: max(going(0), going(1)))
    found, plain = value(ruled), value(equal)
    assert plain < found <= best + 1e-12
    assert best - found < 0.1 * (best - plain)  # nine tenths of what can be gained


def test_thompson_contradicts_as_often_as_the_leader_is_wrong():
    """Against the integral of the Dirichlet posterior: P(contradicted at once) = 1 - P(leader)."""
    random = np.random.default_rng(0)
    seen, draws = of_counts(6, 3, 1), 20_000
    first = np.mean([contradicted(seen, random) == 1 for _ in range(draws)])
    expected = 1 - probability_of_largest(np.array([6.0, 3.0, 1.0, 0.0]))
    # 4.5 standard errors: false alarm 7e-6
    assert abs(first - expected) < 4.5 * np.sqrt(expected * (1 - expected) / draws)
    assert contradicted(of_counts(400), random) == 1024


@pytest.mark.parametrize("name", ALLOCATIONS)
def test_every_budget_is_kept(name):
    rng = np.random.default_rng(3)
    pools = [said(*rng.choice(list("abc"), 24, p=p)) for p in ([0.8, 0.1, 0.1], [0.4, 0.4, 0.2])]
    for budget in (9, 13, 30, 48, 100):
        rule = allocation_rule({"rule": name, "budget": budget, "width": 1})
        draws = replayed(rule, [*pools, said("a")])
        assert sum(draws) == min(budget, 49) and draws[2] == 1
        assert min(draws[:2]) >= 3


def test_shares_go_where_answers_are_unsure():
    rng = np.random.default_rng(0)
    sure = [said(*rng.choice(list("ab"), 96, p=[0.95, 0.05])) for _ in range(10)]
    unsure = [said(*rng.choice(list("ab"), 96, p=[0.6, 0.4])) for _ in range(10)]
    for rule in (KnowledgeGradient(budget=480), Thompson(budget=480)):
        draws = replayed(rule, sure + unsure)
        assert sum(draws) == 480 and sum(draws[10:]) > 2 * sum(draws[:10])
    assert replayed(EqualShares(budget=480), sure + unsure) == [24] * 20


def test_a_round_is_never_for_all():
    """With more width than questions the answers still decide."""
    pools = [said(*"ab" * 8), said(*"a" * 16), said(*"a" * 16), said(*"a" * 16)]
    assert replayed(KnowledgeGradient(budget=28, width=8), pools) == [16, 4, 4, 4]


def test_weights_count_by_what_they_are_worth():
    """Six solutions, of which one weighs nearly all: hardly more than one is known."""
    rule = KnowledgeGradient(budget=64)
    even = said(*"aaaaab")
    lonely = Solutions(tuple("aaaaab"), np.log([1e-6, 1e-6, 1e-6, 1e-6, 1.0, 1e-6]), 0.0)
    worth = rule.worth([even, lonely, Solutions((None,) * 2, np.full(2, -np.inf), 0.0)], 1)
    ess_one = best_gradient(1.0, 0.0) * (1 / 6) * 3 / 4
    assert worth[1] == pytest.approx(ess_one, rel=1e-3)
    assert worth[2] > 0  # nothing alive is known yet


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ("thompson", TypeError, "allocation must be an allocation, or a mapping"),
        ({"rule": "thompson"}, TypeError, "its 'budget'"),
        ({"rule": "best", "budget": 9}, ValueError, "allocation must be one of"),
        ({"rule": "thompson", "budget": 9, "price": 1}, ValueError, "price is not a setting"),
        ({"rule": "thompson", "budget": 0}, ValueError, "budget must be at least 1"),
    ],
)
def test_bad_allocations(given, error, message):
    with pytest.raises(error, match=message):
        allocation_rule(given)


def test_a_budget_that_does_not_suffice():
    with pytest.raises(ValueError, match="at least the 8 solutions that 2 questions"):
        replayed(KnowledgeGradient(budget=7), [said(*"abab"), said(*"abab")])
