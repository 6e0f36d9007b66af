"""Records keep every draw, and what is decided from a record is decided as from its posterior."""

from __future__ import annotations

import json

import numpy as np
import pytest

import motes
from motes.evaluation import Evaluation
from motes.models import FunctionReward, TableLM
from motes.ppl.decisions import pool_of
from motes.samplers import ImportanceSampling, MajorityVote

PROBLEMS = [(f"question {i}?", i % 2) for i in range(3)]


def first_token(x):
    """As the fixture reads answers."""
    return str(x.token_ids[0]) if x.token_ids[-1] == 2 else None


SAMPLERS = {"weights": ImportanceSampling(particles=5), "vote": MajorityVote(samples=4)}


def test_the_pool_of_a_record_is_that_of_the_run(run):
    prm = FunctionReward(lambda x: 1.0 - x.token_ids[-1] - 0.3 * x.depth)
    lm = TableLM(lambda prefix: [0.4, 0.3, 0.3] if prefix else [0.5, 0.5, 0.0], eos=2)
    evaluation = run(PROBLEMS, samplers=SAMPLERS, lm=lm, prm=prm)
    for record in evaluation.records:
        posterior = motes.solve(
            PROBLEMS[record.problem][0],
            sampler=SAMPLERS[record.sampler],
            lm=lm,
            prm=prm,
            max_steps=4,
            answer=first_token,
            seed=tuple(record.seed),
        )
        kept, drawn = pool_of(record), pool_of(posterior)
        assert kept.answers == drawn.answers and kept.ends == drawn.ends
        np.testing.assert_array_equal(kept.paths, drawn.paths)
        np.testing.assert_array_equal(kept.tokens, drawn.tokens)
        np.testing.assert_allclose(kept.log_weights, drawn.log_weights, rtol=1e-6)
        np.testing.assert_allclose(kept.logprobs, drawn.logprobs, rtol=1e-6)
        for one, other in zip(kept.log_odds, drawn.log_odds, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-6)
        assert record.right_answers is not None
        right = {str(record.problem % 2)} & set(kept.answers)
        assert set(record.right_answers) == right
        assert record.right == (record.answer in record.right_answers)


def test_a_file_of_before_draws_were_kept_opens_and_a_decision_says_what_is_lacking(run, tmp_path):
    whole = run(PROBLEMS, samplers=SAMPLERS)
    path = tmp_path / "results.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        line.pop("draws", None)
        line.pop("right_answers", None)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    old = Evaluation.load(path)
    assert old.complete and old.table() == whole.table()
    with pytest.raises(ValueError, match="this record keeps no draws to decide upon"):
        pool_of(old.records[0])
    assert run(PROBLEMS, samplers=SAMPLERS).complete  # and nothing is done again
    assert len(path.read_text().splitlines()) == len(lines)


def test_a_record_whose_draws_are_damaged_is_done_again(run, tmp_path):
    whole = run(PROBLEMS, samplers=SAMPLERS)
    path = tmp_path / "results.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    next(line for line in lines if line.get("draws"))["draws"]["answer"] = [7]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.warns(RuntimeWarning, match="is damaged"):
        again = run(PROBLEMS, samplers=SAMPLERS)
    assert again.complete and again.table() == whole.table()


def test_a_run_that_died_keeps_no_draws(run):
    dead = FunctionReward(lambda x: -np.inf)
    evaluation = run(PROBLEMS[:1], samplers={"weights": SAMPLERS["weights"]}, prm=dead)
    (record,) = evaluation.records
    assert record.error and record.draws is None and record.right_answers is None
