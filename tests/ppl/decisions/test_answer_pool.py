"""A pool holds what a posterior says of its draws, and survives being written down."""

from __future__ import annotations

import json

import numpy as np
import pytest
from pools import make_pool
from posteriors import changed

import motes
from motes.models import FunctionReward, TableLM
from motes.ppl.decisions import Pool, pool_of
from motes.samplers import ImportanceSampling, MajorityVote, ParticleFilter

LM = TableLM(lambda prefix: [0.4, 0.3, 0.3], eos=2)
ASK = {"lm": LM, "max_steps": 6, "answer": lambda x: str(len(x.token_ids)) if x.finished else None}
PRM = FunctionReward(lambda x: 1.0 - x.token_ids[-1])


def test_a_pool_says_what_the_posterior_says(make_posterior):
    posterior = make_posterior()
    pool = pool_of(posterior)
    assert len(pool) == 6 and pool.answers == posterior.labels
    np.testing.assert_allclose(pool.weights, np.exp(posterior.log_weights))
    assert pool.tokens.tolist() == [5, 5, 5, 4, 5, 0]
    assert pool.logprobs.tolist() == pytest.approx([-1.1, -3.1, -2.1, -2.1, -1.1, -3.0])
    assert pool.ends == ("finished", "finished", "finished", "truncated", "finished", "open")
    assert pool.paths.tolist() == [0, 1, 2, 3, 0, 4]  # drawn twice, the heavy one is one path
    assert not pool.independent and not pool.from_prior
    for answer, error in posterior.answer_mcse.items():
        np.testing.assert_equal(pool.errors[answer], error)


@pytest.mark.parametrize(
    ("sampler", "prm", "facts"),
    [
        (MajorityVote(samples=9), None, (True, True)),
        (ImportanceSampling(particles=9), PRM, (True, True)),
        (ParticleFilter(particles=9), PRM, (False, False)),
    ],
)
def test_a_pool_knows_what_its_draws_are(sampler, prm, facts):
    pool = pool_of(motes.solve("?", sampler=sampler, prm=prm, seed=3, **ASK))
    assert (pool.independent, pool.from_prior) == facts
    assert pool.equally_weighted == (prm is None)


def test_the_first_draws_are_a_pool_of_their_own():
    """The same as that of a run stopped there, whose weights are worked out anew."""
    sampler = ImportanceSampling(particles=9)
    pool = pool_of(motes.solve("?", sampler=sampler, prm=PRM, seed=3, **ASK))
    part = pool.first(4)
    assert part.answers == pool.answers[:4] and part.tokens.tolist() == pool.tokens[:4].tolist()
    np.testing.assert_allclose(part.weights, pool.weights[:4] / pool.weights[:4].sum())
    np.testing.assert_allclose(np.exp(part.log_weights).sum(), 1)
    assert part.from_prior and part.paths.tolist() == pool.paths[:4].tolist()
    with pytest.raises(ValueError, match="count must be"):
        pool.first(10)
    filtered = pool_of(motes.solve("?", sampler=ParticleFilter(particles=9), prm=PRM, **ASK))
    with pytest.raises(ValueError, match="a part of a pool needs draws that are independent"):
        filtered.first(4)


def test_copies_are_not_independent_draws():
    posterior = motes.solve("?", sampler=MajorityVote(samples=9), prm=None, **ASK)
    copied = pool_of(posterior.resampled(5))
    assert not copied.independent and not copied.from_prior
    stopped = pool_of(changed(posterior, from_prior=False))
    assert stopped.independent and not stopped.from_prior


def test_a_pool_is_written_down_as_json_and_read_again(make_posterior):
    pool = pool_of(make_posterior())
    text = json.dumps(pool.asdict(), allow_nan=False)
    read = Pool.fromdict(json.loads(text))
    assert read.answers == pool.answers and read.ends == pool.ends
    np.testing.assert_allclose(read.log_weights, pool.log_weights, rtol=1e-6)
    np.testing.assert_allclose(read.logprobs, pool.logprobs, rtol=1e-6)
    for one, other in zip(read.log_odds, pool.log_odds, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)
    np.testing.assert_array_equal(read.paths, pool.paths)
    np.testing.assert_array_equal(read.tokens, pool.tokens)
    assert (read.independent, read.from_prior) == (pool.independent, pool.from_prior)
    for answer, error in pool.errors.items():
        np.testing.assert_allclose(read.errors[answer], error, rtol=1e-6)


@pytest.mark.parametrize(
    "change",
    [
        {"answer": [0, 1]},
        {"answer": [0, 1, 9]},
        {"end": "ffx"},
        {"log_weight": ["?", 0, 0]},
        {"independent": 1},
        {"answers": [1, 2]},
    ],
)
def test_what_is_no_pool_is_an_error(change):
    plain = make_pool(["1", "1", "2"]).asdict()
    assert len(Pool.fromdict(plain)) == 3
    with pytest.raises(ValueError, match="no draws that motes has written down"):
        Pool.fromdict(plain | change)


def test_scores_are_those_of_the_steps():
    log_odds = (np.array([0.0, 2.0]), np.array([1.0, -1.0]))
    pool = make_pool(["1", "2"], log_odds=log_odds)
    r = [1 / (1 + np.exp(-row)) for row in log_odds]
    for score, aggregate in (
        ("last", lambda row: row[-1]),
        ("min", np.min),
        ("product", np.prod),
        ("mean", np.mean),
    ):
        expected = [aggregate(row) for row in r]
        np.testing.assert_allclose(np.exp(pool.log_scores(score, "a vote")), expected)


def test_what_a_pool_lacks_is_said_in_one_sentence():
    pool = make_pool(["1", "2"], independent=False, from_prior=False)
    for need, words in (
        (lambda: pool.need_logprobs("the rule"), "the rule needs the log-probability of every"),
        (lambda: pool.log_scores("last", "the rule"), "the rule needs a reward model's scores"),
        (lambda: pool.need_independence("the rule"), "the rule needs draws that are independent"),
        (lambda: pool.need_prior_draws("the rule"), "the rule needs complete, independent draws"),
    ):
        with pytest.raises(ValueError, match=words):
            need()
    with pytest.raises(ValueError, match="score must be one of last, min, product, mean"):
        pool.log_scores("best", "the rule")
    with pytest.raises(ValueError, match="a pool needs one or more draws"):
        make_pool([])
