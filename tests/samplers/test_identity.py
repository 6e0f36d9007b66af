"""A run's state, and its posterior, belong to the models and functions that made them."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from motes import load_lm, load_prm
from motes.models import Cost, FunctionReward, Sampling, TableLM
from motes.ppl import Posterior, StateSpaceModel
from motes.ppl.posterior.pooling import pool
from motes.ppl.targets import Product
from motes.samplers import ParticleFilter, SuffixMetropolis, TwistedSMC, solve

SIGN = {"value": 1.0}


def next_probs(prefix):
    return [0.4, 0.3, 0.3] if prefix else [0.5, 0.5, 0.0]


def log_odds(x):
    return SIGN["value"] * (1.0 - x.token_ids[-1])


def declared(**changes):
    arguments = {"lm": TableLM(next_probs, eos=2), "prm": FunctionReward(log_odds), "max_steps": 4}
    return StateSpaceModel("?", **arguments | changes)


@dataclass(frozen=True, kw_only=True)
class Softer(Product):
    """A user's target."""

    share: float = 0.5

    def _log_potential(self, log_odds, closed):
        return self.share * super()._log_potential(log_odds, closed)

    def _log_likelihood(self, log_odds):
        return self.share * super()._log_likelihood(log_odds)


OTHERS: list[tuple[str, dict]] = [
    ("prm", {"prm": FunctionReward(lambda x: -log_odds(x))}),
    ("prm", {"prm": FunctionReward(lambda x: 1.0 - x.token_ids[-1])}),
    ("likelihood", {"prm": None}),
    ("lm", {"lm": TableLM(lambda prefix: [0.3, 0.3, 0.4], eos=2)}),
    ("lm", {"lm": TableLM(next_probs, eos=1)}),
    ("answer", {"answer": lambda x: "1"}),
    ("constraint", {"constraint": lambda x: True}),
    ("max_steps", {"max_steps": 5}),
    ("proposal", {"prior": Sampling(temperature=2.0)}),
    ("likelihood", {"target": Softer()}),
]


@pytest.mark.parametrize(("what", "changes"), OTHERS)
@pytest.mark.parametrize(
    "sampler", [ParticleFilter(particles=4), SuffixMetropolis(chains=2, iterations=3)]
)
def test_a_checkpoint_is_not_taken_up_for_another_target(what, changes, sampler, tmp_path):
    path = tmp_path / "run.json"
    sampler.run(declared(), checkpoint=path)
    sampler.run(declared(), checkpoint=path)
    content = path.read_bytes()
    with pytest.raises(ValueError, match=f"is the checkpoint of another run: its {what} is"):
        sampler.run(declared(**changes), checkpoint=path)
    assert path.read_bytes() == content


def test_what_a_reward_reads_from_elsewhere_counts(monkeypatch, tmp_path):
    sampler = ParticleFilter(particles=4)
    sampler.run(declared(), checkpoint=tmp_path / "run.json")
    monkeypatch.setitem(SIGN, "value", -1.0)
    with pytest.raises(
        ValueError, match="its prm is 'function [0-9a-f]{12}', not 'function [0-9a-f]{12}'"
    ):
        sampler.run(declared(), checkpoint=tmp_path / "run.json")


def test_a_users_target_and_twist_count_by_what_they_do(tmp_path):
    path = tmp_path / "run.json"
    ParticleFilter(particles=4).run(declared(target=Softer()), checkpoint=path)
    with pytest.raises(ValueError, match="another run: its (likelihood|target) is"):
        ParticleFilter(particles=4).run(declared(target=Softer(share=0.25)), checkpoint=path)

    def twisted(factor: float) -> Callable:
        return lambda trajectory, scores: factor * scores[-1]

    path = tmp_path / "twisted.json"
    TwistedSMC(particles=4, twist=twisted(0.1)).run(declared(), checkpoint=path)
    with pytest.raises(ValueError, match="another run: its twist is"):
        TwistedSMC(particles=4, twist=twisted(-0.1)).run(declared(), checkpoint=path)


RULES = """
def factor():
    return {factor}

def reward(x):
    return factor() * (1.0 - x.token_ids[-1])
"""

SCRIPT = """
import sys
sys.path.insert(0, sys.argv[1])
sys.dont_write_bytecode = True
import rules
from motes.models import FunctionReward, TableLM
from motes.samplers import solve
lm = TableLM(lambda prefix: [0.4, 0.3, 0.3], eos=2)
try:
    prm = FunctionReward(rules.reward)
    path = sys.argv[1] + "/run.json"
    solve("?", lm=lm, prm=prm, particles=4, max_steps=3, checkpoint=path)
    print("taken up")
except ValueError as error:
    print(error)
"""


@pytest.mark.slow
def test_another_process_knows_the_same_run_and_the_opposite_one(tmp_path):
    def said(factor):
        (tmp_path / "rules.py").write_text(textwrap.dedent(RULES.format(factor=factor)))
        command = [sys.executable, "-c", SCRIPT, tmp_path]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert said("1.0") == said("1.0") == "taken up\n"
    assert "is the checkpoint of another run: its prm is" in said("-1.0")


class Signed:
    """A user's reward model that says nothing of itself but its name."""

    def __init__(self, sign, name="mine"):
        self.sign, self.name, self.cost = sign, name, Cost()

    def score(self, trajectories):
        return np.array([self.sign * (1.0 - x.token_ids[-1]) for x in trajectories])


class Remote(Signed):
    """One that holds what cannot be compared."""

    def __init__(self, sign, name="mine"):
        super().__init__(sign, name)
        self.connection = threading.Lock()


def test_users_models_are_known_by_what_can_be_seen_of_them(tmp_path):
    sampler, path = ParticleFilter(particles=4), tmp_path / "run.json"
    sampler.run(declared(prm=Signed(1.0)), checkpoint=path)
    sampler.run(declared(prm=Signed(1.0)), checkpoint=path)
    with pytest.raises(
        ValueError, match="another run: its prm is 'mine [0-9a-f]+', not 'mine [0-9a-f]+'"
    ):
        sampler.run(declared(prm=Signed(-1.0)), checkpoint=path)


def test_where_it_cannot_be_seen_a_name_is_taken_and_that_is_said(tmp_path):
    sampler, path = ParticleFilter(particles=4), tmp_path / "run.json"
    with pytest.warns(
        RuntimeWarning, match="checkpoint takes your word that prm='mine' does the same whenever"
    ):
        sampler.run(declared(prm=Remote(1.0)), checkpoint=path)
    with (
        pytest.warns(RuntimeWarning),
        pytest.raises(ValueError, match="another run: its prm is 'mine"),
    ):
        sampler.run(declared(prm=Remote(1.0, "mine, the second")), checkpoint=path)
    told = Remote(1.0)
    told.fingerprint = "version 3"
    sampler.run(declared(prm=told), checkpoint=tmp_path / "told.json")  # without a word
    lock = threading.Lock()
    with pytest.raises(
        ValueError,
        match="checkpoint cannot tell whether answer is the same .* give it an attribute `name`",
    ):
        sampler.run(declared(answer=lambda x: str(lock)), checkpoint=tmp_path / "other.json")
    # nothing is kept, nothing is asked
    sampler.run(declared(prm=Remote(1.0), answer=lambda x: str(lock)))


def test_a_posterior_says_what_made_it(tmp_path):
    one = solve(
        "?", lm=TableLM(next_probs, eos=2), prm=FunctionReward(log_odds), particles=4, max_steps=4
    )
    other = solve(
        "?",
        lm=TableLM(next_probs, eos=2),
        prm=FunctionReward(lambda x: -log_odds(x)),
        particles=4,
        max_steps=4,
        seed=1,
    )
    first, second = one.settings["identity"], other.settings["identity"]
    assert first["lm"] == second["lm"] and first["prm"] != second["prm"]
    one.save(tmp_path / "one.nc")
    other.save(tmp_path / "other.nc")
    loaded = [Posterior.load(tmp_path / f"{name}.nc") for name in ("one", "other")]
    assert [posterior.settings["identity"] for posterior in loaded] == [first, second]
    for runs in ([one, other], loaded):
        with pytest.raises(
            ValueError, match="posteriors must be of one declaration, and their prm differs"
        ):
            pool(runs)


@pytest.mark.slow
def test_a_checkpoint_of_a_name_is_taken_up_by_its_model_and_the_other_way_round(tmp_path):
    forms = [("pocket", "pocket"), (load_lm("pocket"), load_prm("pocket"))]
    for begun, taken_up in (forms, forms[::-1]):
        path = tmp_path / f"{type(begun[0]).__name__}.json"
        for lm, prm in (begun, taken_up):
            run = solve("1 + 1", lm=lm, prm=prm, particles=2, max_steps=2, checkpoint=path)
            assert run.cost.generated_tokens > 0
