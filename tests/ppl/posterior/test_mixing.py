"""R-hat and ESS of chains: ArviZ's where they are defined, and nothing where they are not."""

from __future__ import annotations

from dataclasses import replace
from math import inf, isnan

import numpy as np
import pytest
from arviz_stats.base import array_stats
from posteriors import changed, posterior_of

from motes.diagnostics.summary import summary
from motes.models import Cost, Trajectory
from motes.ppl import Posterior
from motes.ppl.posterior.mixing import mixed


def chains(values, answers=None) -> Posterior:
    """A posterior of chains whose log-densities these are, (C, S), with an answer for each draw."""
    values = np.asarray(values, np.float64)
    n = values.size
    step = {"logprob": -1.0, "proposal_logprob": -1.0, "finished": True}
    trajectories = tuple(
        Trajectory(question="?").child("x", (i,) * (1 + i % 3), **step) for i in range(n)
    )
    extracted = tuple(answers) if answers is not None else ("1",) * n
    settings = {
        "sampler": "suffix_metropolis",
        "target": "product",
        "guarantee": "invariant",
        "evidence": "none",
        "settings": {},
    }
    return posterior_of(
        question="?",
        trajectories=trajectories,
        log_weights=np.full(n, -np.log(n)),
        log_odds=(np.zeros(1),) * n,
        extracted=extracted,
        log_density=values.ravel(),
        log_evidence=None,
        history=None,
        chains=len(values),
        rates={"acceptance": [0.5, 0.25], "swap": [None, 0.1], "round_trips": 3},
        cost=Cost(),
        **settings,
    )


def test_quantities_are_those_of_arviz():
    draws = np.random.default_rng(0).normal(size=(4, 200)).cumsum(axis=1)
    answers = np.where(draws.ravel() > 0, "1", "2").tolist()
    posterior = chains(draws, answers)
    of = posterior.mixing
    assert set(of) == {"log_density", "length", "answer 1", "answer 2"}
    assert (
        of["log_density"].r_hat == pytest.approx(float(array_stats.rhat(draws)))
        and of["log_density"].r_hat > 1.05
    )
    assert posterior.ess == pytest.approx([float(array_stats.ess(draws))])
    indicator = (draws > 0).astype(float)
    assert posterior.answer_mcse["1"] == pytest.approx(float(array_stats.mcse(indicator)))
    assert of["answer 1"].ess == pytest.approx(of["answer 2"].ess)


def test_nothing_is_said_where_nothing_is_known():
    constant, few, one = (
        mixed(np.ones((4, 50))),
        mixed(np.eye(3)),
        mixed(np.random.default_rng(1).normal(size=(1, 50))),
    )
    assert all(map(isnan, (*constant, *few, one.r_hat))) and one.ess > 10 and one.mcse > 0
    assert mixed(np.arange(3.0)[:, None] * np.ones((3, 50))).r_hat == inf
    assert isnan(mixed(np.full((2, 50), np.nan)).ess)


def test_rounding_is_not_movement():
    noisy = chains(-1.0 + 1e-7 * np.random.default_rng(0).normal(size=(3, 40)))
    assert len(set(noisy.log_density)) == 120
    step = {"logprob": -1.0, "proposal_logprob": -1.0, "finished": True}
    same = tuple(Trajectory(question="?").child("x", (1,), **step) for _ in range(120))
    assert isnan(replace(noisy, trajectories=same).mixing["log_density"].ess)


def test_chains_are_summarised_and_shown():
    posterior = chains(np.random.default_rng(3).normal(size=(2, 50)))
    told = summary(posterior)
    assert (
        told["chains"] == 2
        and told["rates"]["round_trips"] == 3
        and told["mixing"]["length"]["ess"] > 1
    )
    assert "acceptance 0.50, 0.25; swap ?, 0.10; round trips 3" in posterior._repr_html_()
    tree = posterior.to_datatree()
    assert tree["sample_stats/lp"].shape == (2, 50) and "smc" not in tree
    assert tree["sample_stats/lp"].values[1, 0] == posterior.log_density[50]


def test_chains_have_one_length():
    with pytest.raises(ValueError, match="5 trajectories are not 2 chains or runs of one length"):
        changed(chains(np.zeros((1, 5))), chains=2)
