from __future__ import annotations

import pytest

from motes.models import Sampling


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
