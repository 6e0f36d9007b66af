from __future__ import annotations

import numpy as np
import pytest
from posteriors import changed


def test_a_reward_model_that_believes_none_of_it(declare, sample, found):
    doubted = sample(declare(log_odds=lambda x: -1.0 - 0.2 * x.token_ids[-1]))
    finding = found(doubted)["doubted best line"]
    assert "the median score of the most probable line is a probability of 0.2" in finding.seen
    assert "low evidence" not in found(doubted)  # which says less of the same
    believed = sample(declare(log_odds=lambda x: 1.0 + 0.2 * x.token_ids[-1]))
    assert not {"doubted best line", "low evidence"} & {*found(believed)}


def test_the_last_score_is_the_line_under_final(declare, sample, found):
    late = {"log_odds": lambda x: -2.0 if x.depth < 3 else 2.0, "max_steps": 4}
    assert "doubted best line" not in found(sample(declare(target="final", **late)))
    lost = {"log_odds": lambda x: 2.0 if x.depth < 3 else -2.0, "max_steps": 4}
    probs = {"probs": lambda prefix: [0.5, 0.5, 0.0] if len(prefix) < 4 else [0.0, 0.0, 1.0]}
    assert (
        "the last score"
        in found(sample(declare(target="final", **lost, **probs)))["doubted best line"].seen
    )


def test_no_reward_model_doubts_nothing(declare, sample, found):
    assert not {"doubted best line", "low evidence"} & {*found(sample(declare(prm=None)))}


def test_few_lines_are_believed(declare, sample, found):
    """One first step in fifty is believed, at every later step; the best line is one of those."""
    probs = {"probs": lambda prefix: [0.02, 0.98, 0.0] if len(prefix) < 4 else [0.0, 0.0, 1.0]}
    posterior = sample(
        declare(log_odds=lambda x: 3.0 if x.token_ids[0] == 0 else -3.0, **probs), particles=512
    )
    finding = found(posterior)["low evidence"]
    steps = float(np.exp(posterior.log_weights) @ [x.depth for x in posterior.trajectories])
    assert posterior.log_evidence < steps * np.log(0.5)
    assert (
        f"probability {np.exp(posterior.log_evidence / steps):.2f}" in finding.seen
        and "particles (512 now)" in finding.change
    )
    assert "low evidence" not in found(changed(posterior, target="odds"))


def test_a_filter_that_never_resampled(declare, sample, found):
    model = declare(log_odds=lambda x: 4.0 * x.token_ids[-1] - 2.0, max_steps=3)
    posterior = sample(model, particles=64, ess_threshold=0.02)
    finding = found(posterior)["never resampled"]
    assert not posterior.history.resampled.any() and "ess_threshold (0.02 now)" in finding.change
    assert "never resampled" not in found(sample(model, particles=64, ess_threshold=1.0))
    for asked in (
        sample(model, particles=64, ess_threshold=0.0),
        sample(model, "importance_sampling", particles=64),
    ):
        assert "never resampled" not in found(asked)


@pytest.mark.parametrize(("threshold", "given"), [(0.5, True), (0.0, False)])
def test_advice_that_was_followed_is_not_given_again(threshold, given, declare, sample):
    posterior = sample(declare(), particles=8, ess_threshold=threshold)
    assert ("resample less often" in posterior.provenance.remedies.gentler) == given


def test_advice_on_ancestor_sampling(declare, sample):
    for flag in (False, True):
        posterior = sample(declare(), "particle_gibbs", iterations=4, ancestor_sampling=flag)
        assert ("ancestor_sampling=True" in posterior.provenance.remedies.livelier) != flag
