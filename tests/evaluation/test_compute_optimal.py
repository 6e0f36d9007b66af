"""The choice of method by difficulty: unbiased by two folds, and biased where it is not."""

from __future__ import annotations

import numpy as np
import pytest

from motes.evaluation import compute_optimal
from motes.evaluation.compute_optimal import easiness, quantiles, two_fold
from motes.samplers import BeamSearch, BestOfN, MajorityVote


def test_two_folds_are_unbiased_and_one_is_not():
    """Four methods of equal accuracy 0.5 on 20 questions: a choice can gain nothing.

    3,000 repetitions; the mean of two folds is within 4.5 standard errors of 0.5 (false alarm
    below 1e-5), while to choose and report on the same questions gives E[max] = 0.613.
    """
    rng = np.random.default_rng(0)
    held_out, same = [], []
    for trial in range(3000):
        right = rng.integers(0, 2, size=(20, 4)).astype(float)
        found = two_fold(right, np.ones((20, 4)), np.zeros(20, np.int64), seed=trial)
        held_out.append(found.held_out.mean())
        same.append(right.mean(axis=0).max())
    error = np.std(held_out) / np.sqrt(3000)
    assert abs(np.mean(held_out) - 0.5) < 4.5 * error < 0.02
    assert np.mean(same) == pytest.approx(0.613, abs=0.01)


def test_without_noise_it_is_the_best_of_each_bin():
    rng = np.random.default_rng(1)
    for _ in range(50):
        by_bin, bins = rng.random((5, 3)), np.repeat(np.arange(5), 6)
        found = two_fold(by_bin[bins], np.ones((30, 3)), bins)
        assert found.held_out.mean() == pytest.approx(by_bin.max(axis=1).mean())
        assert (found.choices == by_bin.argmax(axis=1)[:, None]).all()


def test_of_equals_the_cheaper_is_chosen():
    right, bins = np.ones((4, 3)), np.zeros(4, np.int64)
    tokens = np.array([[3.0, 1.0, 1.0]] * 4)
    found = two_fold(right, tokens, bins)
    assert found.choices.tolist() == [[1, 1]] and found.tokens.tolist() == [1.0] * 4


def test_no_question_is_judged_by_a_choice_that_it_had_a_part_in():
    """One question alone makes a method look best: it must not get that method."""
    right = np.zeros((6, 2))
    right[:, 0], right[3, 1] = 0.1, 1.0
    for seed in range(30):
        found = two_fold(right, np.ones((6, 2)), np.zeros(6, np.int64), seed)
        assert found.held_out[3] == 0.1


def test_bins_are_quantiles_easiest_first():
    easy = np.array([0.2, 0.9, 0.4, 0.4, 0.0, 1.0])
    assert quantiles(easy, 3).tolist() == [2, 0, 1, 1, 2, 0]


@pytest.fixture
def searched(run):
    return run(
        [(f"question {i}?", i % 2) for i in range(8)],
        samplers={
            "pool": BestOfN(particles=12),
            "beam": BeamSearch(particles=4),
            "vote": MajorityVote(samples=4),
        },
        repeats=2,
    )


@pytest.mark.slow
def test_difficulty_from_draws(searched):
    easy, spent = easiness(searched, 0, "oracle")
    for row, problem in enumerate(searched.whole):
        runs = [r for r in searched.records if r.problem == problem and r.arm == 0]
        shares = []
        for one in runs:
            answers, numbers = one.draws["answers"], one.draws["answer"]
            shares.append(np.mean([answers[i] == str(problem % 2) for i in numbers]))
        assert easy[row] == pytest.approx(np.mean(shares))
        assert spent[row] == sum(one.tokens for one in runs)
    predicted, _ = easiness(searched, 0, "predicted")
    assert ((predicted > 0) & (predicted < 1)).all()


def test_costs_with_difficulty_and_without(searched):
    chosen = compute_optimal(searched, draws_of=0, bins=2)
    assert {arm for pair in chosen.choices for arm in pair} <= {1, 2}
    _, spent = easiness(searched, 0, "oracle")
    assert chosen.tokens_in_all == pytest.approx(chosen.tokens + spent.mean())
    assert chosen.interval[0] <= chosen.accuracy <= chosen.interval[1]
    assert chosen.by_bin.mean() == pytest.approx(chosen.accuracy)
    assert "by difficulty" in str(chosen) and chosen.same_fold >= 0


def test_what_it_needs(searched):
    for arguments, message in (
        ({"draws_of": 3}, "draws_of must be at most 2"),
        ({"draws_of": 0, "bins": 5}, "8 problems for 5 bins are too few"),
        ({"draws_of": 0, "arms": []}, "a choice needs an arm at least"),
        ({"draws_of": 0, "difficulty": "felt"}, "difficulty must be one of oracle, predicted"),
        ({"draws_of": 2, "difficulty": "predicted", "bins": 2}, "needs a reward model's scores"),
    ):
        with pytest.raises(ValueError, match=message):
            compute_optimal(searched, **arguments)
