"""Arms that share one budget among all problems: their draws, records and refusals."""

from __future__ import annotations

import numpy as np
import pytest

from motes import evaluate
from motes.models import FunctionReward, TableLM
from motes.ppl.decisions import pool_of
from motes.samplers import ImportanceSampling, MajorityVote, ParticleFilter
from motes.samplers.allocation import (
    Allocated,
    EqualShares,
    KnowledgeGradient,
    replayed,
    solutions_of,
)

PROBLEMS = [(f"{kind} {n}", 0) for n in range(3) for kind in ("sure", "unsure")]


class Asked(TableLM):
    """A table whose first token depends on the question."""

    def _logits(self, prefix, trajectory):
        if prefix:
            return np.log([0.1, 0.2, 0.7])
        sure = trajectory.question.startswith("sure")
        return np.log([0.9, 0.08, 0.02] if sure else [0.5, 0.48, 0.02])


def first_token(x):
    return str(x.token_ids[0]) if x.finished else None


def run(tmp_path, problems=PROBLEMS, **samplers):
    return evaluate(
        problems,
        samplers=samplers,
        lm=Asked(lambda prefix: [1.0], eos=2),
        prm=FunctionReward(lambda x: 1.5 - x.token_ids[-1]),
        answer=first_token,
        max_steps=6,
        progress=False,
        results=tmp_path / "results.jsonl",
    )


VOTES = Allocated(sampler=MajorityVote(samples=32), allocation=KnowledgeGradient(budget=72))


def test_one_budget_for_all_problems(tmp_path):
    done = run(tmp_path, plain=MajorityVote(samples=12), shared=VOTES)
    by_arm = {name: [r for r in done.records if r.sampler == name] for name in done.methods}
    counts = [len(pool_of(record)) for record in by_arm["shared"]]
    assert sum(counts) == 72 and len(counts) == 6
    assert sum(counts[1::2]) > sum(counts[::2])  # to those that are unsure
    for record, count in zip(by_arm["shared"], counts, strict=True):
        assert record.tokens == int(pool_of(record).tokens.sum()) and record.error is None
        assert record.settings["allocation"]["budget"] == 72 and count <= 32
    # the same call does nothing, and draws the same
    again = run(tmp_path, plain=MajorityVote(samples=12), shared=VOTES)
    assert [r.draws for r in again.records] == [r.draws for r in done.records]


def test_other_problems_are_another_arm(tmp_path):
    few = run(tmp_path, problems=PROBLEMS[:4], shared=VOTES)
    more = run(tmp_path, shared=VOTES)
    assert sum(len(pool_of(record)) for record in few.records) == 72
    assert sum(len(pool_of(record)) for record in more.records) == 72
    assert few.records[0].settings != more.records[0].settings


def test_weighted_solutions_and_a_replay(tmp_path):
    """The shares are those of a replay over the pools that runs of the most solutions would hold.

    Their seeds are other ones, so that what is replayed is each arm's own record where it suffices.
    """
    rule = EqualShares(budget=48)
    arm = Allocated(sampler=ImportanceSampling(particles=32), allocation=rule)
    done = run(tmp_path, weighted=arm)
    pools = [solutions_of(pool_of(record)) for record in done.records]
    assert [len(pool) for pool in pools] == [8] * 6 == replayed(rule, pools)


def test_a_problem_all_of_whose_solutions_die(tmp_path):
    done = evaluate(
        PROBLEMS[:2],
        samplers={"shared": Allocated(sampler=MajorityVote(), allocation=EqualShares(budget=8))},
        lm=Asked(lambda prefix: [1.0], eos=2),
        prm=None,
        answer=first_token,
        max_steps=6,
        progress=False,
        results=tmp_path / "results.jsonl",
        constraint=lambda x: x.question.startswith("sure"),
    )
    alive, dead = done.records
    assert alive.error is None and dead.error and not dead.right and dead.tokens > 0


def test_what_it_refuses():
    with pytest.raises(TypeError, match="allocation is for samplers of independent"):
        Allocated(sampler=ParticleFilter(), allocation=EqualShares(budget=8))
    with pytest.raises(TypeError, match="allocation must be"):
        Allocated(sampler=MajorityVote(), allocation=8)
