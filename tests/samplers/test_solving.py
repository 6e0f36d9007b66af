"""`solve`: checks everything it can before it loads anything, then does what its parts do."""

import numpy as np
import pytest

import motes.models
from motes.models import FunctionReward, TableLM
from motes.ppl import StateSpaceModel
from motes.samplers import ParticleFilter, solve

LM = TableLM(lambda prefix: [0.4, 0.4, 0.2], eos=2)
PRM = FunctionReward(lambda x: float(x.token_ids[-1]))


@pytest.fixture
def loads(monkeypatch):
    """What was loaded, in order."""
    loaded = []
    monkeypatch.setattr(
        motes.models,
        "load_lm",
        lambda name, device: loaded.append(("lm", name, device)) or LM,
        raising=False,
    )
    monkeypatch.setattr(
        motes.models,
        "load_prm",
        lambda name, device: loaded.append(("prm", name, device)) or PRM,
        raising=False,
    )
    return loaded


def test_solve_is_model_and_sampler():
    posterior = solve(
        "?",
        lm=LM,
        prm=PRM,
        particles=7,
        seed=3,
        target="odds",
        beta=0.5,
        max_steps=4,
        ess_threshold=0.9,
    )
    model = StateSpaceModel("?", lm=LM, prm=PRM, target="odds", beta=0.5, max_steps=4)
    expected = ParticleFilter(particles=7, ess_threshold=0.9).run(model, seed=3)
    assert posterior.log_evidence == expected.log_evidence
    assert [x.token_ids for x in posterior.trajectories] == [
        x.token_ids for x in expected.trajectories
    ]
    assert posterior.settings == expected.settings


def test_names_are_loaded_on_the_device(loads):
    posterior = solve("?", particles=2, device="cpu")
    assert loads == [("lm", "pocket", "cpu"), ("prm", "pocket", "cpu")]
    assert len(posterior.trajectories) == 2


def test_no_reward_model():
    assert solve("?", lm=LM, prm=None, particles=3).target == "prior"


def test_a_sampler_brings_its_own_settings():
    posterior = solve(
        "?", lm=LM, prm=PRM, sampler=ParticleFilter(particles=5, resampling="residual")
    )
    assert len(posterior.trajectories) == 5 and posterior.settings["resampling"] == "residual"
    with pytest.raises(ValueError, match="particles must be left out beside ParticleFilter"):
        solve("?", lm=LM, prm=PRM, sampler=ParticleFilter(), particles=5)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"question": ""}, ValueError, "question must not be empty"),
        (
            {"sampler": "particle-filter"},
            ValueError,
            "sampler must be one of particle_filter, .* not 'particle-filter'",
        ),
        ({"sampler": 3}, TypeError, "sampler must be a name or a sampler"),
        ({"particles": 0}, ValueError, "particles must be at least 1"),
        ({"seed": -1}, ValueError, "seed must lie in"),
        ({"seed": 0.5}, TypeError, "seed must be an integer"),
        ({"target": "prodct"}, ValueError, "target must be one of product"),
        ({"beta": -1}, ValueError, "beta must be"),
        ({"prior": 0.8}, TypeError, "prior must be a Sampling"),
        ({"proposal": 0.8}, TypeError, "proposal must be a Sampling"),
        ({"max_steps": 0}, ValueError, "max_steps must be at least 1"),
        ({"answer": "42"}, TypeError, "answer must be a function"),
        ({"resampling": "systemic"}, ValueError, "resampling must be one of systematic"),
        ({"ess_threshold": np.nan}, ValueError, "ess_threshold must be"),
        (
            {"lm": 3},
            TypeError,
            "lm must be a language model .* not 3, which has no name, cost, start, extend",
        ),
        ({"sampler": ParticleFilter}, TypeError, "sampler must be a name or a sampler"),
        ({"alpha": 0}, ValueError, "alpha must be a finite number"),
        ({"constraint": True}, TypeError, "constraint must be a function"),
        (
            {"iterations": 3},
            ValueError,
            "iterations is not a setting of 'particle_filter', which has budget, ess_threshold",
        ),
        ({"seed": (0, -1)}, ValueError, "the number of a run must be at least 0"),
        ({"prm": 3}, TypeError, "prm must be a reward model"),
    ],
)
def test_bad_arguments_are_found_before_a_model_is_loaded(loads, settings, error, message):
    with pytest.raises(error, match=message):
        solve(**{"question": "?", **settings})
    assert loads == []


@pytest.mark.parametrize(
    "sampler",
    ["particle_filter", "resample_move", "tempered_smc", "particle_gibbs", "suffix_metropolis"],
)
def test_a_bound_on_tokens_is_one_on_steps_where_each_is_a_token(sampler):
    settings = {"lm": LM, "prm": PRM, "sampler": sampler, "particles": 6, "seed": 2}
    if sampler in ("particle_gibbs", "suffix_metropolis"):
        settings |= {"iterations": 6, "chains": 2, "warmup": 2}
    if sampler == "suffix_metropolis":
        del settings["particles"]
    by_steps = motes.solve("?", **settings, max_steps=3)
    by_tokens = motes.solve("?", **settings, max_steps=9, max_tokens=3)
    ends = lambda posterior: [
        (x.token_ids, x.finished, x.truncated) for x in posterior.trajectories
    ]
    assert ends(by_tokens) == ends(by_steps)
    assert any(truncated for _, _, truncated in ends(by_tokens))
    np.testing.assert_array_equal(by_tokens.log_weights, by_steps.log_weights)
    assert by_tokens.log_evidence == by_steps.log_evidence
    assert by_tokens.settings["max_tokens"] == 3 and "max_tokens" not in by_steps.settings
