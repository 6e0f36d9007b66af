"""Chains start where they can: where a first population dies, others are drawn, and what follows is
as exact as ever."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest

import motes
from motes.models import FunctionReward, TableLM
from motes.ppl import StateSpaceModel
from motes.samplers import (
    AllParticlesDead,
    ParallelTempering,
    ParticleGibbs,
    PowerMetropolis,
    SuffixMetropolis,
)

KINDS = [SuffixMetropolis, PowerMetropolis, ParticleGibbs, ParallelTempering]


def declared(rare=0.02, **settings):
    """Two tokens; only trajectories that begin with the rare one are allowed."""
    lm = TableLM(lambda prefix: [1 - rare, rare, 0.0] if not prefix else [0.3, 0.3, 0.4], eos=2)
    prm = FunctionReward(lambda x: -inf if x.token_ids[0] == 0 else 0.5 * len(x.token_ids))
    return StateSpaceModel(
        "?",
        lm=lm,
        prm=prm,
        max_steps=3,
        answer=lambda x: str(x.depth) if x.finished else None,
        **settings,
    )


@pytest.mark.parametrize("kind", KINDS)
def test_chains_begin_though_the_first_population_dies(kind):
    posterior = kind(chains=3, iterations=4, warmup=0, starts=2).run(declared(), seed=1)
    tries = posterior.rates["starting_tries"]
    assert len(tries) == 3 and max(tries) > 1 and posterior.settings["tries"] == 20
    assert all(x.token_ids[0] == 1 for x in posterior.trajectories)
    assert posterior.guarantee == "invariant"


@pytest.mark.parametrize("kind", KINDS)
def test_where_nothing_is_allowed_it_says_how_often_it_tried(kind):
    with pytest.raises(
        AllParticlesDead,
        match=r"all 16 particles are dead at step \d.* of 3 populations before them any mass",
    ) as death:
        kind(chains=2, iterations=4, starts=2, tries=4).run(
            declared(constraint=lambda x: False), seed=0
        )
    assert (death.value.tries, death.value.particles) == (4, 16)


def test_one_try_is_as_before():
    with pytest.raises(AllParticlesDead, match="gives none of their trajectories any mass"):
        SuffixMetropolis(tries=1, starts=2).run(declared(), seed=1)


def test_a_chain_that_starts_at_once_is_not_touched_by_another_that_does_not():
    alone = SuffixMetropolis(chains=1, iterations=3, warmup=0, starts=2).run(
        declared(rare=0.3), seed=3
    )
    posterior = SuffixMetropolis(chains=6, iterations=3, warmup=0, starts=2).run(
        declared(rare=0.3), seed=3
    )
    assert (
        posterior.rates["starting_tries"][0]
        == alone.rates["starting_tries"][0]
        < max(posterior.rates["starting_tries"])
    )
    assert [x.token_ids for x in posterior.trajectories[:3]] == [
        x.token_ids for x in alone.trajectories
    ]


@pytest.mark.slow
def test_the_law_is_that_of_the_target_after_restarts():
    """P(length) of the constrained target by hand: r_1 = s(.5), r_2 = s(1), r_3 = s(1.5); lengths 2
    and 3, and truncated."""
    s = lambda x: 1 / (1 + np.exp(-x))
    mass = {
        "2": 0.4 * s(0.5) * s(1.0),
        "3": 0.6 * 0.4 * s(0.5) * s(1.0) * s(1.5),
        None: 0.36 * s(0.5) * s(1.0) * s(1.5),
    }
    posterior = SuffixMetropolis(chains=20, iterations=200, warmup=5, starts=1, moves=2).run(
        declared(rare=0.05), seed=3
    )
    assert max(posterior.rates["starting_tries"]) > 3
    for answer, weight in mass.items():
        expected = weight / sum(mass.values())
        # 4,000 draws, of an autocorrelation below 4 at an acceptance of a half: a standard error of
        # 0.015 at most
        assert posterior.answers[answer] == pytest.approx(expected, abs=0.06)


def test_the_tries_outlive_a_checkpoint(tmp_path):
    model, path = declared(), tmp_path / "run.json"
    short = SuffixMetropolis(chains=3, iterations=2, warmup=0, starts=2).run(
        model, seed=1, checkpoint=path
    )
    longer = SuffixMetropolis(chains=3, iterations=4, warmup=0, starts=2).run(
        model, seed=1, checkpoint=path
    )
    assert longer.rates["starting_tries"] == short.rates["starting_tries"]
    assert motes.summary(longer) is not None
