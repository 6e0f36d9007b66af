"""What drawing until one passes is worth: by all orders of the draws, unbiased for a known law,
and with a best number of draws only where problems differ."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy.stats import t

from motes.evaluation.laws import drawing_value, drawing_value_of_arm, plot_drawing_value
from motes.samplers import ImportanceSampling


def worth_by_orders(right, passed, k, penalty, cost):
    """The mean over all orders of what the draws of one problem are worth."""
    found = []
    for order in permutations(range(len(right))):
        worth = 0.0
        for draw in order[:k]:
            worth -= cost
            if passed[draw]:
                worth += 1 if right[draw] else -penalty
                break
        found.append(worth)
    return np.mean(found)


@pytest.mark.parametrize("seed", range(3))
def test_it_is_the_mean_over_all_orders(seed):
    generator = np.random.default_rng(seed)
    right, passed = generator.random((4, 5)) < 0.5, generator.random((4, 5)) < 0.5
    value = drawing_value(right, passed, penalty=0.7, cost=0.1)
    for place in range(5):
        each = [
            worth_by_orders(r, p, place + 1, 0.7, 0.1) for r, p in zip(right, passed, strict=True)
        ]
        assert value.mean[place] == pytest.approx(np.mean(each))
        ends = t.interval(0.95, 3, np.mean(each), np.std(each, ddof=1) / 2)
        assert (value.low[place], value.high[place]) == pytest.approx(ends)


def test_it_is_unbiased_for_a_known_verifier():
    """All outcomes of 4 draws with their probabilities, against the law of drawing on."""
    s, true, false, penalty, cost = 0.3, 0.8, 0.2, 0.5, 0.05
    kinds = {
        (True, True): s * true,
        (True, False): s * (1 - true),
        (False, True): (1 - s) * false,
        (False, False): (1 - s) * (1 - false),
    }
    expected, draws = np.zeros(4), np.zeros(4)
    for outcome in product(kinds, repeat=4):
        right, passed = np.array(outcome).T[:, None, :]
        value = drawing_value(right, passed, penalty=penalty, cost=cost)
        probability = np.prod([kinds[kind] for kind in outcome])
        expected += probability * value.mean
        draws += probability * value.draws
    phi = s * true + (1 - s) * false
    made = np.array([(1 - (1 - phi) ** k) / phi for k in range(1, 5)])
    np.testing.assert_allclose(draws, made, rtol=1e-12)
    law = (s * true - penalty * (1 - s) * false - cost) * made
    np.testing.assert_allclose(expected, law, rtol=1e-12)


def simulated(generator, rates, draws=16):
    right = generator.random((len(rates), draws)) < np.asarray(rates)[:, None]
    return right, np.where(right, True, generator.random(right.shape) < 0.1)


def test_a_best_number_of_draws_comes_from_problems_that_differ():
    generator = np.random.default_rng(1)
    same = drawing_value(*simulated(generator, [0.4] * 4000), penalty=1, cost=0.01)
    assert same.best > 8 and np.all(np.diff(same.mean[:8]) > 0)
    unlike = drawing_value(*simulated(generator, [0.6, 0.0] * 2000), penalty=1, cost=0.01)
    # the law of the two kinds of problem, 0.6 and 0 of right draws
    kinds = [(0.6 - 0.4 * 0.1 - 0.01, 0.6 + 0.4 * 0.1), (-0.1 - 0.01, 0.1)]
    law = [np.mean([a * (1 - (1 - phi) ** k) / phi for a, phi in kinds]) for k in unlike.k]
    assert 1 < np.argmax(law) + 1 == unlike.best < 8
    error = (unlike.high - unlike.low) / 2 / 1.96
    assert np.all(np.abs(unlike.mean - law) < 5 * error)  # false-alarm rate under 1e-5


def test_an_arm_has_the_worth_of_its_draws(run):
    evaluation = run(samplers={"draws": ImportanceSampling(particles=4)})
    value = drawing_value_of_arm(evaluation, penalty=0, cost=0.1, least=-50.0)  # all pass
    np.testing.assert_allclose(value.draws, 1)
    np.testing.assert_allclose(value.mean, value.mean[0])
    assert value.best == 1
    best, last = value.rows()
    assert (best.name, last.name) == ("value of best 1 draws", "value of all 4 draws")
    assert best.estimate == value.mean[0]
    ax = Figure().subplots()
    assert plot_drawing_value({"one": value, "two": value}, ax=ax) is ax
    with pytest.raises(ValueError, match="at least one value"):
        plot_drawing_value({})
    with pytest.raises(ValueError, match="penalty must be"):
        drawing_value_of_arm(evaluation, penalty=-1, cost=0)
