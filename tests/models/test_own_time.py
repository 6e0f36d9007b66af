"""The seconds of runs that share batches add up to those that passed, however they are nested."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import table_models

from motes.evaluation import evaluate
from motes.models import FunctionReward, TableLM, own_time, run_batched
from motes.models.own_time import own_seconds
from motes.ppl import Posterior, StateSpaceModel
from motes.ppl.posterior.pooling import pool
from motes.samplers import ParticleFilter, repeated, solve_many

BATCH = 0.25  # seconds a batch takes, whoever asks; all sums of it are exact
NOW = [0.0]  # a clock that only goes on where the test says so


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    monkeypatch.setattr(own_time, "time", SimpleNamespace(perf_counter=lambda: NOW[0]))


def takes(seconds: float) -> None:
    """Let time pass."""
    NOW[0] += seconds


class Slow(FunctionReward):
    """Takes a while for a batch, whatever its size."""

    fingerprint = "slow"

    def score(self, trajectories):
        takes(BATCH)
        return super().score(trajectories)


def model() -> StateSpaceModel:
    lm, prm = TableLM(table_models.next_probs, eos=2), Slow(table_models.log_odds)
    return StateSpaceModel("?", lm=lm, prm=prm, max_steps=4, answer=table_models.first_token)


def timed(function):
    began = NOW[0]
    return function(), NOW[0] - began


def test_a_pool_takes_the_time_that_passed(tmp_path):
    pooled, passed = timed(lambda: repeated(ParticleFilter(particles=4), model(), runs=6, seed=1))
    assert 0 < passed == pytest.approx(pooled.cost.seconds)
    shares = [run.cost.seconds for run in pooled.runs]
    assert sum(shares) == pytest.approx(passed)
    assert max(shares) < passed / 2  # no run is charged with what others took
    pooled.save(tmp_path / "run.nc")
    assert Posterior.load(tmp_path / "run.nc").cost == pooled.cost


def test_runs_one_after_the_other_add_up():
    def several():
        return pool(
            [ParticleFilter(particles=4).run(model(), seed=(1, number)) for number in range(3)]
        )

    pooled, passed = timed(several)
    assert 0 < passed == pytest.approx(pooled.cost.seconds)


def test_questions_share_the_time():
    lm, prm = model().lm, model().prm
    arguments = {
        "lm": lm,
        "prm": prm,
        "particles": 4,
        "max_steps": 4,
        "answer": table_models.first_token,
    }
    posteriors, passed = timed(lambda: solve_many(list("abcdef"), **arguments))
    total = sum(posterior.cost.seconds for posterior in posteriors)
    assert 0 < passed == pytest.approx(total)


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

    evaluation, passed = timed(lambda: all_of_them("results.jsonl"))
    total = sum(record.seconds for record in evaluation.records)
    assert 0 < passed == pytest.approx(total)
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
        takes(10 * BATCH)
        shared(slow).score(x)
        return own_seconds() - began

    def nested(shared):
        began = own_seconds()
        inner = run_batched([lambda own: asking(lambda model: own(shared(model)))] * 2)
        return own_seconds() - began, inner

    (asked, worked, (outer, inner)), passed = timed(lambda: run_batched([asking, working, nested]))
    # four ask for the first batch, three for each of the two that follow
    assert worked == pytest.approx(10 * BATCH + BATCH / 4)
    assert [asked, *inner] == pytest.approx([BATCH * (1 / 4 + 2 / 3)] * 3)
    assert outer == pytest.approx(sum(inner))
    assert asked + worked + outer == pytest.approx(passed)
