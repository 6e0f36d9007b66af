from __future__ import annotations

from dataclasses import replace

import pytest

MIXING = {"stuck chains", "chains not mixed", "mixing unknown", "few effective draws"}


def islands(declare, **settings):
    """Solutions of five equal tokens, of 0 or of 1, and hardly anything between them."""
    equal = {"log_odds": lambda x: 0.0 if len({*x.token_ids} - {2}) == 1 else -30.0}
    return declare(
        probs=lambda prefix: [0.5, 0.5, 0.0] if len(prefix) < 5 else [0.0, 0.0, 1.0],
        target="odds",
        **equal,
        **settings,
    )


def test_chains_that_stay_where_they_began(declare, sample, found):
    posterior = sample(islands(declare), "suffix_metropolis", seed=3, iterations=60)
    findings = found(posterior)
    assert {"stuck chains", "chains not mixed"} <= {*findings}
    assert (
        "4 of 4 chains stood at one trajectory for all of 60 draws" in findings["stuck chains"].seen
    )
    assert "R-hat is inf" in findings["chains not mixed"].seen
    assert "parallel_tempering" in findings["stuck chains"].change


def test_one_trajectory_is_no_stuck_chain_where_it_is_all_there_is(declare, sample, found):
    only = declare(probs=lambda prefix: [1.0, 0.0, 0.0] if not prefix else [0.0, 0.0, 1.0])
    findings = found(sample(only, "suffix_metropolis", iterations=20))
    assert MIXING & {*findings} == {"mixing unknown"}
    assert "all 80 draws have one length" in findings["mixing unknown"].seen


def test_few_draws(declare, sample, found):
    findings = found(sample(declare(), "suffix_metropolis", iterations=50))
    assert "200 draws of 4 chains are worth " in findings["few effective draws"].seen
    assert "raise iterations (50 now)" in findings["few effective draws"].change.lower()


@pytest.mark.parametrize(
    ("settings", "seen"),
    [
        ({"chains": 1, "iterations": 50}, "there is one chain"),
        ({"iterations": 1}, "the chains have 1 draw each"),
    ],
)
def test_mixing_that_cannot_be_told(settings, seen, declare, sample, found):
    assert seen in found(sample(declare(), "suffix_metropolis", **settings))["mixing unknown"].seen


@pytest.mark.slow
@pytest.mark.parametrize("name", ["particle_gibbs", "parallel_tempering"])
def test_chains_that_have_mixed(name, good, found):
    assert not MIXING & {*found(good(name))}


@pytest.mark.slow
def test_a_rare_answer_may_be_missed_by_a_chain(good, found):
    posterior = good("particle_gibbs")
    extracted = list(posterior.extracted)
    extracted[:10] = ["rare"] * 10  # ten draws in a row, of one chain
    assert posterior.mixing.keys() and "chains not mixed" not in found(
        replace(posterior, extracted=tuple(extracted))
    )
