"""The best mix of configurations, against every mix there is."""

from __future__ import annotations

from itertools import combinations, product
from math import comb

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import beta

from motes.samplers.allocation import best_mix
from motes.samplers.allocation.osca import log_failure


def solved(right, runs, draws, estimator) -> float:
    """The share of questions solved, question by question, in plain arithmetic."""
    total = 0.0
    for c_row, m_row in zip(right, runs, strict=True):
        missed = 1.0
        for c, m, n in zip(c_row, m_row, draws, strict=True):
            if estimator == "unbiased":
                missed *= comb(m - c, n) / comb(m, n)
            elif estimator == "published":
                missed *= (1 - c / m) ** n
            else:
                for j in range(n):
                    missed *= (1 + m - c + j) / (2 + m + j)
        total += 1 - missed
    return total / len(right)


def brute_force(right, runs, budget, costs, estimator) -> float:
    most = [int(budget / cost + 1e-9) for cost in costs]
    if estimator == "unbiased":
        most = [min(n, min(row[k] for row in runs)) for k, n in enumerate(most)]
    mixes = product(*(range(n + 1) for n in most))
    able = [mix for mix in mixes if np.dot(mix, costs) <= budget + 1e-9]
    return max(solved(right, runs, mix, estimator) for mix in able)


@pytest.mark.parametrize("estimator", ["beta", "unbiased", "published"])
@pytest.mark.parametrize("costs", [(1.0, 1.0, 1.0), (1.0, 2.5, 0.7)])
def test_against_every_mix(estimator, costs):
    rng = np.random.default_rng(11)
    exact = 0
    for _ in range(25):
        skills = rng.beta(0.4, 1.2, size=(6, 3))
        right = rng.binomial(10, skills).tolist()
        runs = [[10] * 3] * 6
        mix = best_mix(right, runs, 7, costs=costs, estimator=estimator)
        best = brute_force(right, runs, 7, costs, estimator)
        assert mix.solved == pytest.approx(solved(right, runs, mix.draws, estimator))
        assert mix.cost == pytest.approx(np.dot(mix.draws, costs)) and mix.cost <= 7 + 1e-9
        assert mix.solved >= (1 - np.exp(-1)) * best  # what greedy steps promise
        assert mix.solved > 0.97 * best  # what exchanges make of it here
        exact += abs(mix.solved - best) < 1e-9
    assert exact >= 20


def test_the_chance_that_none_is_right():
    c, m = np.array([0, 2, 5]), np.array([6, 6, 6])
    unbiased = np.exp(log_failure(c, m, 6, "unbiased"))
    posterior = np.exp(log_failure(c, m, 6, "beta"))
    for row, right in enumerate(c):
        marks = [place < right for place in range(6)]
        for n in range(1, 7):
            subsets = list(combinations(marks, n))
            assert unbiased[row, n] == pytest.approx(np.mean([not any(s) for s in subsets]))
            law = beta(1 + right, 7 - right)
            expected = quad(lambda p, n=n, law=law: (1 - p) ** n * law.pdf(p), 0, 1)[0]
            assert posterior[row, n] == pytest.approx(expected, rel=1e-6)


def test_the_published_estimate_is_biased():
    """E of (1 - c/m)^n over c ~ Binomial(m, p) against (1 - p)^n; the unbiased one has none."""
    m, p, n = 6, 0.3, 3
    masses = np.array([comb(m, c) * p**c * (1 - p) ** (m - c) for c in range(m + 1)])
    c, runs = np.arange(m + 1), np.full(m + 1, m)
    means = {
        name: masses @ np.exp(log_failure(c, runs, n, name))[:, n]
        for name in ("unbiased", "published")
    }
    assert means["unbiased"] == pytest.approx((1 - p) ** n)
    assert means["published"] > (1 - p) ** n + 0.04


def test_configurations_that_complement_each_other_share():
    right = [[6, 0, 4]] * 5 + [[0, 6, 4]] * 5
    mix = best_mix(right, [[16] * 3] * 10, 8)
    assert mix.draws[0] == mix.draws[1] and sum(mix.draws) == 8
    dear = best_mix(right, [[16] * 3] * 10, 8, costs=(1, 100, 1))
    assert dear.draws[1] == 0


@pytest.mark.parametrize(
    ("right", "runs", "settings", "message"),
    [
        ([[1, 2]], [[3]], {}, "of one shape"),
        ([[4]], [[3]], {}, "between 0 and runs"),
        ([[1]], [[3]], {"costs": [0]}, "numbers above 0"),
        ([[1]], [[3]], {"budget": 0.5}, "must buy one solution"),
        ([[1]], [[3]], {"estimator": "mean"}, "estimator must be one of"),
    ],
)
def test_bad_input(right, runs, settings, message):
    with pytest.raises(ValueError, match=message):
        best_mix(right, runs, **{"budget": 4, **settings})
