from __future__ import annotations

from math import inf

import pytest


@pytest.mark.parametrize(
    "name",
    ["particle_filter", "importance_sampling", "tempered_smc", "suffix_metropolis", "puri2025"],
)
def test_a_flat_reward(name, declare, sample, found):
    findings = found(
        sample(
            declare(log_odds=lambda x: 30.0 + 0.01 * x.token_ids[-1]),
            name,
            **({"iterations": 100} if "metro" in name else {}),
        )
    )
    assert (
        "within 0.02 of one another (log-odds from 30.00 to 30.02)" in findings["flat reward"].seen
    )
    assert "acceptance near 1" not in findings


def test_a_saturated_reward(declare, sample, found):
    """Scores that differ, by which no weight does."""
    posterior = sample(declare(log_odds=lambda x: 12.0 + 3.0 * x.token_ids[-1]))
    assert "within 6 of one another" in found(posterior)["flat reward"].seen
    assert "flat reward" not in found(
        sample(declare(log_odds=lambda x: 12.0 + 3.0 * x.token_ids[-1], target="odds"))
    )


@pytest.mark.parametrize(
    "name", ["particle_filter", "importance_sampling", "tempered_smc", "suffix_metropolis"]
)
def test_survivors_that_look_alike_are_no_flat_reward(name, declare, sample, found):
    """What a reward model of zeros and ones leaves has one score."""
    model = declare(log_odds=lambda x: inf if x.token_ids[-1] != 1 or x.depth == 1 else -inf)
    assert "flat reward" not in found(
        sample(model, name, **({"iterations": 100} if "metro" in name else {}))
    )


def test_nothing_to_tell_apart(declare, sample, found):
    assert "flat reward" not in found(
        sample(declare(probs=lambda prefix: [1.0, 0.0, 0.0] if not prefix else [0.0, 0.0, 1.0]))
    )
    assert "flat reward" not in found(sample(declare(log_odds=None)))


@pytest.mark.long(quick=2)
@pytest.mark.parametrize("name", ["particle_filter", "importance_sampling", "suffix_metropolis"])
def test_a_reward_that_tells(name, good, found):
    assert "flat reward" not in found(good(name))
