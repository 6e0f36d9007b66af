from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from posteriors import changed

from motes.smc import ess


def geometric(log_odds: float):
    """Solutions go on with probability 1/2; each step multiplies the weight by its odds, so that
    the tail's k is log-odds / log 2."""
    tokens = {"probs": lambda prefix: [0.25, 0.25, 0.5], "max_steps": 200, "target": "odds"}
    return tokens | {"log_odds": lambda x: log_odds * (1 + 0.05 * x.token_ids[-1])}


def weighted(posterior, weights):
    with np.errstate(divide="ignore"):
        return replace(posterior, log_weights=np.log(weights))


def test_degenerate_weights(declare, sample, found, good):
    posterior = sample(
        declare(target="odds", log_odds=lambda x: 9.0 * (x.token_ids == (1, 1))),
        "importance_sampling",
    )
    finding = found(posterior)["degenerate weights"]
    effective = ess(posterior.log_weights)
    assert effective < 25
    assert f"the 128 particles are worth {effective:.1f} of equal weight" in finding.seen
    assert "particles (128 now)" in finding.change and "particle_filter" in finding.change
    assert "degenerate weights" not in found(good())


@pytest.mark.parametrize(
    ("carrying", "slots", "fires"),
    [(24, 128, True), (26, 128, False), (6, 16, False), (3, 16, True), (1, 1, False)],
)
def test_degenerate_in_number_and_in_share(carrying, slots, fires, found, good):
    run, weights = good(), np.zeros(slots)
    weights[:carrying] = 1 / carrying
    few = {
        name: getattr(run, name)[:slots]
        for name in ("trajectories", "log_odds", "extracted", "log_density")
    }
    posterior = weighted(changed(run, log_weights=np.zeros(slots), history=None, **few), weights)
    assert ("degenerate weights" in found(posterior)) == fires


@pytest.mark.parametrize(("heaviest", "fires"), [(0.51, True), (0.5, False)])
def test_one_heavy_particle(heaviest, fires, found, good):
    weights = np.full(128, (1 - heaviest) / 127)
    weights[3] = heaviest
    findings = found(weighted(good(), weights))
    assert ("one heavy particle" in findings) == fires
    assert (
        not fires
        or "one of 128 particles has 0.51 of the weight" in findings["one heavy particle"].seen
    )


def test_one_heavy_particle_in_a_run(declare, sample, found):
    rare = declare(target="odds", log_odds=lambda x: 12.0 * (x.token_ids == (1, 1, 1)))
    posteriors = [sample(rare, "importance_sampling", seed, particles=24) for seed in range(8)]
    drew = [
        sum(x.token_ids[:3] == (1, 1, 1) for x in posterior.trajectories) == 1
        for posterior in posteriors
    ]
    assert any(drew)
    for posterior, once in zip(posteriors, drew, strict=True):
        assert ("one heavy particle" in found(posterior)) >= once


def test_heavy_tail(declare, sample, found):
    heavy, light = declare(**geometric(0.9)), declare(**geometric(0.1))
    finding = found(sample(heavy, "importance_sampling", particles=1000))["heavy tail"]
    assert "where 0.67 at most is wanted" in finding.seen  # 1 - 1 / log10(1000)
    assert "heavy tail" not in found(sample(light, "importance_sampling", particles=1000))


@pytest.mark.slow
def test_a_tail_is_for_enough_independent_draws(declare, sample, found):
    heavy = declare(**geometric(0.9))
    assert "heavy tail" not in found(sample(heavy, "importance_sampling", particles=99))
    resampled = sample(heavy, particles=1000)
    assert resampled.history.resampled.any() and "heavy tail" not in found(resampled)
