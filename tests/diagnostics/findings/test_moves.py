from __future__ import annotations

from dataclasses import replace

import pytest
from posteriors import changed

from motes.ppl.posterior.provenance import Move

MOVES = {
    "low acceptance",
    "acceptance near 1",
    "reference sticks",
    "low swap rate",
    "few round trips",
}


def sharp(declare, **settings):
    """One solution out of 32 is what the reward model wants."""
    wanted = {
        "log_odds": lambda x: 8.0 if x.token_ids[-1] == 1 else -8.0 if x.token_ids[-1] == 0 else 0.0
    }
    return declare(
        probs=lambda prefix: [0.5, 0.5, 0.0] if len(prefix) < 5 else [0.0, 0.0, 1.0],
        target="odds",
        **wanted,
        **settings,
    )


def wild(declare):
    """Steps that are rarely written are wanted, up to the last one."""
    return declare(
        probs=lambda prefix: [0.04, 0.96, 0.0],
        max_steps=5,
        target="odds",
        log_odds=lambda x: 9.0 * (x.token_ids[-1] == 0),
    )


def test_low_acceptance(declare, sample, found):
    finding = found(sample(wild(declare), "suffix_metropolis", iterations=60))["low acceptance"]
    assert (
        "of 120 moves were accepted in chain " in finding.seen and "moves (2 now)" in finding.change
    )
    assert "low acceptance" not in found(
        sample(wild(declare), "suffix_metropolis", iterations=2, warmup=0)
    )  # 4 moves tell nothing


@pytest.mark.slow
def test_low_acceptance_by_power_and_at_the_last_rung(good, found):
    tempered = good("tempered_smc")
    assert "low acceptance" not in found(tempered)
    finding = found(changed(tempered, moves=(Move("acceptance", "at the last rung", 0.01, 256),)))[
        "low acceptance"
    ]
    assert "0.010 of 256 moves were accepted at the last rung" in finding.seen
    replicas = good("parallel_tempering")
    slow = [
        move._replace(rate=0.02 if "0.6" in move.place else 0.3)
        for move in replicas.provenance.moves
    ]
    finding = found(changed(replicas, moves=tuple(slow)))["low acceptance"]
    assert "at power 0.6" in finding.seen


@pytest.mark.slow
def test_acceptance_near_1(declare, sample, found):
    rare = {"probs": lambda prefix: [0.5, 0.49, 0.01] if len(prefix) < 5 else [0.0, 0.0, 1.0]}
    model = declare(**rare, log_odds=lambda x: 2.0 if x.depth == 6 or x.token_ids[-1] < 2 else 0.0)
    assert (
        "were accepted"
        in found(sample(model, "suffix_metropolis", iterations=100))["acceptance near 1"].seen
    )
    without = replace(model, prm=None)  # the posterior is then the prior
    assert "acceptance near 1" not in found(sample(without, "suffix_metropolis", iterations=100))


@pytest.mark.slow
def test_a_reference_that_sticks(declare, sample, found):
    finding = found(sample(sharp(declare), "particle_gibbs", particles=2, iterations=60))[
        "reference sticks"
    ]
    assert "step 1 of the reference was renewed in 0." in finding.seen
    assert "particles (2 now)" in finding.change and "ancestor_sampling" in finding.change


@pytest.mark.slow
def test_low_swaps(declare, sample, found):
    finding = found(sample(sharp(declare), "parallel_tempering", betas=(1.0, 0.0), iterations=60))[
        "low swap rate"
    ]
    assert "at the powers 1 and 0 changed places in 0." in finding.seen
    few = sample(sharp(declare), "parallel_tempering", betas=(1.0, 0.0), iterations=10)
    assert "low swap rate" not in found(few)


@pytest.mark.slow
def test_few_round_trips(good, found):
    posterior = good("replica_exchange")
    rates = posterior.rates["swap"]
    expected = len(posterior.trajectories) / (2 + 2 * sum((1 - rate) / rate for rate in rates))
    assert posterior.provenance.round_trips > expected > 20
    stuck = found(changed(posterior, round_trips=int(expected / 20)))["few round trips"]
    assert f"would make {expected:.0f}" in stuck.seen and "moves (2 now)" in stuck.change
    assert "few round trips" not in found(changed(posterior, round_trips=int(expected / 2)))


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "suffix_metropolis",
        "particle_gibbs",
        "parallel_tempering",
        "replica_exchange",
        "tempered_smc",
    ],
)
def test_moves_that_go_well(name, good, found):
    assert not MOVES & {*found(good(name))}
