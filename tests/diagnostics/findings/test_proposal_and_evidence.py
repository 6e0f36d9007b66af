from __future__ import annotations

from dataclasses import replace

import pytest

from motes.models import Component, Mixture, MixtureLM, Sampling, TableLM
from motes.ppl.posterior.provenance import Provenance


def long(declare, **settings):
    """Eight steps of two tokens, nine to one."""
    return declare(
        probs=lambda prefix: [0.9, 0.1, 0.0] if len(prefix) < 8 else [0.0, 0.0, 1.0],
        max_steps=9,
        **settings,
    )


def test_a_far_proposal(declare, sample, found):
    far = found(sample(long(declare), "importance_sampling", proposal=Sampling(temperature=20.0)))[
        "far proposal"
    ]
    assert "of 128 trajectories drawn from the proposal, p / q alone leaves" in far.seen
    near = found(sample(long(declare), "importance_sampling", proposal=Sampling(temperature=1.2)))
    assert "far proposal" not in near
    moved = found(sample(long(declare), "tempered_smc", proposal=Sampling(temperature=20.0)))
    assert "far proposal" not in moved  # what there is then was not drawn from the proposal


def test_a_sharpened_proposal_is_near_to_a_power_target(declare, sample, found):
    assert "far proposal" not in found(sample(long(declare, alpha=4.0), "power_smc"))
    plain = found(
        sample(long(declare, alpha=30.0, prior=Sampling(temperature=10.0)), "importance_sampling")
    )
    assert "p^30 / q alone" in plain["far proposal"].seen


def test_a_proposal_outside_the_prior(declare, sample, found):
    """Nine tenths of the draws are impossible, and the others fine."""
    narrow = long(declare, prior=Sampling(top_k=1))
    finding = found(sample(narrow, "importance_sampling", proposal=Sampling(temperature=4.0)))[
        "far proposal"
    ]
    assert "leaves" in finding.seen


@pytest.mark.parametrize(("resampling", "fires"), [("multinomial", True), ("systematic", False)])
def test_uncertain_evidence_where_the_run_can_tell(resampling, fires, declare, sample, found):
    model = long(declare, target="odds", log_odds=lambda x: 2.0 * (x.token_ids[-1] == 1))
    runs = [sample(model, seed=seed, particles=16, resampling=resampling) for seed in range(6)]
    told = [found(run).get("uncertain evidence") for run in runs]
    assert any(told) == fires
    assert all("nats" in finding.seen for finding in told if finding)


def test_evidence_of_independent_draws(declare, sample, found, good):
    model = long(declare, target="odds", log_odds=lambda x: 4.0 * (x.token_ids[-1] == 1))
    finding = found(sample(model, "importance_sampling", seed=2, particles=32))[
        "uncertain evidence"
    ]
    assert "has a standard error of 0." in finding.seen
    assert "uncertain evidence" not in found(good("importance_sampling"))


def test_a_component_whose_draws_carry_nothing(declare, sample, found):
    """The target forbids to begin with token 0, and the greedy component begins with nothing else.

    No draw of the other 256 begins otherwise with probability 0.9^256: no false alarm is at stake.
    """
    forbids = long(declare, log_odds=lambda x: -12.0 if 0 in x.token_ids[:1] else 1.0)
    mixture = Mixture([Sampling(top_k=1), Sampling()], weights=[3, 1], per="trajectory")
    posterior = sample(forbids, "importance_sampling", particles=512, proposal=mixture)
    finding = found(posterior)["idle component"]
    assert "component 1, of weight 0.75, drew 0.0000 of the result" in finding.seen
    assert "component 2" not in finding.seen
    assert Provenance.fromdict(posterior.provenance.asdict()) == posterior.provenance
    few = sample(forbids, "importance_sampling", particles=64, proposal=mixture)
    assert few.rates["components"][0] < 0.001
    assert "idle component" not in found(few)  # one or two draws of weight do not show it


@pytest.mark.parametrize("name", ["importance_sampling", "particle_filter", "tempered_smc"])
def test_components_that_draw_their_part(name, declare, sample, found):
    mixture = Mixture([Sampling(temperature=0.8), Sampling(), Sampling(top_k=1)])
    assert "idle component" not in found(sample(long(declare), name, proposal=mixture))


def test_of_a_declared_mixture_a_component_ruled_out_is_a_result(declare, sample, found):
    zeros, ones = (TableLM(lambda prefix, p=p: p, eos=2) for p in ([1, 0, 0], [0, 1, 0]))
    written = MixtureLM(Mixture([Component(ones), Component(zeros)], per="trajectory"))
    model = replace(declare(log_odds=lambda x: -9.0 if 0 in x.token_ids else 0.0), lm=written)
    posterior = sample(model, "importance_sampling")
    assert posterior.rates["components"][1] < 0.05
    assert "idle component" not in found(posterior)
