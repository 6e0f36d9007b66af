"""Risk curves are the expectation over random orders of ties, and have the known areas."""

from __future__ import annotations

from itertools import pairwise, permutations

import numpy as np
import pytest

from motes.evaluation import Evaluation, risk_curve, risk_of_arm


@pytest.mark.parametrize("seed", range(4))
def test_ties_are_averaged_over_all_orders(seed):
    generator = np.random.default_rng(seed)
    sure, right = generator.integers(0, 3, 6) / 2, generator.random(6) < 0.5
    risks, areas, general = [], [], []
    for order in permutations(range(6)):
        if all(sure[a] >= sure[b] for a, b in pairwise(order)):
            wrong = [sum(not right[i] for i in order[:m]) for m in range(1, 7)]
            risks.append([count / m for m, count in enumerate(wrong, start=1)])
            areas.append(np.mean(risks[-1]))
            general.append(sum(wrong) / 36)
    curve = risk_curve(sure, right)
    np.testing.assert_allclose(curve.risk, np.mean(risks, axis=0))
    assert curve.aurc == pytest.approx(np.mean(areas))
    assert curve.augrc == pytest.approx(np.mean(general))


def test_a_constant_confidence_has_the_error_as_area():
    curve = risk_curve(np.full(10, 0.3), np.arange(10) < 7)
    assert curve.aurc == pytest.approx(0.3) and curve.augrc == pytest.approx(0.3 * 5.5 / 10)


@pytest.mark.parametrize("error", [0.1, 0.5])
def test_a_perfect_order_has_the_least_area(error):
    n = 20_000
    right = np.arange(n) < n * (1 - error)
    curve = risk_curve(-np.arange(n), right)
    # the limits of many answers
    assert curve.aurc == pytest.approx(error + (1 - error) * np.log(1 - error), abs=1e-3)
    assert curve.augrc == pytest.approx(error**2 / 2, abs=1e-3)
    assert risk_curve(np.arange(n), right).aurc > error


def test_an_arm_has_the_curve_of_its_records(run):
    evaluation = run(repeats=2)
    for arm in range(4):
        own = [record for record in evaluation.records if record.arm == arm]
        expected = risk_curve([r.probability for r in own], [r.right for r in own])
        found = risk_of_arm(evaluation, arm)
        np.testing.assert_array_equal(found.risk, expected.risk)
        assert found.risk[-1] == pytest.approx(1 - np.mean([r.right for r in own]))
    with pytest.raises(ValueError, match="arm must be at most 3, not 4"):
        risk_of_arm(evaluation, 4)
    with pytest.raises(ValueError, match="at least one problem"):
        risk_of_arm(Evaluation(evaluation.arms, 5, evaluation.records[:1], 2))


def test_other_data_are_refused():
    with pytest.raises(TypeError, match="right must hold truths"):
        risk_curve([0.5], [1])
    with pytest.raises(ValueError, match="same shape"):
        risk_curve([0.5, 0.4], [True])
    with pytest.raises(ValueError, match="finite"):
        risk_curve([np.nan], [True])
