"""Saturation: the number of solutions against its formula, the mixture against its integral."""

from __future__ import annotations

from math import ceil, inf, log

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import beta

from motes.samplers.stopping import Saturation, Solutions, fit_saturation


@pytest.mark.parametrize("gain", [0.3, 0.05, 0.001])
@pytest.mark.parametrize(("ceiling", "rate"), [(1.0, 0.5), (0.8, 0.13), (0.3, 0.02)])
def test_the_published_number(ceiling, rate, gain):
    rule = Saturation(gain=gain, ceiling=ceiling, rate=rate, concentration=inf)
    published = ceil(log(gain / (ceiling * rate)) / log(1 - rate))
    assert rule.needed == max(published, 1)
    answers = Solutions(("1",) * (rule.needed + 2), np.zeros(rule.needed + 2))
    looks = [rule.stop(answers.first(n)) is not None for n in range(1, rule.needed + 3)]
    assert looks.index(True) + 1 == rule.needed


@pytest.mark.parametrize(("rate", "concentration"), [(0.5, 2.0), (0.2, 0.7), (0.7, 30.0)])
@pytest.mark.parametrize("count", [0, 1, 7, 100])
def test_what_a_solution_adds_over_questions(rate, concentration, count):
    a, b = rate * concentration, (1 - rate) * concentration
    # quad's nodes avoid the ends, where the density may be infinite
    expected, error = quad(lambda p: p * (1 - p) ** count * beta.pdf(p, a, b), 0, 1, limit=200)
    rule = Saturation(ceiling=0.9, rate=rate, concentration=concentration)
    assert rule.gain_after(count) == pytest.approx(0.9 * expected, abs=10 * error + 1e-12)


def test_one_rate_for_all_is_the_limit():
    wide = Saturation(rate=0.3, concentration=1e7)
    one = Saturation(rate=0.3, concentration=inf)
    gains = [[rule.gain_after(n) for n in range(20)] for rule in (wide, one)]
    assert gains[0] == pytest.approx(gains[1], rel=1e-4)


def test_a_fit_finds_what_was_planted():
    draws = [1, 2, 4, 8, 16, 32]
    ones = [0.7 * (1 - (1 - 0.2) ** n) for n in draws]
    rule = fit_saturation(draws, ones, gain=0.02, mixed=False)
    assert (rule.ceiling, rule.rate) == (pytest.approx(0.7), pytest.approx(0.2))
    assert rule.gain == 0.02
    mixed = [
        0.9 * (1 - quad(lambda p, n=n: (1 - p) ** n * beta.pdf(p, 0.6, 1.4), 0, 1)[0])
        for n in draws
    ]
    rule = fit_saturation(draws, mixed)
    assert (rule.ceiling, rule.rate) == (pytest.approx(0.9, rel=1e-3), pytest.approx(0.3, rel=1e-2))
    assert rule.concentration == pytest.approx(2.0, rel=1e-2)


def test_the_published_form_stops_too_early_where_questions_differ():
    """p uniform over questions: F(N) = N / (N + 1), which the published form cannot follow."""
    draws = [1, 2, 4, 8, 16]
    solved = [n / (n + 1) for n in draws]
    published = fit_saturation(draws, solved, gain=1e-4, mixed=False)
    mixed = fit_saturation(draws, solved, gain=1e-4)
    exact = min(n for n in range(1, 1000) if 1 / ((n + 1) * (n + 2)) <= 1e-4)
    assert mixed.needed == pytest.approx(exact, rel=0.01) and exact == 99
    assert published.needed < 30


def test_what_it_says():
    rule = Saturation(gain=0.2)
    verdict = rule.stop(Solutions(("1", "2", "2"), np.zeros(3)))
    assert verdict.answer == "2" and "adds 0.2 at most" in verdict.said
    assert not rule.looks_at_answers


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"gain": 0}, "gain must be"),
        ({"ceiling": 1.2}, "ceiling must be"),
        ({"rate": 1.0}, "rate must be"),
        ({"concentration": 0}, "concentration must be"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        Saturation(**settings)
    with pytest.raises(ValueError, match="3 different points"):
        fit_saturation([1, 2], [0.1, 0.2])
