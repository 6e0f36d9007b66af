"""The derivative that an adapted power climbs, where it leads, and signals of hidden states."""

from __future__ import annotations

import numpy as np
import pytest
from pools import Paths, make_pool

from motes.ppl.decisions import (
    adapted_power_vote,
    agreement_gradient,
    latent_signals,
    power_vote,
    signal_vote,
    softsat_vote,
)
from motes.ppl.decisions.adapted_power import covariance


def paths(probabilities, answers) -> Paths:
    size = len(answers)
    return Paths(np.array(probabilities), tuple(answers), np.zeros(size), np.ones(size, np.int64))


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.5])
def test_the_derivative_is_the_covariance(alpha):
    """d/d alpha P_alpha(right) on an enumerable law, against a difference quotient."""
    p = np.random.default_rng(2).dirichlet(np.ones(9))
    right = np.arange(9) % 3 == 0

    def share(power):
        weights = p**power / (p**power).sum()
        return weights @ right

    step = 1e-5
    quotient = (share(alpha + step) - share(alpha - step)) / (2 * step)
    weights = p**alpha / (p**alpha).sum()
    assert covariance(weights, right.astype(float), np.log(p)) == pytest.approx(quotient, rel=1e-6)


def test_the_gradient_against_its_definition():
    pool = make_pool(["a", "b", "a", None, "a"], logprobs=np.array([-1.0, -3.0, -2.0, -4.0, -1.0]))
    weights = np.exp(0.5 * pool.logprobs)
    weights /= weights.sum()
    agreeing = []
    for i in range(5):
        others = [j for j in range(5) if j != i and pool.answers[j] == pool.answers[i]]
        valid = pool.answers[i] is not None
        agreeing.append(weights[others].sum() / (1 - weights[i]) if valid else 0.0)
    mean = sum(w * x for w, x in zip(weights, pool.logprobs, strict=True))
    sd = np.sqrt(sum(w * (x - mean) ** 2 for w, x in zip(weights, pool.logprobs, strict=True)))
    average = weights @ np.array(agreeing)
    expected = sum(
        w * (v - average) * (x - mean) / sd
        for w, v, x in zip(weights, agreeing, pool.logprobs, strict=True)
    )
    assert agreement_gradient(pool, 1.5) == pytest.approx(expected)
    flat = make_pool(["a", "b"], logprobs=np.array([-1.0, -1.0]))
    assert agreement_gradient(flat, 1.0) == 0.0


def test_it_sharpens_where_the_common_answer_has_the_probable_paths_and_flattens_otherwise():
    # "a" has one path of 0.5; "b" fifty of 0.01: as common, less probable each
    law = paths([0.4, *[0.06] * 10], ["a", *["b"] * 10])
    drawn = np.random.default_rng(0).choice(11, 64, p=law.probabilities)
    pool = law.pool(drawn)
    assert agreement_gradient(pool, 1.0) < 0  # most agree on b, whose paths are rare
    flat = adapted_power_vote(pool)
    assert flat.answer == "b" and "the power 0" in flat.law and flat.law.startswith("heuristic")
    other = paths([0.7, *[0.03] * 10], ["a", *["b"] * 10])
    pool = other.pool(np.random.default_rng(0).choice(11, 64, p=other.probabilities))
    assert agreement_gradient(pool, 1.0) > 0
    sharp = adapted_power_vote(pool)
    assert sharp.answer == "a" and sharp.value > power_vote(pool.part(32, 64), alpha=1).value


def test_those_that_choose_do_not_vote():
    """Answers of the choosing part, changed to others as common, change no share."""
    law = paths([0.7, *[0.03] * 10], ["a", *["b"] * 10])
    pool = law.pool(np.random.default_rng(1).choice(11, 40, p=law.probabilities))
    renamed = {"a": "x", "b": "y"}
    answers = [renamed[a] for a in pool.answers[:20]] + list(pool.answers[20:])
    other = make_pool(answers, logprobs=pool.logprobs, tokens=pool.tokens, paths=pool.paths)
    assert adapted_power_vote(other).shares == adapted_power_vote(pool).shares


def test_the_published_clip_of_softsat_bites_from_log_17_on():
    pool = make_pool(list("aabbc"), logprobs=np.log([0.4, 0.4, 0.1, 0.1, 0.05]))
    for beta in (1.0, 2.8):
        plain, clipped = (
            softsat_vote(pool, beta=beta),
            softsat_vote(pool, beta=beta, clip=(0.75, 17)),
        )
        assert plain.shares == clipped.shares
    values = np.exp(4 * (1 - (1 - np.minimum(np.array([1, 1, 0.6, 0.6, 0.2]) / 0.75, 1)) ** 2))
    kept = np.clip(values, 0.75, 17)
    shares = softsat_vote(pool, beta=4.0, clip=(0.75, 17)).shares
    assert shares["a"] == pytest.approx(kept[:2].sum() / kept.sum())
    with pytest.raises(ValueError, match="the most of clip"):
        softsat_vote(pool, clip=(2.0, 1.0))


def test_signals_of_a_straight_line_and_of_a_circle():
    line = np.outer(np.arange(12.0), [3.0, 4.0])
    net, cumulative, aligned = latent_signals(line, chunk=3)
    assert (net, cumulative) == (pytest.approx(15.0), pytest.approx(45.0))
    assert aligned == pytest.approx(1.0)
    corner = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]])
    assert latent_signals(corner, chunk=1) == pytest.approx((np.sqrt(2) / 2, 2.0, np.sqrt(0.5)))
    back = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 0.0]])
    assert latent_signals(back, chunk=1) == (0.0, 2.0, 0.0)
    assert np.isnan(latent_signals(line, chunk=12)).all()
    with pytest.raises(ValueError, match="states must be finite numbers"):
        latent_signals(np.array([[np.nan]]))


def test_the_largest_signals_vote():
    pool = make_pool(list("abbba"))
    signals = np.array([3.0, 1.0, np.nan, 0.5, 2.0])
    assert signal_vote(pool, signals, keep=0.4).shares == {"a": 1.0}
    assert signal_vote(pool, signals, keep=1.0).answer == "b"
    with pytest.raises(ValueError, match="one number for each of 5 draws"):
        signal_vote(pool, signals[:4])
