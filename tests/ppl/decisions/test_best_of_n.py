"""Best of N from a pool: unbiased over every sequence of draws, with the jackknife's errors."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from pools import FOUR, by_answer, expected, make_pool

from motes.ppl.decisions import (
    best_of_n,
    best_of_n_law,
    first_finish,
    first_finish_law,
    short_majority,
    short_vote_law,
    soft_best_of_n,
    soft_best_of_n_law,
)
from motes.ppl.decisions.order_statistics import order_weights

P = FOUR.probabilities.tolist()


@pytest.mark.parametrize("n", [1, 2, 3, 6])
def test_order_weights_are_shares_of_all_subsets(n):
    scores = np.array([0.3, 0.9, 0.3, -1.0, 0.9, 0.5])
    shares = np.zeros(6)
    subsets = list(combinations(range(6), n))
    for subset in subsets:
        best = [i for i in subset if scores[i] == scores[list(subset)].max()]
        shares[best] += 1 / len(best) / len(subsets)
    np.testing.assert_allclose(order_weights(scores, n), shares)


@pytest.mark.parametrize(("size", "n"), [(3, 3), (4, 2), (5, 3)])
def test_best_of_n_is_unbiased_for_every_n_up_to_the_pool(size, n):
    law = by_answer(FOUR, best_of_n_law(P, FOUR.scores.tolist(), n))
    assert expected(FOUR, size, lambda pool: best_of_n(pool, n).shares) == pytest.approx(law)
    law = by_answer(FOUR, first_finish_law(P, FOUR.tokens.tolist(), n))
    assert expected(FOUR, size, lambda pool: first_finish(pool, n).shares) == pytest.approx(law)


def test_soft_best_of_n_follows_its_law():
    rewards = 1 / (1 + np.exp(-FOUR.scores))
    law = by_answer(FOUR, soft_best_of_n_law(P, rewards.tolist(), 4, beta=3.0))
    found = expected(FOUR, 4, lambda pool: soft_best_of_n(pool, beta=3.0).shares)
    assert found == pytest.approx(law)


@pytest.mark.parametrize(("k", "m"), [(3, 1), (4, 2), (5, 3)])
def test_the_vote_of_the_shortest_follows_its_law(k, m):
    answers = ["a", "b", "a", "c"]
    paths = FOUR._replace(answers=tuple(answers))
    law = short_vote_law(P, FOUR.tokens.tolist(), answers, k, m)
    found = expected(paths, k, lambda pool: {short_majority(pool, m).answer: 1.0})
    assert found == pytest.approx(law)


def test_the_jackknife_of_one_draw_is_the_error_of_a_share():
    pool = FOUR.pool([0, 0, 1, 2, 3, 1, 0])
    decision = best_of_n(pool, 1)
    share = decision.shares[decision.answer]
    assert decision.error == pytest.approx(np.sqrt(share * (1 - share) / (len(pool) - 1)))
    assert np.isnan(best_of_n(pool).error)


def test_the_jackknife_of_more_draws_has_the_size_of_the_true_error():
    rng = np.random.default_rng(0)
    values, errors = [], []
    for _ in range(200):
        decision = best_of_n(FOUR.pool(rng.choice(4, 24, p=P)), 3)
        values.append(decision.shares.get("b", 0.0))
        if decision.answer == "b":
            errors.append(decision.error)
    # a standard deviation of 200 values is known to 5%, a mean of jackknife errors to less
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.25)


def test_chains_that_were_cut_off_finish_last():
    pool = make_pool(
        [None, "a", "b"], tokens=np.array([1, 5, 9]), ends=("truncated", "finished", "finished")
    )
    assert first_finish(pool).answer == "a" and short_majority(pool, 1).answer == "a"


def test_a_tie_of_the_shortest_goes_to_the_shorter_chain():
    pool = make_pool(["a", "b", "c", "c"], tokens=np.array([4, 3, 8, 9]))
    assert short_majority(pool, 2).answer == "b" and short_majority(pool, 2).tied == ("a", "b")
    assert short_majority(pool, 4).answer == "c"


def test_draws_that_are_not_of_the_prior_are_refused():
    pool = make_pool(["a", "b"], from_prior=False, log_odds=(np.zeros(1), np.zeros(1)))
    for rule in (best_of_n, first_finish, short_majority, lambda x: soft_best_of_n(x, beta=1.0)):
        with pytest.raises(ValueError, match="needs complete, independent draws from the declared"):
            rule(pool)
    with pytest.raises(ValueError, match="needs a reward model's scores"):
        best_of_n(make_pool(["a", "b"]))
    with pytest.raises(ValueError, match="n must be at most 2, not 3"):
        best_of_n(make_pool(["a", "b"], log_odds=(np.zeros(1), np.zeros(1))), 3)
