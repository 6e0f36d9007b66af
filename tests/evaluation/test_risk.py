"""Risk curves are the expectation over random orders of ties, and have the known areas."""

from __future__ import annotations

from itertools import pairwise, permutations

import numpy as np
import pytest
from matplotlib.figure import Figure

from motes.evaluation import Evaluation, plot_risk, risk_curve, risk_intervals, risk_of_arm


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


@pytest.mark.parametrize("n", [1, 5, 12])
@pytest.mark.parametrize("wrong", [0, 1, 4, 12])
def test_the_excess_is_that_over_the_perfect_order(n, wrong):
    wrong = min(wrong, n)
    right = np.arange(n) < n - wrong
    assert risk_curve(-np.arange(n), right).excess_aurc == pytest.approx(0, abs=1e-12)
    shuffled = np.random.default_rng(n).random(n)
    least = risk_curve(-np.arange(n), right).aurc
    found = risk_curve(shuffled, right)
    assert found.excess_aurc == pytest.approx(found.aurc - least) and found.excess_aurc >= -1e-12


def simulated(generator, questions, repeats):
    """Runs that share their question's difficulty; confidences on a coarse scale, with ties."""
    hard = np.repeat(generator.random(questions), repeats)
    sure = np.round(np.clip(1 - hard + 0.3 * generator.normal(size=len(hard)), 0, 1), 1)
    return sure, generator.random(len(hard)) < 1 - hard, np.repeat(np.arange(questions), repeats)


@pytest.mark.parametrize("repeats", [1, 3])
def test_intervals_hold_the_areas(repeats, monkeypatch):
    """Of 200 intervals at 95%, 180 or more hold the truth: at 0.95, fewer do at one seed in 600,
    at 0.93 at one in 20."""
    monkeypatch.setattr(risk_intervals, "DRAWS", 200)
    generator = np.random.default_rng(8)
    many = risk_curve(*simulated(generator, 100_000, 1)[:2])
    held = np.zeros(3)
    for _ in range(200):
        curve = risk_curve(*simulated(generator, 80, repeats))
        at = len(curve.risk) // 2 - 1
        held += (
            curve.area_ends[0][0] <= many.aurc <= curve.area_ends[0][1],
            curve.area_ends[1][0] <= many.augrc <= curve.area_ends[1][1],
            curve.ends[0][at] <= many.risk[49_999] <= curve.ends[1][at],
        )
    assert np.all(held >= 180), held


def test_runs_on_one_question_are_not_independent():
    sure, right, question = simulated(np.random.default_rng(9), 60, 8)
    apart, together = risk_curve(sure, right), risk_curve(sure, right, question)
    np.testing.assert_array_equal(apart.risk, together.risk)
    widths = np.diff(together.area_ends) / np.diff(apart.area_ends)
    assert np.all(widths > 1.5)
    wide, narrow = (curve.ends[1][-1] - curve.ends[0][-1] for curve in (together, apart))
    assert wide > 2 * narrow


def test_curves_are_drawn():
    ax = Figure().subplots()
    curve = risk_curve([0.9, 0.5, 0.2], [True, False, True])
    assert plot_risk({"one": curve, "two": curve}, ax=ax) is ax
    assert [row.estimate for row in curve.rows()] == [curve.aurc, curve.augrc, curve.excess_aurc]
    with pytest.raises(ValueError, match="at least one curve"):
        plot_risk({})


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
    with pytest.raises(ValueError, match=r"question must have the shape \(1,\)"):
        risk_curve([0.5], [True], [0, 1])
    with pytest.raises(ValueError, match="finite"):
        risk_curve([np.nan], [True])
