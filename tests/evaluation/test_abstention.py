"""Rules for abstaining keep their promises: exactly where that can be enumerated, on simulated
exchangeable questions elsewhere; data that are seen to break a promise are refused."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, product
from math import ceil, floor, inf

import numpy as np
import pytest
from scipy.stats import binom, norm

from motes.evaluation.abstention import (
    OTHER,
    CalibrationSet,
    calibrate_answer_sets,
    calibrate_risk_control,
    calibrate_selection,
    calibrate_selective_risk,
    calibration_set,
)

FALSE_ALARM = 1e-4  # of each statistical test below, at most
QUESTIONS, NEW, REPEATS = 60, 20, 2000


def simulated(generator, size):
    """Confidences and truths of exchangeable questions; the confidence is informative, not true."""
    hard = generator.random(size)
    sure = np.round(np.clip(1 - hard + 0.15 * generator.normal(size=size), 0, 1), 1)
    return CalibrationSet(sure, generator.random(size) < 1 - hard**2)


def above(values, promised):
    """Whether the mean of independent values lies above what was promised, beyond chance."""
    error = np.std(values, ddof=1) / np.sqrt(len(values))
    return np.mean(values) > promised + norm.isf(FALSE_ALARM) * error


def part(whole, places):
    """Return some questions of a calibration."""
    share = whole.right_probability
    return CalibrationSet(
        whole.confidence[places], whole.right[places], None if share is None else share[places]
    )


def each_left_out(whole):
    """Every question as the new one: exchangeable questions make each as probable as another."""
    for new in range(whole.size):
        yield new, part(whole, np.delete(np.arange(whole.size), new))


@pytest.mark.parametrize("alpha", [0.1, 0.25, 0.5, 0.8])
def test_risk_control_is_exact_over_all_orders(alpha):
    for right in product([True, False], repeat=6):
        for sure in ([0.1, 0.2, 0.3, 0.4, 0.5, 0.6], [0.2, 0.2, 0.2, 0.5, 0.5, 0.5]):
            whole = CalibrationSet(np.array(sure), np.array(right))
            losses = []
            for new, known in each_left_out(whole):
                rule = calibrate_risk_control(known, alpha)
                losses.append(not right[new] and bool(rule.answers(sure[new])))
            assert np.mean(losses) <= alpha + 1e-12
            if not any(right) and len(set(sure)) == 6:  # nothing is lost to ties or right answers
                assert sum(losses) == floor(alpha * 6)


def test_risk_control_takes_the_smallest_threshold_of_its_definition():
    generator = np.random.default_rng(3)
    for _ in range(30):
        known, alpha = simulated(generator, 15), generator.uniform(0.05, 0.6)
        at = known.confidence
        fine = [((at[~known.right] >= c).sum() + 1) / 16 <= alpha for c in at]
        assert calibrate_risk_control(known, alpha).answers(at).tolist() == fine


@pytest.mark.parametrize("alpha", [0.15, 0.3, 0.5])
def test_sets_cover_over_all_orders(alpha):
    for share in ([0.9, 0.8, 0.6, 0.5, 0.3, 0.1, 0.05], [0.9, 0.9, 0.6, 0.6, 0.0, 0.0, 0.0]):
        values = np.array(share)
        whole = CalibrationSet(values, values > 0.5, values)
        covered = []
        for new, known in each_left_out(whole):
            answers = {"right": share[new]} if share[new] else {"wrong": 1.0}
            found = calibrate_answer_sets(known, alpha).answers(answers)
            covered.append("right" in found or (share[new] == 0 and OTHER in found))
        assert np.mean(covered) >= 1 - alpha - 1e-12
        if len(set(share)) == 7:
            assert sum(covered) == ceil(7 * (1 - alpha) - 1e-9)


def test_a_set_has_another_answer_where_a_right_one_may_never_have_been_drawn():
    share = np.array([0.9, 0.0, 0.5, 0.0])
    known = CalibrationSet(share, share > 0.4, share)
    assert calibrate_answer_sets(known, 0.4).answers({"a": 0.6, None: 0.4}) == ("a", OTHER)
    assert calibrate_answer_sets(known, 0.6).answers({"a": 0.6, "b": 0.4}) == ("a",)
    assert OTHER in calibrate_answer_sets(known, 0.01).answers({"a": 1.0})  # too few questions
    with pytest.raises(ValueError, match="probabilities of right answers"):
        calibrate_answer_sets(CalibrationSet(share, share > 0.4), 0.1)


def test_selective_risk_is_kept_by_all_but_delta_of_all_calibrations():
    """Every calibration of 12 questions on two confidences, with its probability."""
    high, size = 0.6, 12  # P(sure)
    for wrong, alpha, delta in (
        ((0.05, 0.45), 0.15, 0.6),  # P(wrong | sure), P(wrong | unsure)
        ((0.05, 0.45), 0.2, 0.3),
        ((0.3, 0.3), 0.25, 0.6),
    ):
        truth = {0.9: wrong[0], 0.2: high * wrong[0] + (1 - high) * wrong[1]}
        broken = answered = 0.0
        for sure in range(size + 1):
            for a, b in product(range(sure + 1), range(size - sure + 1)):
                probability = (
                    binom.pmf(sure, size, high)
                    * binom.pmf(a, sure, wrong[0])
                    * binom.pmf(b, size - sure, wrong[1])
                )
                confidence = np.repeat([0.9, 0.2], [sure, size - sure])
                right = np.repeat([True, False, True, False], [sure - a, a, size - sure - b, b])
                rule = calibrate_selective_risk(
                    CalibrationSet(confidence, right), alpha, delta, thresholds=(0.9, 0.2)
                )
                broken += probability * (truth.get(rule.threshold, 0.0) > alpha)
                answered += probability * (rule.threshold < inf)
        assert 0 < broken <= delta
        assert answered > 0.02  # the rule isn't empty


def test_selective_risk_asks_for_more_certainty_than_the_observed_share():
    sure = np.repeat([0.9, 0.3], [100, 100])
    right = np.ones(200, np.bool_)
    right[:16] = False
    assert calibrate_selective_risk(CalibrationSet(sure, right), 0.1, 0.05).threshold == inf
    assert calibrate_selective_risk(CalibrationSet(sure, right), 0.2, 0.05).threshold == 0
    with pytest.raises(ValueError, match="thresholds must fall"):
        calibrate_selective_risk(CalibrationSet(sure, right), 0.1, thresholds=(0.1, 0.2))


def picks_by_hand(known, sure, alpha):
    """Conformal p-values one by one, and the largest set that Benjamini and Hochberg allow."""
    values = []
    for c in sure:
        bad = [k for k, ok in zip(known.confidence, known.right, strict=True) if not ok and k >= c]
        values.append((1 + len(bad)) / (known.size + 1))
    sizes = [
        r for r in range(1, len(sure) + 1) if sum(v <= alpha * r / len(sure) for v in values) >= r
    ]
    bound = alpha * max(sizes) / len(sure) if sizes else -1
    return [value <= bound for value in values]


def test_selection_is_that_of_benjamini_and_hochberg():
    generator = np.random.default_rng(1)
    for _ in range(50):
        known, new = simulated(generator, 25), simulated(generator, 9)
        rule = calibrate_selection(known, 0.3)
        assert rule.picks(new.confidence).tolist() == picks_by_hand(known, new.confidence, 0.3)


def test_false_discoveries_are_few_over_all_splits():
    """Of 8 questions each 5 are the calibration: the mean over splits is the exact rate."""
    generator = np.random.default_rng(5)
    for alpha in (0.2, 0.4, 0.6):
        whole = simulated(generator, 8)
        shares = []
        for known in combinations(range(8), 5):
            new = [i for i in range(8) if i not in known]
            picked = calibrate_selection(part(whole, list(known)), alpha).picks(
                whole.confidence[new]
            )
            shares.append((picked & ~whole.right[new]).sum() / max(picked.sum(), 1))
        assert np.mean(shares) <= alpha


def promised_and_kept(leak):
    """Simulated rates of each promise at alpha = 0.2, delta = 0.1.

    With a leak, confidences of the calibration are better than those of new questions: as if the
    score had been tuned on it.
    """
    generator = np.random.default_rng(11)
    rates = {"risk control": [], "selection": [], "selective risk": []}
    for _ in range(REPEATS):
        known, new = simulated(generator, QUESTIONS), simulated(generator, NEW)
        if leak:
            tuned = np.where(known.right, known.confidence, known.confidence - 0.4)
            known = CalibrationSet(tuned, known.right)
        answered = calibrate_risk_control(known, 0.2).answers(new.confidence)
        rates["risk control"].append(np.mean(answered & ~new.right))
        picked = calibrate_selection(known, 0.2).picks(new.confidence)
        rates["selection"].append((picked & ~new.right).sum() / max(picked.sum(), 1))
        rule = calibrate_selective_risk(known, 0.2, 0.1)
        rates["selective risk"].append(RISK_ABOVE[rule.threshold] > 0.2)
    return rates


def risks_above():
    """The risk at each threshold of the grid, from a million simulated questions."""
    many = simulated(np.random.default_rng(0), 1_000_000)
    risks = {inf: 0.0}
    for threshold in (np.arange(20, -1, -1) / 20).tolist():
        risks[threshold] = float(np.mean(~many.right[many.confidence >= threshold]))
    return risks


RISK_ABOVE = risks_above()
PROMISED = {"risk control": 0.2, "selection": 0.2, "selective risk": 0.1}


def test_promises_hold_on_exchangeable_questions():
    rates = promised_and_kept(leak=False)
    assert [name for name, values in rates.items() if above(values, PROMISED[name])] == []
    assert np.mean(rates["risk control"]) > 0.15  # none of it is kept by silence
    assert np.mean(rates["selection"]) > 0.02


def test_a_leak_breaks_every_promise():
    rates = promised_and_kept(leak=True)
    assert [name for name, values in rates.items() if above(values, PROMISED[name])] == [*PROMISED]


def test_records_that_are_not_exchangeable_are_refused(run):
    records = run().records
    first = [record for record in records if record.arm == 0]
    known = calibration_set(first[:3])
    assert known.size == 3
    assert known.right.tolist() == [record.right for record in first[:3]]
    rule = calibrate_risk_control(known, 0.9)
    assert rule.decide(first[3]) == first[3].answer
    assert calibrate_selection(known, 0.9).decide(first[3:])[0] in (None, first[3].answer)
    with pytest.raises(ValueError, match="was part of the calibration"):
        rule.decide(first[0])
    other = [record for record in records if record.arm == 1]
    with pytest.raises(ValueError, match="'particles': 1|\"particles\": 1"):
        rule.decide(other[4])
    with pytest.raises(ValueError, match="models, answer rule, target and seed"):
        rule.decide(replace(first[3], evaluation="0" * 16))
    with pytest.raises(ValueError, match="one arm of one evaluation, not of 2"):
        calibration_set([first[0], other[1]])
    with pytest.raises(ValueError, match="no question twice"):
        calibration_set([first[0], first[0]])
    with pytest.raises(ValueError, match="at least one record"):
        calibration_set([])


def test_several_right_answers_are_not_added_up(run):
    record = run().records[0]
    split = replace(
        record, right=False, right_probability=0.6, right_answers=["1", "1.0"], probability=0.4
    )
    assert calibration_set([split]).right_probability == pytest.approx(0.3)
    assert calibration_set([replace(split, right_answers=None)]).right_probability == 0


def test_other_data_are_refused():
    with pytest.raises(TypeError, match="right must hold truths"):
        CalibrationSet(np.array([0.5]), np.array([1]))
    with pytest.raises(ValueError, match="one shape"):
        CalibrationSet(np.array([0.5, 0.4]), np.array([True]))
    with pytest.raises(ValueError, match="finite"):
        CalibrationSet(np.array([np.nan]), np.array([True]))
