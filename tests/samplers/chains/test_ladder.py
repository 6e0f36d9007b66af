"""Ladders of replicas: what is refused, and how they are tuned."""

from __future__ import annotations

import numpy as np
import pytest

from motes.models import FunctionReward, TableLM
from motes.ppl import StateSpaceModel
from motes.samplers import ReplicaExchange
from motes.samplers.chains.ladder import evened_out


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"betas": 0.5}, "betas must be numbers in order, not 0.5"),
        ({"betas": (1.0,)}, "betas must fall from 1 to 0 or more, in at least two numbers"),
        ({"betas": (0.9, 0.5)}, "betas must fall from 1 to 0 or more"),
        ({"betas": (1, 0.4, 0.5)}, "betas must fall from 1 to 0 or more"),
        ({"betas": (1, -0.1)}, "every one of betas must be a number in"),
        ({"betas": (1, 1, 0)}, "alphas and betas must not both stay the same"),
        ({"alphas": (1, 0)}, "alphas must be as many as betas, 4"),
        ({"cut": "middle"}, "cut must be one of random, horizon"),
        ({"horizon": 3}, "horizon is for cut='horizon', not 'random'"),
        ({"cut": "horizon", "horizon": 0}, "horizon must be at least 1"),
        ({"swaps": "all"}, "swaps must be one of sweep, alternating"),
        ({"tuned": 1}, "tuned must be True or False"),
    ],
)
def test_what_is_refused(settings, message):
    with pytest.raises((TypeError, ValueError), match=message):
        ReplicaExchange(**settings)


def test_a_ladder_whose_rates_follow_a_known_barrier_is_tuned_at_once():
    """Rejections that are distances along an uneven scale, s -> s^2: equal ones lie at equal
    distances of s^2. From within one stretch nothing is known of where it is steep, so that the
    second tuning comes closer than the first."""
    positions = np.linspace(0, 3, 7)
    worst = []
    for _ in range(4):
        lengths = np.diff(positions**2) / 9
        worst.append(lengths.max() / lengths.min())
        positions = evened_out(positions, lengths)
        assert positions[0] == 0 and positions[-1] == 3 and np.all(np.diff(positions) > 0)
    assert worst[0] == pytest.approx(11) and worst[-1] < 1.05


@pytest.mark.long(quick=1, rest="slow")
@pytest.mark.parametrize(
    ("betas", "alphas"), [((1, 0, 0), (1, 1, 0)), ((1, 0.5, 0, 0), (1, 1, 1, 0))]
)
def test_a_replica_without_likelihood_gets_none_back(betas, alphas):
    """At beta = 0 it may hold what the likelihood rules out, at any beta above 0 it may not."""
    lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
    prm = FunctionReward(lambda x: -np.inf if x.token_ids[0] == 0 else 1.0 - x.token_ids[-1])
    model = StateSpaceModel("?", lm=lm, prm=prm, alpha=3.0, max_steps=4, stop_at_answer=False)
    sampler = ReplicaExchange(chains=2, iterations=4, warmup=32, betas=betas, alphas=alphas)
    for seed in range(4):
        posterior = sampler.run(model, seed=seed)
        assert posterior.rates["betas"][1 if len(betas) == 3 else 2 :] == [0] * 2
        assert all(x.token_ids[0] != 0 for x in posterior.trajectories)


@pytest.mark.slow
def test_tuning_evens_out_the_swaps_and_ends_with_the_warm_up(declare):
    """A ladder whose first gap is far too wide. Of 200 iterations a rate has a standard error of
    at most 0.04, were they independent; the untuned gap is beyond that by far."""
    model = declare(beta=3.0)
    betas = (1.0, 0.05, 0.02, 0.0)
    settings = {"betas": betas, "chains": 4, "iterations": 50, "warmup": 64}
    tuned = ReplicaExchange(**settings).run(model, seed=1)
    left = ReplicaExchange(**settings, tuned=False).run(model, seed=1)
    spread = {
        name: max(x.rates["swap"]) - min(x.rates["swap"])
        for name, x in (("tuned", tuned), ("left", left))
    }
    assert spread["tuned"] < spread["left"] / 2
    assert left.rates["betas"] == pytest.approx(betas)
    assert 0.05 < tuned.rates["betas"][1] < 1 and tuned.rates["betas"][-1] == 0
    assert tuned.provenance.betas == tuple(tuned.rates["betas"])
    swaps = [move for move in tuned.provenance.moves if move.kind == "swap"]
    assert [move.rate for move in swaps] == tuned.rates["swap"]
    assert tuned.rates["round_trips"] > 0


def test_temperatures_that_cannot_be_scored_are_an_error(declare):
    class Unscored:
        """Tells the probability of what it writes, and of nothing else."""

        name = "unscored"

        def __init__(self, lm):
            self.lm = lm

        @property
        def cost(self):
            return self.lm.cost

        def start(self, question):
            return self.lm.start(question)

        def extend(self, trajectories, keys, *, sampling=None, prior=None):
            return self.lm.extend(trajectories, keys, sampling=sampling, prior=prior)

    whole = declare()
    model = declare(lm=Unscored(whole.lm), alpha=2.0)
    sampler = ReplicaExchange(chains=1, iterations=2, warmup=0)
    with pytest.raises(TypeError, match=r"need a language model with a method `logprob`"):
        sampler.run(model)
    one = ReplicaExchange(chains=1, iterations=2, warmup=0, proposal=model.prior).run(model)
    assert len(one.trajectories) == 2
