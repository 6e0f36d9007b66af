"""Arguments at the edge: every public constructor and function takes a number, or says in one
sentence which one it cannot."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import inf, log, nan

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import motes
from motes import checks
from motes.evaluation.scaling import Priors as ScalingPriors
from motes.models import FunctionReward, Sampling, StepRule, TableLM, Trajectory, calls
from motes.models.pocket import problems
from motes.models.reward.tampered import Tampered
from motes.ppl import Program, StateSpaceModel
from motes.ppl.calibration.reliability import Priors
from motes.ppl.programs.subinference import SubInference
from motes.ppl.targets import TARGETS, Final, Odds, Product
from motes.samplers import (
    SAMPLERS,
    MajorityVote,
    ParameterGibbs,
    ParticleFilter,
    ParticleMarginalMetropolis,
    SuffixMetropolis,
)
from motes.smc import Resampling, RunKeys

EDGES = [
    *(0, -1, 1, 2, 7, 2**31, 2**63, 2**64, 10**30, 10**400, -(10**400), 10**5000),
    *(0.0, -0.0, 0.5, 1.0, 1e-5, 1e-300, 1e-320, 5e-324, 1e308, -1e308, inf, -inf, nan, 2.5),
    *(
        np.int8(3),
        np.uint64(2**63),
        np.float16(0.5),
        np.float32(1e-40),
        np.float64(0.5),
        np.array(3),
        np.array([3]),
        np.longdouble(2),
    ),
    *(
        True,
        False,
        np.True_,
        "3",
        "many",
        b"3",
        None,
        [],
        [1],
        (0.5,),
        {},
        object(),
        1j,
        Fraction(1, 3),
    ),
]

LM = TableLM(lambda prefix: [0.5, 0.5], eos=1)
PRM = FunctionReward(lambda x: 0.3)


def inner():
    return None


DECLARED = {"alpha": 1.0, "beta": 1.0, "max_steps": 4, "stop_at_answer": True}
MAKERS = {
    "Sampling": (Sampling, ("temperature", "top_p", "top_k")),
    "StepRule": (StepRule, ("tokens", "cap")),
    "Resampling": (Resampling, ("ess_threshold", "entropy_threshold")),
    "RunKeys": (RunKeys, ("seed",)),
    "Product": (Product, ("beta",)),
    "Odds": (Odds, ("beta",)),
    "Final": (Final, ("beta", "floor")),
    "StateSpaceModel": (
        lambda **given: StateSpaceModel("?", lm=LM, prm=PRM, **DECLARED | given),
        tuple(DECLARED),
    ),
    "Program": (lambda **given: Program(inner, **given), ("max_steps",)),
    "SubInference": (
        lambda particles: SubInference(Program(inner), particles, Resampling()),
        ("particles",),
    ),
    "judgement": (
        lambda power: motes.ppl.judgement(
            PRM,
            Trajectory(question="?").child("a", (0,), logprob=0.0, proposal_logprob=0.0),
            power=power,
        ),
        ("power",),
    ),
    "Tampered": (lambda **given: Tampered(PRM, **given), ("noise", "bias", "seed")),
    "Priors": (
        Priors,
        ("intercept", "slope", "sigma_depth", "sigma_problem", "false_positive", "false_negative"),
    ),
    "ScalingPriors": (ScalingPriors, ("mu_level", "tau_slope", "mu_ceiling", "sigma_affinity")),
    "TableLM": (lambda eos: TableLM(lambda prefix: [1.0], eos=eos), ("eos",)),
    "problems": (problems, ("seed", "steps")),
    "solve": (
        lambda **given: motes.solve(
            "?", lm=LM, prm=None, **{"particles": 2, "max_steps": 2} | given
        ),
        ("seed", "beta", "alpha"),
    ),
    "MajorityVote": (MajorityVote, ("samples",)),
}
NUMERIC = ("int", "float", "bool", "int | None", "Sequence[float] | None", "Sequence[float]")
for kind in (*SAMPLERS.values(), ParameterGibbs, ParticleMarginalMetropolis):
    numeric = tuple(
        name for name, field in kind.__dataclass_fields__.items() if field.type in NUMERIC
    )
    MAKERS[kind.__name__] = kind, numeric
PAIRS = [(maker, argument) for maker, (_, arguments) in MAKERS.items() for argument in arguments]


@pytest.mark.parametrize(("maker", "argument"), PAIRS, ids=[".".join(pair) for pair in PAIRS])
def test_a_number_is_taken_or_named(maker, argument):
    make, _ = MAKERS[maker]
    for value in EDGES:
        try:
            made = make(**{argument: value})
        except (TypeError, ValueError) as error:
            text = str(error)
            assert argument in text, (value, text)
            assert "\n" not in text and len(text) < 300 and text.count(". ") == 0, text
        else:
            kept = getattr(made, argument, None)
            assert type(kept) in (type(None), bool, int, float, tuple), (argument, value, kept)


def test_no_sampler_takes_what_is_no_count():
    for value in (0, -1, 2.0, True, np.True_, "3", nan, 10**400, [3]):
        with pytest.raises((TypeError, ValueError), match=r"^particles must be "):
            ParticleFilter(particles=value)
    assert ParticleFilter(particles=np.int64(3)) == ParticleFilter(particles=3)
    assert type(replace(ParticleFilter(), ess_threshold=np.float32(0.5)).ess_threshold) is float


@given(
    st.integers()
    | st.floats()
    | st.fractions()
    | st.complex_numbers()
    | st.text()
    | st.booleans()
    | st.none()
    | st.binary()
)
def test_checks_return_plain_numbers_in_their_range(value):
    for check, kind, right in (
        (lambda v: checks.count("n", v, least=2, most=9), int, lambda v: 2 <= v <= 9),
        (lambda v: checks.number("n", v, least=-1, below=3), float, lambda v: -1 <= v < 3),
        (lambda v: checks.positive("n", v), float, lambda v: 0 < v < inf),
        (lambda v: checks.fraction("n", v), float, lambda v: 0 <= v <= 1),
    ):
        try:
            kept = check(value)
        except (TypeError, ValueError) as error:
            assert str(error).startswith("n must be ")
        else:
            assert type(kept) is kind and right(kept) and kept == pytest.approx(float(value))


@settings(suppress_health_check=[HealthCheck.differing_executors])
@given(
    st.lists(
        st.integers(-(10**4), 10**4).map(float) | st.just(-inf), min_size=1, max_size=6
    ).filter(lambda x: max(x) > -inf),
    st.floats(min_value=0, max_value=1.7e308, exclude_min=True),
    st.floats(min_value=0, max_value=1, exclude_min=True),
    st.none() | st.integers(1, 10**12),
)
def test_every_temperature_gives_a_distribution(logits, temperature, top_p, top_k):
    law = Sampling(temperature=temperature, top_p=top_p, top_k=top_k).log_probs(np.array(logits))
    assert not np.isnan(law).any() and np.exp(law).sum() == pytest.approx(1.0)
    assert law[int(np.argmax(logits))] == law.max()


@pytest.mark.parametrize("temperature", [5e-324, 1e-320, 1e-40, 1e-5, 1e-3, 1e30, 1e308])
def test_the_device_draws_by_the_same_law(temperature):
    import torch

    from motes.models.hosting.draws import log_probs

    logits, law = np.array([0.0, -0.5, -inf, 0.0, 3e-4]), Sampling(temperature=temperature)
    found = log_probs(torch.tensor(logits, dtype=torch.float32)[None], law)[0].numpy()
    assert np.allclose(np.exp(found), np.exp(law.log_probs(logits.astype(np.float32))), atol=1e-6)


@pytest.mark.parametrize("temperature", [1e-320, 1e-5, 1e308])
@pytest.mark.parametrize(
    "sampler",
    [
        "particle_filter",
        "power_smc",
        "power_metropolis",
        "parallel_tempering",
        "replica_exchange",
        "tempered_smc",
    ],
)
def test_runs_at_the_edge_of_temperature(temperature, sampler):
    lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
    prior = Sampling(temperature=temperature)
    small = (
        {"iterations": 2, "warmup": 1}
        if "metropolis" in sampler or "parallel" in sampler or "exchange" in sampler
        else {"particles": 8}
    )
    posterior = motes.solve(
        "?", lm=lm, prm=PRM, sampler=sampler, prior=prior, alpha=1.5, max_steps=3, **small
    )
    assert np.exp(posterior.log_weights).sum() == pytest.approx(1.0)


def run(value, target, beta=1.0):
    lm = TableLM(lambda prefix: [0.5, 0.5], eos=None)
    prm = FunctionReward(lambda x: value if x.token_ids[-1] else 0.0)
    return motes.solve(
        "?", lm=lm, prm=prm, target=target, beta=beta, max_steps=4, particles=16, ess_threshold=0.0
    )


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("beta", [1e-300, 1.0, 1e9])
def test_scores_at_the_edge(target, beta):
    for value in (1e99, -1e99, 800.0, -800.0, -inf):
        try:
            posterior = run(value, target, beta)
        except (FloatingPointError, motes.samplers.AllParticlesDead) as error:
            assert "\n" not in str(error)
        else:
            assert not np.isnan(posterior.log_weights).any() and posterior.log_evidence < inf
    with pytest.raises(
        FloatingPointError, match=r"the reward model 'function' gave the log-odds 1e\+308 for"
    ):
        run(1e308, target)


def test_targets_of_sums_that_overflow():
    assert Product().log_likelihood([-1e308, -1e308]) == -inf
    with pytest.raises(FloatingPointError, match="'odds' is infinite"):
        Odds().log_likelihood([1e308, 1e308])
    with pytest.raises(FloatingPointError, match="'odds' is infinite"):
        Odds(beta=1e9).log_potential([1e308], closed=False)


def test_tokens_outside_the_vocabulary():
    root = LM.start("?")
    for token in (2, -1, 10**30, "1"):
        with pytest.raises(
            (TypeError, ValueError), match="a token of the language model 'table' must be"
        ):
            calls.logprob(LM, [root], [(token,)], prior=Sampling())


def test_ladders():
    assert checks.ladder("ladder", np.array([0, 0.5, 1]), first=0, last=1) == (0.0, 0.5, 1.0)
    for values in ([0], [0, 1, 1], [0, nan, 1], [0, 0.5], [0.1, 1], "01", 1.0, [[0, 1]], [0, "1"]):
        with pytest.raises((TypeError, ValueError), match="ladder must"):
            checks.ladder("ladder", values, first=0, last=1)


def test_a_cap_far_beyond_every_trajectory_costs_nothing():
    lm = TableLM(lambda prefix: [0.5, 0.5], eos=1)
    posterior = motes.solve(
        "?", lm=lm, prm=PRM, sampler="particle_gibbs", iterations=3, warmup=0, max_steps=10**15
    )
    assert len(posterior.rates["update_by_step"]) <= 60


def test_a_chain_is_no_longer_than_it_says():
    posterior = SuffixMetropolis(iterations=np.int16(3), warmup=0, chains=np.uint8(2)).run(
        StateSpaceModel("?", lm=LM, prm=PRM), seed=0
    )
    assert (
        len(posterior.trajectories),
        posterior.settings["iterations"],
        posterior.settings["chains"],
    ) == (6, 3, 2)
    assert log(len(posterior.trajectories)) == pytest.approx(-posterior.log_weights[0])
