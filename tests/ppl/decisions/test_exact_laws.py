"""Exact laws against sums over every sequence of draws, and against published figures."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from pools import FOUR, Paths, sequences

from motes.ppl.decisions import (
    best_of_n_bound,
    best_of_n_divergence,
    best_of_n_law,
    first_finish_law,
    short_vote_law,
    soft_best_of_n_law,
    vote_law,
)
from motes.ppl.decisions.exact_laws import outcomes

P = FOUR.probabilities.tolist()


def by_sequences(samples: int, pick) -> np.ndarray:
    """The law of a rule that gives each path a part of every sequence."""
    law = np.zeros(len(P))
    for places, probability in sequences(FOUR, samples):
        for place, part in pick(places).items():
            law[place] += probability * part
    return law


def best_by(values):
    def pick(places):
        best = [place for place in places if values[place] == max(values[i] for i in places)]
        return {place: best.count(place) / len(best) for place in best}

    return pick


def commonest(places):
    counts = Counter(places)
    best = [place for place, count in counts.items() if count == max(counts.values())]
    return dict.fromkeys(best, 1 / len(best))


@pytest.mark.parametrize("samples", [1, 2, 3, 5])
def test_laws_are_the_sums_over_all_sequences(samples):
    np.testing.assert_allclose(vote_law(P, samples), by_sequences(samples, commonest))
    np.testing.assert_allclose(
        best_of_n_law(P, FOUR.scores.tolist(), samples), by_sequences(samples, best_by(FOUR.scores))
    )
    tokens = FOUR.tokens.tolist()
    np.testing.assert_allclose(
        first_finish_law(P, tokens, samples), by_sequences(samples, best_by(-FOUR.tokens))
    )

    def soft(places):
        weights = [np.exp(1.5 * FOUR.scores[place]) for place in places]
        parts = Counter()
        for place, weight in zip(places, weights, strict=True):
            parts[place] += weight / sum(weights)
        return parts

    law = soft_best_of_n_law(P, FOUR.scores.tolist(), samples, beta=1.5)
    np.testing.assert_allclose(law, by_sequences(samples, soft))


def test_the_first_to_finish_follows_the_tail_formula():
    k, tokens = 4, FOUR.tokens
    tail = {t: sum(p for p, length in zip(P, tokens, strict=True) if length > t) for t in range(10)}
    expected = [
        tail[t - 1] ** k - tail[t] ** k for t in tokens.tolist()
    ]  # each length has one path
    np.testing.assert_allclose(first_finish_law(P, tokens.tolist(), k), expected)


@pytest.mark.parametrize(("k", "m"), [(1, 1), (3, 1), (3, 2), (4, 3), (5, 5)])
def test_the_vote_of_the_shortest_is_the_sum_over_all_sequences(k, m):
    answers = ["a", "b", "a", "c"]
    law = dict.fromkeys(answers, 0.0)
    for places, probability in sequences(FOUR, k):
        voters = sorted(places, key=lambda place: FOUR.tokens[place])[:m]
        votes = Counter(answers[place] for place in voters)
        tied = [answer for answer in votes if votes[answer] == max(votes.values())]
        law[next(answers[place] for place in voters if answers[place] in tied)] += probability
    found = short_vote_law(P, FOUR.tokens.tolist(), answers, k, m)
    assert found == pytest.approx(law) and sum(found.values()) == pytest.approx(1)


def test_the_soft_law_tends_to_the_tilted_prior_as_one_over_n():
    tilted = np.array(P) * np.exp(FOUR.scores)
    tilted /= tilted.sum()
    gaps = [
        np.abs(soft_best_of_n_law(P, FOUR.scores.tolist(), n, beta=1.0) - tilted).max()
        for n in (10, 20, 40)
    ]
    assert gaps[0] / gaps[1] == pytest.approx(2, rel=0.15)
    assert gaps[1] / gaps[2] == pytest.approx(2, rel=0.1)


def test_the_divergence_is_at_most_the_bound_and_far_below_it_on_few_outcomes():
    eight = np.full(8, 1 / 8).tolist()
    for n in (1, 2, 7, 256):
        divergence = best_of_n_divergence(eight, list(range(8)), n)
        assert 0 <= divergence <= best_of_n_bound(n) + 1e-12
    assert best_of_n_divergence(eight, list(range(8)), 256) == pytest.approx(np.log(8), abs=1e-3)
    assert best_of_n_bound(256) == pytest.approx(4.55, abs=0.005)
    many = np.full(20_000, 1 / 20_000).tolist()
    assert best_of_n_divergence(many, list(range(20_000)), 16) == pytest.approx(
        best_of_n_bound(16), rel=1e-3
    )


def test_counts_have_multinomial_probabilities():
    total = sum(probability for _, probability in outcomes([0.5, 0.3, 0.2, 0.0], 6))
    assert total == pytest.approx(1)
    assert all(counts[3] == 0 for counts, _ in outcomes([0.5, 0.3, 0.2, 0.0], 6))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: vote_law([0.5, 0.6], 3), "probabilities must be at least 0 and sum to one"),
        (lambda: vote_law([0.5, 0.5], 0), "samples must be at least 1"),
        (lambda: vote_law([0.1] * 10, 64), "more than 2000000 to sum over"),
        (lambda: short_vote_law([0.5, 0.5], [3, 3], ["a", "b"], 2, 1), "all different"),
        (lambda: short_vote_law([0.5, 0.5], [3, 4], ["a", "b"], 2, 3), "voters must be at most 2"),
    ],
)
def test_what_is_no_law_is_said(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_paths_sum_to_the_probability_of_their_answers():
    assert isinstance(FOUR, Paths) and FOUR.probability("a") == pytest.approx(0.6)
