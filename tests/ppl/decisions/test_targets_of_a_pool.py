"""Powers, ranks, calibrated rewards, likelihoods of answers: exact on draws in exact proportion."""

from __future__ import annotations

import numpy as np
import pytest
from pools import FOUR, TENTHS, Paths, by_answer, make_pool

from motes.ppl.decisions import (
    answer_likelihood,
    best_of_n_target,
    calibrated_rewards,
    fobar,
    pessimistic,
    power_vote,
    softsat_vote,
    transformed_reward,
)
from motes.ppl.decisions.reward_ranks import pessimistic_weights

P = FOUR.probabilities
POOL = FOUR.pool(TENTHS)
R = 1 / (1 + np.exp(-FOUR.scores))


def normalised(density: np.ndarray) -> dict[str | None, float]:
    """A law on the answers from a density on the paths."""
    return by_answer(FOUR, density / density.sum())


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0, 2.0, 6.0])
def test_power_weights_give_the_power_of_the_prior(alpha):
    assert power_vote(POOL, alpha=alpha).shares == pytest.approx(normalised(P**alpha))


def test_the_effective_sample_size_collapses_as_the_power_grows_and_is_reported():
    rng = np.random.default_rng(0)
    logprobs = rng.normal(-100, 10, 64)
    pool = make_pool(rng.choice(["a", "b"], 64), logprobs=logprobs)
    sizes = [power_vote(pool, alpha=alpha).ess for alpha in (1, 1.1, 1.5, 4)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == pytest.approx(64) and sizes[-1] < 1.5
    assert power_vote(pool, alpha=1).notes == ()
    assert "hangs on a few paths" in power_vote(pool, alpha=4).notes[0]
    weights = np.exp(0.5 * (logprobs - logprobs.max()))
    assert sizes[2] == pytest.approx(weights.sum() ** 2 / (weights**2).sum())


def test_softsat_follows_its_limit():
    logp = np.log(P)
    ranks = np.array([P[logp <= value].sum() for value in logp])  # F(log p), with exact tenths
    saturated = 1 - (1 - np.minimum(ranks / 0.75, 1)) ** 2
    assert softsat_vote(POOL, beta=2.0).shares == pytest.approx(
        normalised(P * np.exp(2 * saturated))
    )
    assert softsat_vote(POOL, beta=0.0).shares == pytest.approx(normalised(P))


def test_weights_of_a_population_stay_where_a_power_is_laid_on_it():
    population = make_pool(
        ["a", "b"], weights=[0.2, 0.8], logprobs=np.log([0.5, 0.25]), from_prior=False
    )
    shares = power_vote(population, alpha=2.0).shares
    assert shares == pytest.approx({"a": 0.1 / 0.3, "b": 0.2 / 0.3})


def test_calibrated_rewards_are_mid_ranks_whatever_the_scale():
    calibrated = calibrated_rewards(POOL)
    assert calibrated.mean() == pytest.approx(0.5)
    by_path = dict(zip(TENTHS, calibrated.tolist(), strict=True))
    assert by_path == pytest.approx({2: 0.1, 0: 0.4, 1: 0.8, 3: 0.8})
    stretched = FOUR._replace(scores=FOUR.scores * 7 - 3).pool(TENTHS)
    np.testing.assert_allclose(calibrated_rewards(stretched), calibrated)


def test_targets_of_calibrated_rewards():
    c = np.array([0.4, 0.8, 0.1, 0.8])
    assert best_of_n_target(POOL, n=3).shares == pytest.approx(normalised(P * 3 * c**2))
    shares = transformed_reward(POOL, np.sqrt, beta=0.2).shares
    assert shares == pytest.approx(normalised(P * np.exp(np.sqrt(c) / 0.2)))


def test_best_of_n_as_a_target_is_the_law_of_best_of_n_on_many_outcomes():
    many = 500
    rng = np.random.default_rng(1)
    answers = tuple(rng.choice(["a", "b", "c"], many).tolist())
    scores = rng.normal(size=many)
    paths = Paths(np.full(many, 1 / many), answers, scores, np.ones(many, int))
    pool = paths.pool(np.arange(many))
    ranks = np.argsort(np.argsort(scores)) + 1
    exact = by_answer(paths, (ranks / many) ** 5 - ((ranks - 1) / many) ** 5)
    assert best_of_n_target(pool, n=5).shares == pytest.approx(exact, abs=1e-4)


@pytest.mark.parametrize("beta", [0.01, 0.3, 5.0])
def test_pessimistic_weights_are_the_best_under_the_penalty(beta):
    rng = np.random.default_rng(2)
    rewards = rng.random(6)
    weights = pessimistic_weights(rewards, beta)
    assert weights.mean() == pytest.approx(1) and weights.min() >= 0

    def value(ratio):
        return (ratio * rewards).mean() - beta / 2 * (ratio**2).mean()

    for _ in range(200):
        other = rng.dirichlet(np.full(6, 0.5)) * 6
        step = rng.random() ** 3
        assert value((1 - step) * weights + step * other) <= value(weights) + 1e-12


def test_a_pessimistic_target_is_flat_for_large_beta_and_the_best_for_small():
    assert pessimistic(POOL, beta=1e6).shares == pytest.approx(normalised(P), abs=1e-5)
    sharp = pessimistic(POOL, beta=1e-6).shares
    assert sharp == pytest.approx({"b": 0.75, None: 0.25})  # both have the best score


def test_a_likelihood_of_answers_is_a_declared_target():
    likelihood = {"a": 0.2, "b": 0.9}
    density = P * np.array([0.2, 0.9, 0.2, 0.05]) ** 2
    decision = answer_likelihood(POOL, likelihood, power=2.0, of_none=0.05)
    assert decision.shares == pytest.approx(normalised(density)) and decision.answer == "b"


def test_a_likelihood_of_answers_is_laid_on_the_weights_that_there_are():
    population = make_pool(["a", "b"], weights=[0.9, 0.1], independent=False, from_prior=False)
    decision = answer_likelihood(population, {"a": 0.2, "b": 0.6})
    assert decision.shares == pytest.approx({"a": 0.75, "b": 0.25})


def test_fobar_is_the_published_product():
    decision = fobar(POOL, {"a": 2, "b": 7}, alpha=0.3)
    backward = {"a": (2 + 1e-8) / (9 + 2e-8), "b": (7 + 1e-8) / (9 + 2e-8)}
    expected = {
        answer: FOUR.probability(answer) ** 0.3 * backward[answer] ** 0.7 for answer in ("a", "b")
    }
    assert decision.shares == pytest.approx(expected) and decision.answer == "b"
    assert fobar(POOL, {}, alpha=1.0).answer == "a"


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda pool: power_vote(pool, alpha=2), "a power vote needs the log-probability of every"),
        (lambda pool: softsat_vote(pool), "a SoftSat vote needs the log-probability of every draw"),
        (lambda pool: calibrated_rewards(pool), "a calibrated reward needs a reward model's score"),
        (lambda pool: pessimistic(pool, beta=0), "beta must be a finite number above 0"),
        (lambda pool: best_of_n_target(pool, n=0.5), "n must be a finite number of at least 1"),
        (lambda pool: answer_likelihood(pool, {"a": 1}), "likelihood must have every answer"),
        (lambda pool: answer_likelihood(pool, {"a": 0, "b": 0}), "no draw of this pool has a posi"),
        (lambda pool: fobar(pool, {"a": -1}), "a number of recoveries must be"),
    ],
)
def test_what_a_target_lacks_is_said(call, words):
    with pytest.raises(ValueError, match=words):
        call(make_pool(["a", "b"]))


def test_a_transform_must_give_a_number_for_each_draw():
    with pytest.raises(ValueError, match="transform must give 10 finite numbers"):
        transformed_reward(POOL, lambda c: c[:2], beta=1.0)
    dependent = make_pool(["a"], from_prior=False, logprobs=np.zeros(1))
    with pytest.raises(ValueError, match="a SoftSat vote needs complete, independent draws"):
        softsat_vote(dependent)
