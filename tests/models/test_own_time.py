"""The seconds of runs that share batches add up to those that passed, however they are nested."""

from __future__ import annotations

import time
from threading import Event

import numpy as np
import pytest
import table_models

from motes.evaluation import evaluate
from motes.models import FunctionReward, TableLM, run_batched
from motes.models.own_time import own_seconds
from motes.ppl import Posterior, StateSpaceModel
from motes.ppl.posterior.pooling import pool
from motes.samplers import ParticleFilter, repeated, solve_many

BATCH = 0.02  # seconds a batch takes, whoever asks
# of the time that passed: what threads and bookkeeping take, on a machine with other work
SLACK = 0.75  # of the wall time: what passes outside of the runs, on a busy machine


class Slow(FunctionReward):
    """Takes a while for a batch, whatever its size."""

    fingerprint = "slow"

    def score(self, trajectories):
        Event().wait(BATCH)
        return super().score(trajectories)


def model() -> StateSpaceModel:
    lm, prm = TableLM(table_models.next_probs, eos=2), Slow(table_models.log_odds)
    return StateSpaceModel("?", lm=lm, prm=prm, max_steps=4, answer=table_models.first_token)


def timed(function):
    began = time.perf_counter()
    return function(), time.perf_counter() - began


def test_a_pool_takes_the_time_that_passed(tmp_path):
    repeated(ParticleFilter(particles=2), model(), runs=2)  # compiled
    pooled, passed = timed(lambda: repeated(ParticleFilter(particles=4), model(), runs=6, seed=1))
    assert passed * (1 - SLACK) < pooled.cost.seconds <= passed
    shares = [run.cost.seconds for run in pooled.runs]
    assert sum(shares) <= passed and sum(shares) > passed * (1 - SLACK)
    assert max(shares) < passed / 2  # no run is charged with what others took
    pooled.save(tmp_path / "run.nc")
    assert Posterior.load(tmp_path / "run.nc").cost == pooled.cost


def test_runs_one_after_the_other_add_up():
    def several():
        return pool(
            [ParticleFilter(particles=4).run(model(), seed=(1, number)) for number in range(3)]
        )

    several()
    pooled, passed = timed(several)
    assert passed * (1 - SLACK) < pooled.cost.seconds <= passed


def test_questions_share_the_time():
    lm, prm = model().lm, model().prm
    arguments = {
        "lm": lm,
        "prm": prm,
        "particles": 4,
        "max_steps": 4,
        "answer": table_models.first_token,
    }
    solve_many(["a"], **arguments)
    posteriors, passed = timed(lambda: solve_many(list("abcdef"), **arguments))
    total = sum(posterior.cost.seconds for posterior in posteriors)
    assert passed * (1 - SLACK) < total <= passed


def test_records_share_the_time(tmp_path):
    def all_of_them(name):
        return evaluate(
            [(letter, 1) for letter in "abcde"],
            samplers={"filter": ParticleFilter(particles=3)},
            lm=model().lm,
            prm=model().prm,
            max_steps=4,
            answer=table_models.first_token,
            results=tmp_path / name,
            progress=False,
        )

    all_of_them("first.jsonl")
    evaluation, passed = timed(lambda: all_of_them("second.jsonl"))
    total = sum(record.seconds for record in evaluation.records)
    assert passed * (1 - SLACK) * 0.8 < total <= passed
    assert all(record.seconds == record.cost["seconds"] for record in evaluation.records)


def test_the_dead_count():
    """What runs cost that left nothing is part of what the pool cost."""
    lm = TableLM(table_models.next_probs, eos=2)
    prm = FunctionReward(lambda x: 0.0 if x.token_ids[0] == 1 else -np.inf)
    model = StateSpaceModel("?", lm=lm, prm=prm, max_steps=3, answer=table_models.first_token)
    pooled = repeated(ParticleFilter(particles=1), model, runs=20)
    assert pooled.settings["died"] > 3 and pooled.cost.generated_tokens == lm.cost.generated_tokens
    assert pooled.cost.generated_tokens > sum(run.cost.generated_tokens for run in pooled.runs)


def test_time_that_is_waited_is_not_ones_own():
    slow = Slow(lambda x: 0.0)
    x = [model().root().trajectory]

    def asking(shared):
        began = own_seconds()
        for _ in range(3):
            shared(slow).score(x)
        return own_seconds() - began

    def working(shared):
        began = own_seconds()
        Event().wait(10 * BATCH)
        shared(slow).score(x)
        return own_seconds() - began

    def nested(shared):
        began = own_seconds()
        inner = run_batched([lambda own: asking(lambda model: own(shared(model)))] * 2)
        return own_seconds() - began, inner

    (asked, worked, (outer, inner)), passed = timed(lambda: run_batched([asking, working, nested]))
    assert worked == pytest.approx(10 * BATCH + BATCH / 4, rel=0.5) and asked < 5 * BATCH
    assert sum(inner) == pytest.approx(outer, rel=0.5) and asked + worked + outer <= passed * 1.01
