"""Perplexity consistency: the bias of the sum, exactly, and that the repair has none."""

from __future__ import annotations

import numpy as np
import pytest
from pools import FOUR, Paths, by_answer, expected, make_pool, sequences

from motes.ppl.decisions import majority_vote, perplexity_consistency
from motes.ppl.decisions.consistency import inclusion_weights, reasoning_pruning

P = FOUR.probabilities


@pytest.mark.parametrize("samples", [1, 2, 3, 5])
def test_the_sum_is_too_small_by_the_paths_that_were_not_drawn(samples):
    found = expected(FOUR, samples, lambda pool: perplexity_consistency(pool, mode="sum").shares)
    bias = by_answer(FOUR, P * (1 - P) ** samples)
    for answer, share in found.items():
        assert share - FOUR.probability(answer) == pytest.approx(-bias[answer])


@pytest.mark.parametrize("samples", [1, 2, 3, 5])
def test_the_repair_is_unbiased(samples):
    found = expected(FOUR, samples, lambda pool: perplexity_consistency(pool).shares)
    assert found == pytest.approx({answer: FOUR.probability(answer) for answer in FOUR.answers})


@pytest.mark.parametrize("samples", [2, 3, 4])
def test_the_repairs_variance_is_estimated_without_bias(samples):
    paths = FOUR._replace(answers=("a", "b", "a", "a"))  # three paths of one answer
    second, estimate = 0.0, 0.0
    for places, probability in sequences(paths, samples):
        decision = perplexity_consistency(paths.pool(places))
        second += probability * decision.shares.get("a", 0.0) ** 2
        own = np.array(sorted(set(places) & {0, 2, 3}), int)
        estimate += probability * variance(P[own], samples)
        if len(own) and decision.answer == "a" and variance(P[own], samples) > 0:
            assert decision.error == pytest.approx(np.sqrt(variance(P[own], samples)))
    assert estimate == pytest.approx(second - 0.7**2)


def variance(p: np.ndarray, samples: int) -> float:
    """The textbook formula of Horvitz and Thompson, with joint inclusion probabilities."""
    single = 1 - (1 - p) ** samples
    total = 0.0
    for i in range(len(p)):
        for j in range(len(p)):
            both = single[i]
            if i != j:
                rest = (1 - p[i] - p[j]) ** samples
                both = 1 - (1 - p[i]) ** samples - (1 - p[j]) ** samples + rest
            total += (both - single[i] * single[j]) / both * p[i] * p[j] / single[i] / single[j]
    return total


def test_the_repair_is_a_vote_where_paths_are_rare_and_the_sum_where_they_are_likely():
    rare = make_pool(["a", "a", "b", None], logprobs=np.array([-900.0, -80.0, -200.0, -3000.0]))
    decision, vote = perplexity_consistency(rare), majority_vote(rare)
    assert decision.shares == pytest.approx(vote.shares)
    assert decision.error == pytest.approx(np.sqrt(0.5 * 0.5 / 3))  # the unbiased variance of 4
    likely = make_pool(["a", "b"] * 200, paths=[0, 1] * 200, logprobs=np.log([0.6, 0.4] * 200))
    repaired = perplexity_consistency(likely).shares
    assert repaired == pytest.approx({"a": 0.6, "b": 0.4})
    assert repaired == pytest.approx(perplexity_consistency(likely, mode="sum").shares)
    np.testing.assert_allclose(inclusion_weights(np.log([1e-12, 1e-14]), 4), 0.25, rtol=1e-10)
    certain = make_pool(["a"], logprobs=np.array([0.0]))
    assert perplexity_consistency(certain).shares == {"a": 1.0}


def test_the_sum_alone_may_almost_surely_be_wrong():
    """One wrong path of probability 0.3, and 70 right ones of 0.01 each, of 16 draws."""
    paths = Paths(
        np.array([0.3, *[0.01] * 70]),
        ("wrong", *["right"] * 70),
        np.zeros(71),
        np.ones(71, int),
    )
    rng = np.random.default_rng(2)
    right = dict.fromkeys(("sum", "horvitz_thompson", "vote"), 0.0)
    runs = 300
    for _ in range(runs):
        pool = paths.pool(rng.choice(71, 16, p=paths.probabilities))
        right["vote"] += majority_vote(pool).credit({"right"}) / runs
        right["sum"] += perplexity_consistency(pool, mode="sum").credit({"right"}) / runs
        right["horvitz_thompson"] += perplexity_consistency(pool).credit({"right"}) / runs
    assert right["sum"] < 0.03
    assert right["vote"] == pytest.approx(0.95, abs=0.05)
    assert right["horvitz_thompson"] > 0.98


def test_the_published_form_sums_geometric_means_of_distinct_paths():
    pool = FOUR.pool([0, 0, 1, 2])
    means = np.exp(np.log(P) / FOUR.tokens)
    whole = means[:3].sum()
    shares = perplexity_consistency(pool, mode="published").shares
    assert shares == pytest.approx({"a": (means[0] + means[2]) / whole, "b": means[1] / whole})
    assert "heuristic" in perplexity_consistency(pool, mode="published").law


def test_pruning_finds_who_is_of_which_part_of_a_mixture():
    rng = np.random.default_rng(3)
    low, high = 0.15 * rng.weibull(3, 60), 0.75 * rng.weibull(12, 60)
    kept = reasoning_pruning(np.concatenate([low, high]))
    assert kept[60:].all()
    assert np.mean(kept[:60]) < 0.1


def test_pruned_draws_have_no_part():
    logprobs = np.log([0.5, 0.01, 0.012, 0.011, 0.55, 0.6, 0.52, 0.58, 0.013, 0.61])
    pool = make_pool(["a", *["b"] * 3, *["a"] * 4, "b", "a"], logprobs=logprobs)
    decision = perplexity_consistency(pool, mode="published", pruned=True)
    assert decision.shares == {"a": 1.0} and "6 of 10 draws" in decision.law
    with pytest.raises(ValueError, match="pruning needs at least 8 draws"):
        perplexity_consistency(FOUR.pool([0, 1]), pruned=True)


def test_what_it_lacks_is_said_in_one_sentence():
    with pytest.raises(
        ValueError, match="perplexity consistency needs the log-probability of ever"
    ):
        perplexity_consistency(make_pool(["a", "b"]))
    resampled = make_pool(["a"], logprobs=np.zeros(1), independent=False, from_prior=False)
    with pytest.raises(ValueError, match="perplexity consistency needs complete, independent draw"):
        perplexity_consistency(resampled)
    with pytest.raises(ValueError, match="mode must be one of"):
        perplexity_consistency(FOUR.pool([0]), mode="best")  # type: ignore[arg-type]
