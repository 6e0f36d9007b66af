"""Votes by weight, by count and by score, against enumeration."""

from __future__ import annotations

import numpy as np
import pytest
from pools import FOUR, TENTHS, by_answer, expected, make_pool

from motes.ppl.decisions import (
    Decision,
    majority_vote,
    minimum_bayes_risk,
    pool_of,
    posterior_mode,
    vote_law,
    weighted_vote,
)

R = 1 / (1 + np.exp(-FOUR.scores))


def test_the_posterior_mode_is_the_posteriors_own_answer(make_posterior):
    posterior = make_posterior()
    decision = posterior_mode(pool_of(posterior))
    assert decision.answer == posterior.answer
    assert decision.shares == pytest.approx(posterior.answers)
    assert list(decision.shares) == list(posterior.answers)
    assert decision.error == posterior.answer_mcse[posterior.answer]


def test_a_majority_vote_follows_the_law_of_its_counts():
    names = ("a", "b", "c", "d")
    paths = FOUR._replace(answers=names)
    law = dict(zip(names, vote_law(FOUR.probabilities.tolist(), 4), strict=True))

    def credit(pool):
        decision = majority_vote(pool)
        return {name: decision.credit({name}) for name in names}

    assert expected(paths, 4, credit) == pytest.approx(law)


def test_weights_are_always_respected_unless_they_are_of_prior_draws():
    answers, weights = ["a", "a", "b"], [1, 1, 4]
    population = make_pool(answers, weights=weights, independent=False, from_prior=False)
    assert posterior_mode(population).answer == majority_vote(population).answer == "b"
    weighed = make_pool(answers, weights=weights)
    assert posterior_mode(weighed).answer == "b" and majority_vote(weighed).answer == "a"


@pytest.mark.parametrize(("score", "beta"), [("last", 1.0), ("product", 2.5), ("mean", 0.0)])
def test_a_weighted_vote_is_importance_sampling_of_the_prior_times_the_score(score, beta):
    target = by_answer(FOUR, FOUR.probabilities * R**beta)
    whole = sum(target.values())
    shares = weighted_vote(FOUR.pool(TENTHS), score=score, beta=beta).shares
    assert shares == pytest.approx({answer: value / whole for answer, value in target.items()})


def test_the_error_of_a_share_is_that_of_a_ratio():
    rng = np.random.default_rng(1)
    shares, errors = [], []
    for _ in range(300):
        decision = weighted_vote(FOUR.pool(rng.choice(4, 60, p=FOUR.probabilities)))
        if decision.answer == "a":
            shares.append(decision.value)
            errors.append(decision.error)
    # a standard deviation of some 200 values is known to 5%: more than 3 errors away from failing
    assert np.mean(errors) == pytest.approx(np.std(shares), rel=0.35)
    vote = majority_vote(FOUR.pool(TENTHS))
    assert vote.error == pytest.approx(np.sqrt(0.6 * 0.4 / 10)) and vote.ess == pytest.approx(10)


def test_ties_are_reported_and_go_by_spelling():
    decision = majority_vote(make_pool(["b", "a", None, None, None]))
    assert decision.answer == "a" and decision.tied == ("a", "b")
    assert decision.credit({"b"}) == 0.5 and decision.credit({"c"}) == 0
    assert list(decision.shares) == [None, "a", "b"]
    assert list(majority_vote(make_pool([None, "b", "a"])).shares) == ["a", "b", None]
    nothing = majority_vote(make_pool([None, None]))
    assert nothing.answer is None and nothing.tied == () and nothing.credit({"a"}) == 0


def test_unanimous_draws_tell_no_error():
    assert np.isnan(majority_vote(make_pool(["a", "a"])).error)
    dependent = make_pool(["a", "b"], independent=False, from_prior=False)
    assert np.isnan(majority_vote(dependent).error)


def test_bayes_risk_is_the_largest_sum_over_all_answers():
    pool = make_pool(["0", "3", "5", None], weights=[0.3, 0.25, 0.35, 0.1])

    def near(said: str, true: str) -> float:
        return -abs(float(said) - float(true))

    sums = {
        said: 0.3 * near(said, "0") + 0.25 * near(said, "3") + 0.35 * near(said, "5") - 0.1 * 9
        for said in ("0", "3", "5", "4")
    }
    decision = minimum_bayes_risk(pool, near, candidates=sums, of_none=-9.0)
    assert decision.shares == pytest.approx(sums) and decision.answer == "3"
    assert posterior_mode(pool).answer == "5"
    gaps = np.array([near("3", "0"), 0, near("3", "5"), -9]) - sums["3"]
    assert decision.error == pytest.approx(np.sqrt(np.sum((pool.weights * gaps) ** 2)))


def test_bayes_risk_of_equality_is_the_mode():
    pool = FOUR.pool(TENTHS)
    same = minimum_bayes_risk(pool, lambda said, true: float(said == true))
    mode = posterior_mode(pool)
    assert isinstance(mode, Decision) and same.answer == mode.answer
    assert same.value == pytest.approx(mode.value) and same.error == pytest.approx(mode.error)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda pool: weighted_vote(pool), "a weighted vote needs a reward model's scores"),
        (lambda pool: minimum_bayes_risk(pool, lambda a, b: np.nan), "must give finite numbers"),
        (lambda pool: minimum_bayes_risk(pool, max, candidates=[]), "at least one candidate"),
        (lambda pool: weighted_vote(pool, beta=-1), "beta must be a finite number of at least 0"),
    ],
)
def test_what_a_vote_lacks_is_said(call, words):
    with pytest.raises(ValueError, match=words):
        call(make_pool(["a", "b"]))
