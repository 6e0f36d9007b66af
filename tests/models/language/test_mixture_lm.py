"""A declared mixture is a language model with the law it says, for every sampler.

Two small tables with three laws. A posterior over complete trajectories is enumerated, and with it
the posterior of the component that wrote them. LIMIT standard errors of 2000 independent draws:
with 16 cells a right model fails with probability 9e-6.
"""

from __future__ import annotations

from collections import Counter
from functools import cache
from itertools import product
from math import exp, log, prod

import jax
import numpy as np
import pytest

from motes.models import (
    ChatPrompt,
    Component,
    FunctionReward,
    Mixture,
    MixtureLM,
    Sampling,
    StepRule,
    TableLM,
    load_lm,
)
from motes.ppl import StateSpaceModel
from motes.samplers import ImportanceSampling, ParticleFilter, ParticleGibbs, solve

EOS, LENGTH, LIMIT = 2, 3, 5.0
SHARES = [0.5, 0.3, 0.2]
HEATS = [1.0, 1.0, 0.5]


@cache
def table(name: int, prefix: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng([40 + name, *prefix]).dirichlet([1.5, 1.5, 1.0])


FIRST = TableLM(lambda prefix: table(0, prefix), eos=EOS, name="first")
SECOND = TableLM(lambda prefix: table(1, prefix), eos=EOS, name="second")
COMPONENTS = [Sampling(), Component(SECOND), Sampling(temperature=0.5)]


def mixed(per) -> MixtureLM:
    return MixtureLM(Mixture(COMPONENTS, weights=SHARES, per=per), FIRST)


def terms(x: tuple[int, ...]) -> np.ndarray:
    """p_j of every step, shape (components, steps)."""
    rows = []
    for name, heat in zip([0, 1, 0], HEATS, strict=True):
        laws = [table(name, x[:t]) ** (1 / heat) for t in range(len(x))]
        rows.append([law[token] / law.sum() for law, token in zip(laws, x, strict=True)])
    return np.array(rows)


def of_trajectory(x: tuple[int, ...], per: str) -> float:
    if per == "trajectory":
        return float(SHARES @ terms(x).prod(1))
    return float(prod(SHARES @ terms(x)))


def reward(prefix: tuple[int, ...]) -> float:
    return float(np.random.default_rng([9, *prefix]).normal(0, 1.5))


def mass(x: tuple[int, ...], per: str) -> float:
    rewards = [reward(x[: t + 1]) for t in range(len(x))]
    return of_trajectory(x, per) * prod(1 / (1 + exp(-value)) for value in rewards)


COMPLETE = [
    x
    for length in range(1, LENGTH + 1)
    for x in product(range(3), repeat=length)
    if EOS not in x[:-1] and (x[-1] == EOS or length == LENGTH)
]
PRM = FunctionReward(lambda x: reward(x.token_ids))


def declared(lm) -> StateSpaceModel:
    return StateSpaceModel("?", lm=lm, prm=PRM, max_steps=LENGTH, stop_at_answer=False)


@pytest.mark.parametrize("per", ["step", "trajectory"])
def test_its_law_is_the_mixture(per):
    """Every complete trajectory by `continued`, and step by step by `logprob`, to 1e-12."""
    lm, total = mixed(per), 0.0
    for x in COMPLETE:
        head = root = lm.start("?")
        for token in x:
            head = head.child("", (token,), logprob=0.0, proposal_logprob=0.0)
        laws = {"prior": Sampling(), "proposal": Sampling()}
        [end] = lm.continued([root], head.path[1:], **laws)
        assert end is not None
        assert end.logprob == pytest.approx(log(of_trajectory(x, per)), abs=1e-12)
        steps = [lm.logprob([y], [[token]])[0] for y, token in zip(end.path, x, strict=False)]
        assert sum(steps) == pytest.approx(end.logprob, abs=1e-12)
        total += exp(end.logprob)
    assert total == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("per", ["step", "trajectory"])
def test_draws_and_evidence_are_those_of_the_mixture(per):
    """How often each complete trajectory is drawn, as far as 20 are expected, and the mean weight;
    the mixtures of the two kinds are told apart."""
    n = 2000
    posterior = ImportanceSampling(particles=n).run(declared(mixed(per)), seed=1)
    found = Counter(x.token_ids for x in posterior.trajectories)
    away = {}
    for kind in ("step", "trajectory"):
        law = {x: of_trajectory(x, kind) for x in COMPLETE if n * of_trajectory(x, kind) > 20}
        errors = {x: (p * (1 - p) / n) ** 0.5 for x, p in law.items()}
        away[kind] = max(abs(found[x] / n - p) / errors[x] for x, p in law.items())
    assert away.pop(per) < LIMIT < max(away.values())
    exact = np.array([mass(x, per) for x in COMPLETE])
    likelihoods = exact / np.array([of_trajectory(x, per) for x in COMPLETE])
    spread = float(exact @ likelihoods - exact.sum() ** 2) ** 0.5
    assert posterior.log_evidence is not None
    assert abs(exp(posterior.log_evidence) - exact.sum()) < LIMIT * spread / n**0.5
    assert (posterior.guarantee, posterior.evidence) == ("consistent", "unbiased")
    # the posterior of who wrote
    rows = np.array(SHARES) * np.array([terms(x).prod(1) for x in COMPLETE])
    if per == "trajectory":
        who = exact @ (rows / rows.sum(1, keepdims=True)) / exact.sum()
        assert posterior.rates["components"] == pytest.approx(who.tolist(), abs=0.03)


@pytest.mark.parametrize(
    "sampler",
    [ParticleFilter(particles=20), ParticleGibbs(particles=3, chains=2, iterations=3, warmup=1)],
)
def test_other_samplers_take_it_as_any_model(sampler):
    posterior = sampler.run(declared(mixed("trajectory")), seed=0)
    for x in posterior.trajectories[:20]:
        assert x.logprob == pytest.approx(log(of_trajectory(x.token_ids, "trajectory")), abs=1e-9)


def test_a_vote_over_temperatures_is_one_line():
    """The law of an answer is the mixture's, of 3000 draws."""
    lm = mixed("trajectory")
    first = lambda x: str(x.token_ids[0]) if x.finished else None
    posterior = solve(
        "?", lm=lm, prm=None, sampler="majority_vote", samples=3000, max_steps=LENGTH, answer=first
    )
    law = {str(token): 0.0 for token in range(3)}
    for x in COMPLETE:
        if x[-1] == EOS:
            law[str(x[0])] += of_trajectory(x, "trajectory")
    for answer, p in law.items():
        error = (p * (1 - p) / 3000) ** 0.5
        assert abs(posterior.answers.get(answer, 0.0) - p) < LIMIT * error


def test_prompts_of_a_chat_are_one_prior():
    """Two prompts over the pocket's weights: the density of a step is half of both."""
    lm = load_lm("pocket", probe=False, step=StepRule(cap=16))
    other = lm.prompted("<|user|>{question} Explain.<|assistant|>", name="explained")
    both = MixtureLM(Mixture([Component(lm), Component(other)], per="trajectory"))
    root = both.start("Ann has 3 apples. How many apples does Ann have?")
    steps = both.extend([root] * 3, jax.random.split(jax.random.key(0), 3))
    for x in steps:
        each = [
            part.logprob([part.start(root.question)], [x.token_ids], prior=Sampling())[0]
            for part in (lm, other)
        ]
        assert x.logprob == pytest.approx(np.logaddexp(*each) - log(2), abs=1e-3)
    assert both.name == "mixture of pocket and explained"
    assert both.fingerprint != MixtureLM(Mixture([Sampling(), Component(other)]), lm).fingerprint


def test_what_it_refuses():
    with pytest.raises(ValueError, match="lm must be the language model of the component"):
        MixtureLM(Mixture([Sampling(), Component(SECOND)]))
    model = declared(mixed("step"))
    with pytest.raises(ValueError, match="it declares that it has one law"):
        ParticleFilter(particles=4, proposal=Sampling(temperature=0.5)).run(model)
    lm = load_lm("pocket", probe=False)
    begun = lm.prompted(ChatPrompt(prefill="First, "))
    both = MixtureLM(Mixture([Component(lm), Component(begun)]))
    with pytest.raises(ValueError, match="begin the solution in different ways"):
        both.start("How many?")
