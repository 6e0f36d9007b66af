"""Rules for abstaining draw themselves, and say what they do on their calibration."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest
from matplotlib.figure import Figure

from motes.evaluation.abstention import (
    CalibrationSet,
    calibrate_answer_sets,
    calibrate_optimised_selection,
    calibrate_risk_control,
    calibrate_selection,
    calibrate_selective_risk,
    plot_answer_sets,
    plot_optimised_selection,
    plot_selection,
    plot_threshold_rule,
)
from motes.evaluation.law_rows import sentence
from motes.frequencies import jeffreys

SURE = np.array([0.9, 0.8, 0.8, 0.6, 0.4, 0.3])
RIGHT = np.array([True, True, False, True, False, False])
SHARE = np.where(RIGHT, SURE, 0.1)
KNOWN = CalibrationSet(SURE, RIGHT, SHARE, scores=np.stack([SURE, 1 - SURE], axis=1))


@pytest.fixture
def ax():
    return Figure().subplots()


def line(ax, label):
    [found] = [x for x in ax.lines if x.get_label() == label]
    return found


def test_a_threshold_is_drawn_over_what_each_would_do(ax):
    rule = calibrate_risk_control(KNOWN, 0.4)
    assert plot_threshold_rule(rule, ax=ax) is ax
    thresholds, answered = line(ax, "answered").get_data()
    assert thresholds.tolist() == [0.9, 0.8, 0.6, 0.4, 0.3]
    np.testing.assert_allclose(answered, [(t <= SURE).mean() for t in thresholds])
    _, wrong = line(ax, "wrong among these").get_data()
    np.testing.assert_allclose(wrong, [(~RIGHT[t <= SURE]).mean() for t in thresholds])
    assert line(ax, f"threshold {rule.threshold:.3g}").get_xdata()[0] == rule.threshold
    never = calibrate_selective_risk(KNOWN, 0.1)
    assert never.threshold == inf
    assert len(plot_threshold_rule(never, ax=Figure().subplots()).lines) == 2


def test_sets_are_drawn_with_their_bound(ax):
    rule = calibrate_answer_sets(KNOWN, 0.5)
    assert plot_answer_sets(rule, ax=ax) is ax
    [bound] = [x for x in ax.lines if x.get_label().startswith("bound")]
    assert bound.get_xdata()[0] == rule.bound
    with pytest.raises(ValueError, match="probabilities of right answers"):
        plot_answer_sets(type(rule)(0.0, "", CalibrationSet(SURE, RIGHT)))


def test_picked_questions_are_drawn_apart(ax):
    rule = calibrate_selection(KNOWN, 0.5)
    new = [0.95, 0.9, 0.1, 0.85]
    plot_selection(rule, new, ax=ax)
    assert len(line(ax, "picked").get_xdata()) == rule.picks(new).sum() == 3
    optimised = calibrate_optimised_selection(KNOWN, 0.5, seed=0)
    scores = np.stack([new, 1 - np.array(new)], axis=1)
    found = optimised.judge(scores)
    other = plot_optimised_selection(optimised, scores, ax=Figure().subplots())
    levels, values = line(other, "picked").get_data()
    assert np.all(np.asarray(values) <= np.asarray(levels))
    assert len(values) == found.picked.sum() > 0


def test_rows_are_what_the_rule_does_on_its_calibration():
    rule = calibrate_risk_control(KNOWN, 0.4)
    threshold, answered, wrong = rule.rows()
    assert (threshold.estimate, threshold.words) == (rule.threshold, sentence(rule.promise))
    taken = rule.answers(SURE)
    assert answered.estimate == taken.mean()
    assert (answered.low, answered.high) == tuple(map(float, jeffreys(taken.sum(), 6)))
    assert wrong.estimate == (~RIGHT[taken]).mean()
    assert len(calibrate_selective_risk(KNOWN, 0.1).rows()) == 2  # nothing is answered
    bound, inside = calibrate_answer_sets(KNOWN, 0.5).rows()
    assert bound.estimate <= 0.6 and inside.estimate == (bound.estimate <= SHARE).mean()
