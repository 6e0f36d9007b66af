"""Votes by the model's own confidence, against their formulas written out."""

from __future__ import annotations

import numpy as np
import pytest
from pools import make_pool

import motes
from motes.models import TableLM, token_confidences
from motes.ppl.decisions import confidence_vote, majority_vote, pool_of, self_certainty_vote
from motes.ppl.decisions.confident_votes import summarised

ROWS = [np.array([1.0, 5.0, 3.0, 1.0]), np.array([2.0, 2.0]), np.array([4.0]), np.zeros(0)]
POOL = make_pool(["a", "b", "b", None])


@pytest.mark.parametrize("window", [1, 2, 3, 2048])
def test_summaries_are_those_of_sliding_windows(window):
    row = np.random.default_rng(0).random(37)
    pool = make_pool(["a"])
    width = min(window, 37)
    means = sorted(row[i : i + width].mean() for i in range(37 - width + 1))
    tenth = -(-len(means) // 10)
    expected = {
        "mean": row.mean(),
        "tail": row[-window:].mean(),
        "lowest": means[0],
        "bottom": np.mean(means[:tenth]),
    }
    for summary, value in expected.items():
        assert summarised(pool, [row], summary, window) == pytest.approx(value)


def test_a_confidence_vote_weighs_votes_and_may_let_only_the_surest_vote():
    shares = confidence_vote(POOL, ROWS).shares
    assert shares == pytest.approx({"b": 6 / 8.5, "a": 2.5 / 8.5})
    tail = confidence_vote(POOL, ROWS, summary="lowest", window=2).shares
    assert tail == pytest.approx({"b": 6 / 8, "a": 2 / 8})
    surest = confidence_vote(POOL, ROWS, keep=0.5)
    assert surest.shares == pytest.approx({"b": 4 / 6.5, "a": 2.5 / 6.5})
    assert "surest 2 of 4" in surest.law
    assert confidence_vote(POOL, ROWS, keep=0.1).shares == {"b": 1.0}


def test_self_certainty_votes_by_rank():
    shares = self_certainty_vote(POOL, ROWS, power=1.0).shares  # 3 of a; 2 and 4 of b; 1 of none
    assert shares == pytest.approx({"b": 0.6, "a": 0.3, None: 0.1})
    flat = self_certainty_vote(POOL, ROWS, power=0.0)
    assert flat.shares == pytest.approx(majority_vote(POOL).shares)
    tied = self_certainty_vote(POOL, [np.ones(1), np.ones(1), 2 * np.ones(1), 3 * np.ones(1)])
    roots = np.sqrt([1.5, 1.5, 3, 4]) / np.sqrt([1.5, 1.5, 3, 4]).sum()
    assert tied.shares == pytest.approx({"a": roots[0], "b": roots[1] + roots[2], None: roots[3]})
    equal = self_certainty_vote(POOL, [np.ones(1)] * 4, power=2.0)
    assert equal.shares == pytest.approx(majority_vote(POOL).shares)


def test_a_tables_confidences_are_those_of_its_rows():
    rows = {(): [0.4, 0.6, 0.0], (0,): [0.2, 0.3, 0.5], (1,): [0.01, 0.0, 0.99]}
    lm = TableLM(lambda prefix: rows.get(prefix, [0, 0, 1]), eos=2)
    posterior = motes.solve(
        "?", sampler="importance_sampling", particles=12, lm=lm, prm=None, max_steps=4
    )
    for top in (1, 2, 20, None):
        found = token_confidences(lm, posterior.trajectories, top=top)
        for x, values in zip(posterior.trajectories, found, strict=True):
            for place, value in enumerate(values):
                law = np.array(rows.get(x.token_ids[:place], [0, 0, 1]))
                law = np.sort(law[law > 0])[::-1]
                expected = -np.log(law[:top]).mean()
                if top is None:
                    expected = (1 / len(law) * np.log(1 / len(law) / law)).sum()
                assert value == pytest.approx(expected)
            assert len(values) == len(x.token_ids)
    assert confidence_vote(pool_of(posterior), found).ess > 0


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: confidence_vote(POOL, ROWS[:2]), "confidences must be 4 rows, one for each draw"),
        (lambda: confidence_vote(POOL, ROWS, keep=0), "keep must be"),
        (lambda: confidence_vote(POOL, ROWS, summary="max"), "summary must be one of mean, tail"),
        (lambda: self_certainty_vote(POOL, ROWS, power=-1), "power must be"),
    ],
)
def test_what_is_wrong_is_said(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_a_model_that_cannot_tell_its_confidence_says_so():
    class Silent:
        name = "silent"

    with pytest.raises(TypeError, match="'silent' cannot tell its confidence: it has no method"):
        token_confidences(Silent(), [])  # type: ignore[arg-type]
