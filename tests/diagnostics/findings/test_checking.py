from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from posteriors import changed, posterior_of
from table_programs import solve

from motes import ppl
from motes.diagnostics.findings import Finding, check
from motes.diagnostics.findings.checking import CHECKS
from motes.models import Cost, FunctionReward, Sampling, TableLM, Trajectory
from motes.ppl import Posterior
from motes.samplers import SAMPLERS, AllParticlesDead
from motes.samplers.registry import settings_of

ROOT = Path(__file__).parents[3]
BY_NATURE = {name: {"no guarantee"} for name in SAMPLERS if SAMPLERS[name].guarantee == "heuristic"}
# rejection leaves weights that are too even to ask for resampling
BY_NATURE["rejection_smc"] = {"never resampled"}
CHAINS = (
    "particle_gibbs",
    "suffix_metropolis",
    "power_metropolis",
    "delayed_acceptance",
    "parallel_tempering",
    "replica_exchange",
)
CHAINS_OF_PROGRAMS = [name for name in CHAINS if name != "delayed_acceptance"]

# those whose good run takes seconds
LONG = (
    "delayed_acceptance",
    "particle_gibbs",
    "suffix_metropolis",
    "power_metropolis",
    "parallel_tempering",
    "replica_exchange",
    "momentum_uncertainty",
    "ab_mcts",
)

# those that nothing but a reward model can guide
SCORED = ("puri2025", "giannone2025", "twisted_smc", "rsd", "spec_reason", "gsi")


@pytest.mark.long(quick=[name for name in SAMPLERS if name not in LONG], rest="slow")
@pytest.mark.parametrize("name", SAMPLERS)
def test_nothing_is_found_where_nothing_is_wrong(name, good, found):
    names = {*found(good(name))}
    if good(name).tree is not None:  # a mild preference is little for a search that prunes by it
        names -= {"one first step", "flat early values"}
    assert names == BY_NATURE.get(name, set())


def test_a_finding_is_a_paragraph():
    finding = Finding(
        "early coalescence",
        "from step 2 of 9 on one is left",
        "the weights decided too early",
        "raise particles",
    )
    assert str(finding) == (
        "Early coalescence: from step 2 of 9 on one is left. The weights decided too early. "
        "Raise particles."
    )


def test_the_most_serious_comes_first(declare, sample, good):
    posterior = sample(declare(max_steps=2), particles=4, proposal=Sampling(top_k=2))
    runs = [replace(posterior, log_evidence=value) for value in (-1.0, -9.0)]
    names = [finding.name for finding in check(changed(posterior, runs=tuple(runs)))]
    assert names == ["no guarantee", "log-evidence disagrees", "truncated trajectories"]


class Stopping(TableLM):
    """Interrupted while it works on one of its batches."""

    left = 0

    def extend(self, *arguments, **settings):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt
        return super().extend(*arguments, **settings)


def log_odds(x) -> float:
    """Zero midway, certainty, and everything between."""
    random = np.random.default_rng([11, *x.token_ids])
    return float(random.choice([-np.inf, 40.0, random.normal(0, 1.5)], p=[0.15, 0.1, 0.75]))


SMALL = {
    "particles": 6,
    "iterations": 5,
    "warmup": 1,
    "chains": 2,
    "moves": 1,
    "expansions": 1,
}
ODD = {
    "one of each": ({}, {"particles": 1, "iterations": 1, "warmup": 0, "chains": 1}),
    "two": ({}, {"particles": 2, "iterations": 2}),
    "one step": ({"max_steps": 1}, {}),
    "no reward model": ({"log_odds": None}, {}),
    "dead particles": ({"log_odds": log_odds}, {"particles": 24, "starts": 24}),
    "all truncated": ({"probs": lambda prefix: [0.5, 0.5, 0.0]}, {}),
    "one trajectory": ({"probs": lambda prefix: [0.0, 0.0, 1.0]}, {}),
    "a proposal": ({}, {"proposal": Sampling(temperature=0.5)}),
    "a power": (
        {"alpha": 3.0, "constraint": lambda x: x.token_ids[0] == 0},
        {"particles": 24, "starts": 24},
    ),
    "a budget": ({}, {"budget": 40}),
    "no answer": ({"answer": lambda x: None}, {}),
}


@pytest.mark.long(quick=len(SAMPLERS), rest="slow")
@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("case", ODD)
def test_it_never_raises(case, name, declare, sample):
    declared, settings = ODD[case]
    own = {key: value for key, value in (SMALL | settings).items() if key in settings_of(name)}
    if name in ("particle_gibbs", "parallel_tempering"):
        own["particles"] = max(own["particles"], 2)
    if name in SCORED and declared.get("log_odds", log_odds) is None:
        return  # they are refused
    if declared.get("log_odds", log_odds) is None and own.get("value", "prm") == "prm":
        own |= {"value": "logprob"} if "value" in settings_of(name) else {}
        own |= {"balance": 1.0} if "balance" in settings_of(name) else {}
    try:
        posterior = sample(declare(**declared), name, **own)
    except AllParticlesDead:
        return
    for success in (None, True, False):
        assert all(
            isinstance(finding, Finding) and all(finding)
            for finding in check(posterior, success=success)
        )


@pytest.mark.long(quick=len(SAMPLERS), rest="slow")
@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("stop", [3, 9])
def test_it_does_not_raise_of_what_was_interrupted(stop, name, declare, sample):
    model = declare()
    lm = Stopping(model.lm.next_probs, eos=2)
    lm.left = stop
    own = {key: value for key, value in SMALL.items() if key in settings_of(name)}
    try:
        with pytest.warns(RuntimeWarning, match="interrupted after"):
            posterior = sample(replace(model, lm=lm), name, **own)
    except (KeyboardInterrupt, pytest.fail.Exception):
        return  # before the first step was done, or the run was over before
    assert "no guarantee" in {finding.name for finding in check(posterior)} or posterior.chains


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("tempered_smc", {"waste_free": True, "particles": 96}),
        ("entropic_particle_filter", {"look_ahead": 2}),
    ],
)
def test_runs_whose_slots_are_not_trajectories(name, settings, declare, sample, found):
    assert not found(sample(declare(), name, **settings))


@pytest.mark.long(quick=2)
@pytest.mark.parametrize(
    "name",
    ["particle_filter", "importance_sampling", "tempered_smc", *CHAINS_OF_PROGRAMS],
)
def test_programs(name, sample, found):
    posterior = sample(
        ppl.Program(solve, "?", max_steps=4),
        name,
        **({"iterations": 20} if name in CHAINS else {"particles": 64}),
    )
    assert not {
        "no guarantee",
        "unfinished particles",
        "flat reward",
        "contradicted scores",
        "far proposal",
    } & {*found(posterior)}


def test_a_posterior_with_nothing_but_a_draw():
    x = Trajectory(question="?").child(
        "a", (1,), logprob=np.nan, proposal_logprob=np.nan, finished=True
    )
    plain = {
        "question": "?",
        "trajectories": (x,),
        "log_odds": (np.zeros(0),),
        "extracted": (None,),
        "log_weights": np.zeros(1),
    }
    what = {
        "sampler": "mine",
        "target": "prior",
        "guarantee": "consistent",
        "evidence": "none",
        "settings": {},
        "cost": Cost(),
    }
    posterior = posterior_of(
        **plain, **what, log_density=np.array([np.nan]), log_evidence=None, history=None
    )
    assert [finding.name for finding in check(posterior)] == ["unread answers"]


@pytest.mark.slow
def test_a_saved_run_shows_the_same(declare, sample, tmp_path):
    model = declare(target="odds", max_steps=3, prm=FunctionReward(lambda x: 6.0 * x.token_ids[-1]))
    for name in ("particle_filter", "importance_sampling", "suffix_metropolis"):
        posterior = sample(model, name, **({"iterations": 50} if name in CHAINS else {}))
        posterior.save(tmp_path / "posterior.nc")
        assert check(Posterior.load(tmp_path / "posterior.nc")) == check(posterior) != []


def test_every_finding_is_in_the_table():
    sources = [path.read_text() for path in (ROOT / "diagnostics" / "findings").glob("*.py")]
    names = {name for source in sources for name in re.findall(r'Finding\(\s*"([^"]+)"', source)}
    table = re.findall(
        r"^\| ([^|]+?) +\|", (ROOT / "docs" / "findings.md").read_text(), re.MULTILINE
    )
    assert names == {*table} - {"finding", "---"} and len(names) == len(CHECKS) + 3
