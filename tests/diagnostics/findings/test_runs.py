from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from posteriors import changed

from motes.diagnostics.findings import check_runs
from motes.models import FunctionReward, TableLM


def names(findings) -> set[str]:
    return {finding.name for finding in findings}


@pytest.fixture(scope="module")
def coalesced(declare, sample):
    """Runs that resampling has left with one or two first steps each, which the answer tells."""
    log_odds = np.random.default_rng(5).normal(0, 8, 50)
    model = declare(
        lm=TableLM(lambda prefix: [0.02] * 50 if len(prefix) < 4 else [*[0.0] * 50, 1.0], eos=50),
        prm=FunctionReward(lambda x: log_odds[x.token_ids[0]] if x.depth == 1 else 0.0),
        target="odds",
    )
    return [sample(model, seed=seed, particles=8) for seed in range(4)]


def test_runs_that_disagree(coalesced, found, good):
    findings = {finding.name: finding for finding in check_runs(coalesced)}
    assert "the answers of 4 runs are 0." in findings["runs disagree"].seen
    assert "particles (8 now)" in findings["runs disagree"].change
    pooled = changed(coalesced[0], runs=tuple(coalesced))
    assert {"runs disagree", "log-evidence disagrees"} <= {*found(pooled)}
    agreeing = [good(seed=seed) for seed in range(4)]
    assert check_runs(agreeing) == []
    assert found(changed(agreeing[0], runs=tuple(agreeing))) == {}


def test_one_run_or_none_disagrees_with_nothing(good):
    assert check_runs([]) == check_runs([good()]) == []


@pytest.mark.statistics
def test_runs_as_good_as_they_say_hardly_ever_disagree(good):
    """100 sets of four runs of 64 independent draws, each raising a false alarm with probability
    0.01 at most: more than 5 in 1 of 1800."""
    random, one = np.random.default_rng(7), good()
    few = {name: getattr(one, name)[:64] for name in ("trajectories", "log_odds", "log_density")}
    plain = changed(
        one, log_weights=np.full(64, -np.log(64)), history=None, **few, extracted=(None,) * 64
    )
    alarms = 0
    for _ in range(100):
        runs = [
            replace(
                plain,
                extracted=tuple(random.choice(["3", "5", "8"], 64, p=[0.6, 0.3, 0.1]).tolist()),
            )
            for _ in range(4)
        ]
        alarms += "runs disagree" in names(check_runs(runs))
    assert alarms <= 5


def test_spellings_of_one_answer_agree(good):
    one = good()
    spelled = [replace(one, extracted=(text,) * 128) for text in ("1000", "1,000")]
    assert "runs disagree" not in names(check_runs(spelled))
    other = [replace(one, extracted=(text,) * 128) for text in ("1000", "1001")]
    assert "runs disagree" in names(check_runs(other))


@pytest.mark.parametrize(
    ("log_evidences", "fires"),
    [((-3.0, -3.2, -2.9), False), ((-3.0, -9.0, -5.0), True), ((None, None, None), False)],
)
def test_log_evidence_that_disagrees(log_evidences, fires, good):
    runs = [replace(good(), log_evidence=value) for value in log_evidences]
    findings = {finding.name: finding for finding in check_runs(runs)}
    assert ("log-evidence disagrees" in findings) == fires
    assert (
        not fires
        or "goes from -9.00 to -3.00, with a standard deviation of 3.06 nats; one run has 0.88"
        in findings.popitem()[1].seen
    )


def test_a_run_that_died_counts(good):
    [finding] = check_runs([good(), good(seed=1)], died=1)
    assert "1 run died" in finding.seen and finding.name == "log-evidence disagrees"


@pytest.mark.statistics
def test_chains_are_worth_their_effective_draws(good):
    one = good("suffix_metropolis")
    assert "runs disagree" not in names(check_runs([one, good("suffix_metropolis", 1)]))
    still = [
        replace(
            one,
            trajectories=(x,) * len(one.trajectories),
            extracted=(x.answer,) * len(one.trajectories),
        )
        for x in one.trajectories[:2]
    ]
    still = [replace(run, log_density=np.zeros(len(run.trajectories))) for run in still]
    check_runs(still)  # four draws at most: nothing is known, and nothing raised
