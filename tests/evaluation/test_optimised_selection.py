"""OptCS keeps its false discovery rate exactly over all splits, ties included; what breaks it is
seen: a score chosen without its correction, the published count of ties, a tuned score."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from scipy.stats import norm

from motes.evaluation.abstention import (
    SCORES,
    CalibrationSet,
    calibrate_optimised_selection,
    calibrate_selection,
    calibration_set,
)
from motes.samplers import ImportanceSampling

FALSE_ALARM = 1e-4  # of each statistical test below, at most
ALPHA = 0.3


def known_set(scores, right):
    return CalibrationSet(scores[:, 0], right, scores=scores)


def simulated(generator, size, columns=3, levels=8):
    """Questions, one informative score with ties, and scores of pure noise."""
    hard = generator.random(size)
    noise = generator.integers(0, levels, (size, columns - 1)) / levels
    first = np.round(np.clip(1 - hard + 0.1 * generator.normal(size=size), 0, 1) * levels) / levels
    return np.column_stack([noise, first]), generator.random(size) < 1 - hard**2


def benjamini_hochberg(values, alpha):
    """The largest set, by its definition."""
    sizes = [r for r in range(1, len(values) + 1) if np.sum(values <= alpha * r / len(values)) >= r]
    if not sizes:
        return np.zeros(len(values), bool)
    return values <= alpha * max(sizes) / len(values)


def picks_by_e_values(known, new, alpha, numbers, strictly=False):
    """The procedure by e-values, question by question; `strictly` counts ties as published."""
    right, scores = known.right, known.scores
    n, m = len(right), len(new)
    e_values = np.zeros(m)
    for j in range(m):
        best, chosen = 0, 0
        for k in range(scores.shape[1]):
            values = np.zeros(m)
            for other in range(m):
                if other != j:
                    above = sum(
                        not ok and c >= new[other, k]
                        for ok, c in zip(right, scores[:, k], strict=True)
                    )
                    values[other] = (above + (new[j, k] >= new[other, k])) / (n + 1)
            size = benjamini_hochberg(values, alpha).sum()
            if size > best:
                best, chosen = size, k
        wrong = scores[~right, chosen]
        beyond = np.sum(wrong > new[j, chosen] if strictly else wrong >= new[j, chosen])
        if (1 + beyond) / (n + 1) <= alpha * best / m:
            e_values[j] = m / (alpha * best)
    with np.errstate(divide="ignore"):
        return benjamini_hochberg(numbers / e_values * (1 - 1e-12), alpha)


@pytest.mark.parametrize("pruning", ["none", "common", "each"])
def test_it_is_the_procedure_by_e_values(pruning):
    generator = np.random.default_rng(2)
    picked = 0
    for seed in range(12):
        known, (new, _) = known_set(*simulated(generator, 20)), simulated(generator, 7)
        drawn = np.random.default_rng(seed)
        if pruning == "each":
            numbers = drawn.random(7)
        else:
            numbers = np.full(7, drawn.random() if pruning == "common" else 1.0)
        rule = calibrate_optimised_selection(known, ALPHA, pruning=pruning, seed=seed)
        found = rule.judge(new)
        expected = picks_by_e_values(known, new, ALPHA, numbers)
        assert found.picked.tolist() == expected.tolist()
        picked += expected.sum()
    assert picked > 20


def least_squares(scores, right):
    """A linear score that is fitted to everything, and does not depend on the order."""
    rows = np.column_stack([scores, np.ones(len(scores))])
    normal = rows.T @ rows + 0.1 * np.eye(rows.shape[1])
    weights = np.linalg.solve(normal, rows.T @ right)
    return lambda other: np.round(np.column_stack([other, np.ones(len(other))]) @ weights, 9)


@pytest.mark.parametrize("learner", [None, least_squares])
@pytest.mark.parametrize("pruning", ["none", "common", "each"])
def test_false_discoveries_are_few_over_all_splits(learner, pruning):
    """Of 8 questions each 5 are the calibration: the mean over splits is the exact rate, given the
    random numbers, and less than alpha for the deterministic rule."""
    generator = np.random.default_rng(5)
    rates = []
    for seed in range(6):
        scores, right = simulated(generator, 8, levels=3)
        right[:2] = False  # there is something to discover wrongly
        for alpha in (0.4, 0.7):
            shares = []
            for known in combinations(range(8), 5):
                new = [i for i in range(8) if i not in known]
                rule = calibrate_optimised_selection(
                    known_set(scores[list(known)], right[list(known)]),
                    alpha,
                    learner=learner,
                    pruning=pruning,
                    seed=seed,
                )
                picked = rule.judge(scores[new]).picked
                shares.append((picked & ~right[new]).sum() / max(picked.sum(), 1))
            rates.append(np.mean(shares) / alpha)
    if pruning == "none":
        assert max(rates) <= 1
    assert 0 < np.mean(rates) <= 1


def false_shares(select, repeats, questions=40, new=20, columns=20, informative=0.0):
    """Simulated shares of wrong ones among those picked; scores are noise, or partly better."""
    generator = np.random.default_rng(7)
    shares, picked_right = [], []
    for _ in range(repeats):
        right = generator.random(questions + new) < 0.5
        scores = generator.integers(0, 30, (questions + new, columns)) / 30
        scores[:, -1] += informative * right
        known = known_set(scores[:questions], right[:questions])
        picked = select(known, scores[questions:])
        wrong = (picked & ~right[questions:]).sum()
        shares.append(wrong / max(picked.sum(), 1))
        picked_right.append(picked.sum() - wrong)
    return np.array(shares), np.mean(picked_right)


def exceeds(shares, alpha):
    error = shares.std(ddof=1) / np.sqrt(len(shares))
    return shares.mean() > alpha + norm.isf(FALSE_ALARM) * error


def optimised(known, new):
    seed = int(1e6 * new.sum()) % 2**32  # another one each time
    return calibrate_optimised_selection(known, ALPHA, seed=seed).judge(new).picked


def best_of_all(known, new):
    """The leak: of all scores' selections the largest one, without correction."""
    selections = []
    for column in range(new.shape[1]):
        one = CalibrationSet(known.scores[:, column], known.right)
        selections.append(calibrate_selection(one, ALPHA).picks(new[:, column]))
    return max(selections, key=np.sum)


def test_a_score_chosen_without_correction_is_seen_to_break_the_rate():
    assert exceeds(false_shares(best_of_all, 150)[0], ALPHA)
    assert not exceeds(false_shares(optimised, 150)[0], ALPHA)


def test_it_finds_the_informative_score_among_noise():
    def first_score(known, new):
        return calibrate_selection(known, ALPHA).picks(new[:, 0])

    many = {"repeats": 10, "questions": 120, "new": 60, "informative": 1.0}
    _, found = false_shares(optimised, **many)
    _, blind = false_shares(first_score, **many)
    assert found > 25 and blind < 2  # of 30 right answers


def test_one_random_number_for_all_picks_much_that_none_loses():
    """The R_j of questions that are tested with different scores differ."""

    generator = np.random.default_rng(6)
    found = {"common": [], "none": []}
    shares = []
    for seed in range(20):
        hard = generator.random(200)
        scores = np.round(1 - hard[:, None] + 0.15 * generator.normal(size=(200, 3)), 1)
        right = generator.random(200) < 1 - hard**2
        for pruning, sizes in found.items():
            rule = calibrate_optimised_selection(
                known_set(scores[:100], right[:100]), 0.1, seed=seed, pruning=pruning
            )
            picked = rule.judge(scores[100:]).picked
            sizes.append(picked.sum())
            if pruning == "common":
                shares.append((picked & ~right[100:]).sum() / max(picked.sum(), 1))
    assert np.all(np.array(found["common"]) >= found["none"])
    assert np.mean(found["common"]) > 1.1 * np.mean(found["none"])
    assert not exceeds(np.array(shares), 0.1)


def test_the_published_count_of_ties_breaks_the_rate():
    """A score that says nothing: 7 of 10 answers are wrong, 3 of 10 picked ones may be."""
    generator = np.random.default_rng(3)
    published, ours = [], []
    for _ in range(60):
        right, scores = generator.random(70) < 0.3, generator.integers(0, 3, (70, 1)) / 3
        known = known_set(scores[:60], right[:60])
        ways = (
            picks_by_e_values(known, scores[60:], ALPHA, np.ones(10), strictly=True),
            calibrate_optimised_selection(known, ALPHA, seed=len(ours)).judge(scores[60:]).picked,
        )
        for picked, shares in zip(ways, (published, ours), strict=True):
            shares.append((picked & ~right[60:]).sum() / max(picked.sum(), 1))
    assert exceeds(np.array(published), ALPHA)
    assert not exceeds(np.array(ours), ALPHA)


def test_a_tuned_score_is_seen():
    """The calibration's wrong answers lost 0.4, as a score that was fitted to it would do."""
    generator = np.random.default_rng(4)
    scores, right = simulated(generator, 300, levels=50)
    new, new_right = simulated(generator, 100, levels=50)
    tuned = scores.copy()
    tuned[~right, -1] -= 0.4
    known_set(scores, right).check_together(known_set(new, new_right))
    with pytest.raises(ValueError, match="follow another law"):
        known_set(tuned, right).check_together(known_set(new, new_right))
    one = known_set(tuned[:, -1:], right)
    with pytest.raises(ValueError, match="follow another law"):
        one.check_together(known_set(new[:, -1:], new_right))


def test_records_are_decided_upon_by_their_scores(run):
    evaluation = run(
        [(f"question {i}?", i % 2) for i in range(12)],
        samplers={
            "draws": ImportanceSampling(particles=4),
            "more": ImportanceSampling(particles=8),
        },
    )
    records = [record for record in evaluation.records if record.arm == 0]
    known = calibration_set(records[:8], SCORES)
    assert known.scores.shape == (8, len(SCORES))
    assert known.scores[:, 0].tolist() == [record.probability for record in records[:8]]
    rule = calibrate_optimised_selection(known, 0.9, seed=1)
    found = rule.judge(calibration_set(records[8:], SCORES).scores).picked
    answers = [
        record.answer if pick else None for record, pick in zip(records[8:], found, strict=True)
    ]
    assert rule.decide(records[8:]) == tuple(answers)
    with pytest.raises(ValueError, match="was part of the calibration"):
        rule.decide(records[:2])
    with pytest.raises(ValueError, match="does not hold for"):
        rule.decide([record for record in evaluation.records if record.arm == 1])
    bare = calibrate_optimised_selection(replace(known, scorers={}), 0.9, seed=1)
    with pytest.raises(ValueError, match="made of records with scores"):
        bare.decide(records[8:])


def test_scores_of_a_record(run):
    records = run(samplers={"draws": ImportanceSampling(particles=6)}).records
    for record in records:
        shares = {}
        for place, weight in zip(
            record.draws["answer"], np.exp(np.float64(record.draws["log_weight"])), strict=True
        ):
            shares[place] = shares.get(place, 0) + weight
        ordered = sorted(
            (v for k, v in shares.items() if record.draws["answers"][k] is not None), reverse=True
        )
        rest = [v for k, v in shares.items() if record.draws["answers"][k] != record.answer]
        assert SCORES["probability"](record) == pytest.approx(ordered[0], rel=1e-6)
        assert SCORES["margin"](record) == pytest.approx(
            ordered[0] - max(rest, default=0), abs=1e-6
        )
        entropy = -sum(v * np.log(v) for v in shares.values() if v > 0)
        assert SCORES["agreement"](record) == pytest.approx(-entropy, abs=1e-6)
        mine = [
            i
            for i, k in enumerate(record.draws["answer"])
            if record.draws["answers"][k] == record.answer
        ]
        tokens = [record.draws["tokens"][i] for i in mine]
        assert SCORES["brevity"](record) == pytest.approx(-np.mean(tokens))
        odds = [record.draws["log_odds"][i][-1] for i in mine]
        assert SCORES["reward"](record) == pytest.approx(max(odds))
    silent = replace(records[0], answer=None, probability=0.0, draws=None)
    for name, score in SCORES.items():
        assert score(silent) <= min(score(record) for record in records), name


def by_order(scores, right):
    return lambda other: other[:, 0] + right[0]


def test_other_arguments_are_refused():
    scores, right = simulated(np.random.default_rng(0), 10)
    right[0], right[-1] = True, False
    known = known_set(scores, right)
    with pytest.raises(ValueError, match="order of the questions"):
        calibrate_optimised_selection(known, 0.1, seed=1, learner=by_order)
    with pytest.raises(ValueError, match=r"shape \(10,\), not \(10, 3\)"):
        calibrate_optimised_selection(known, 0.1, seed=1, learner=lambda s, r: lambda other: other)
    with pytest.raises(ValueError, match="needs a calibration with scores"):
        calibrate_optimised_selection(CalibrationSet(scores[:, 0], right), 0.1, seed=1)
    with pytest.raises(ValueError, match="pruning must be one of none, common, each"):
        calibrate_optimised_selection(known, 0.1, seed=1, pruning="some")
    with pytest.raises(ValueError, match="3 columns of the calibration, not 2"):
        calibrate_optimised_selection(known, 0.1, seed=1).judge(scores[:, :2])
    with pytest.raises(ValueError, match="scores must have the shape"):
        CalibrationSet(scores[:, 0], right, scores=scores[:4])
    with pytest.raises(ValueError, match="scores must be finite"):
        calibrate_optimised_selection(known, 0.1, seed=1).judge(np.full((2, 3), np.nan))
