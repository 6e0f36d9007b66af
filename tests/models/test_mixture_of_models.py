"""Mixtures of several models, prompts and temperatures against closed forms.

What is weighed is enumerated: every complete trajectory of three small tables, per step and per
trajectory. Estimates are held to gamma(x) at LIMIT standard errors of 1500 independent draws.
With 16 cells a right mixture fails a case with probability 9e-6 by the normal law. The planted
fault weighs a step by the component that drew it alone, one of which misses part of the support.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import cache
from itertools import product
from math import exp, log, prod

import jax
import numpy as np
import pytest

from motes.models import (
    Component,
    Cost,
    FunctionReward,
    Mixture,
    Sampling,
    StepRule,
    TableLM,
    calls,
    load_lm,
)
from motes.models.panel import Panel
from motes.models.proposed_by_mixture import ProposedByMixture
from motes.ppl import StateSpaceModel
from motes.samplers import (
    RSD,
    ImportanceSampling,
    ParticleFilter,
    ParticleGibbs,
    ResampleMove,
    SuffixMetropolis,
    solve_many,
)

EOS, LENGTH, LIMIT = 2, 3, 5.0
SHARES = [0.3, 0.1, 0.4, 0.2]


@cache
def table(name: int, prefix: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng([name, *prefix]).dirichlet([1.5, 1.5, 1.0])


def probs(name: int):
    return lambda prefix: table(name, prefix)


TARGET = TableLM(probs(1), eos=EOS, name="target")
DRAFT = TableLM(probs(2), eos=EOS, name="draft")
OTHER = TableLM(probs(3), eos=EOS, name="other")
# of the draft one component alone misses most of the support; the target's stand apart
COMPONENTS = [Component(DRAFT, Sampling(top_k=1)), Sampling(temperature=0.4), Component(OTHER)]


def mixed(per, lm=TARGET, components=(*COMPONENTS, Sampling())) -> ProposedByMixture:
    return ProposedByMixture(lm, Mixture(components, weights=SHARES, per=per))


# --- by formulas of its own


def one_law(j: int, prefix: tuple[int, ...], token: int) -> float:
    law = table([2, 1, 3, 1][j], prefix)
    if j == 0:
        return float(token == law.argmax())
    powered = law ** (1 / (0.4 if j == 1 else 1.0))
    return float(powered[token] / powered.sum())


def of_trajectory(x: tuple[int, ...], per: str) -> float:
    """q(x): a product of mixtures, or a mixture of products."""
    terms = [[one_law(j, x[:t], x[t]) for t in range(len(x))] for j in range(4)]
    if per == "trajectory":
        return sum(share * prod(row) for share, row in zip(SHARES, terms, strict=True))
    columns = zip(*terms, strict=True)
    return prod(sum(a * q for a, q in zip(SHARES, column, strict=True)) for column in columns)


def reward(prefix: tuple[int, ...]) -> float:
    return float(np.random.default_rng([9, *prefix]).normal(0, 1.5))


def mass(x: tuple[int, ...]) -> float:
    """gamma(x)."""
    prefixes = [x[: t + 1] for t in range(len(x))]
    p = prod(float(table(1, y[:-1])[y[-1]]) for y in prefixes)
    return p * prod(1 / (1 + exp(-reward(y))) for y in prefixes)


COMPLETE = [
    x
    for length in range(1, LENGTH + 1)
    for x in product(range(3), repeat=length)
    if EOS not in x[:-1] and (x[-1] == EOS or length == LENGTH)
]
PRM = FunctionReward(lambda x: reward(x.token_ids))


def declared(lm=TARGET, **settings) -> StateSpaceModel:
    settings = {"max_steps": LENGTH, "stop_at_answer": False, **settings}
    return StateSpaceModel("?", lm=lm, prm=PRM, **settings)


# --- the law


@pytest.mark.parametrize("per", ["step", "trajectory"])
def test_a_trajectory_is_worth_the_mixture(per):
    """Every complete trajectory, to 1e-12, and the model's own probability beside it; those of the
    mixture are 1 in all."""
    lm, total = mixed(per), 0.0
    for x in COMPLETE:
        head = root = lm.start("?")
        for token in x:
            head = head.child("", (token,), logprob=0.0, proposal_logprob=0.0)
        [end] = lm.continued([root], head.path[1:], prior=Sampling(), proposal=lm.mixture)
        assert end is not None and end.token_ids == x
        assert end.proposal_logprob == pytest.approx(log(of_trajectory(x, per)), abs=1e-12)
        own = sum(log(table(1, x[:t])[x[t]]) for t in range(len(x)))
        assert end.logprob == pytest.approx(own, abs=1e-12)
        total += exp(end.proposal_logprob)
    assert total == pytest.approx(1, abs=1e-12)


class Plain(TableLM):
    """Scores a text, and nothing else: what a server can do."""

    capabilities = replace(TableLM.capabilities, mixtures=False, reading=False, continuation=False)


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("per", ["step", "trajectory"])
def test_trajectories_are_drawn_from_the_mixture(per, plain):
    """1500 trajectories, each cell within 5 standard errors, with the right density; also where
    another model can do no more than score a text."""
    n, components = 1500, list(COMPONENTS)
    if plain:
        components[2] = Component(Plain(probs(3), eos=EOS))
    lm = mixed(per, components=(*components, Sampling()))
    heads = [lm.start("?")] * n
    for key in jax.random.split(jax.random.key(5), LENGTH):
        going = [i for i, x in enumerate(heads) if x.open]
        keys = jax.random.split(key, len(going))
        drawn = lm.extend([heads[i] for i in going], keys, sampling=lm.mixture, prior=Sampling())
        for i, x in zip(going, drawn, strict=True):
            heads[i] = x
    found = Counter(x.token_ids for x in heads)
    for x in COMPLETE:
        share = of_trajectory(x, per)
        assert abs(found[x] / n - share) < LIMIT * (share * (1 - share) / n) ** 0.5
    for x in heads[:100]:
        assert x.proposal_logprob == pytest.approx(log(of_trajectory(x.token_ids, per)), abs=1e-9)


# --- estimates


def worst_z(sampler, model) -> float:
    """The largest distance between estimated and exact masses, in standard errors of the draws."""
    posterior = sampler.run(model, seed=1)
    weights = np.exp(posterior.log_weights + posterior.log_evidence) * sampler.particles
    ids = [x.token_ids for x in posterior.trajectories]
    cells = np.array(
        [[weight * (x == y) for y in COMPLETE] for x, weight in zip(ids, weights, strict=True)]
    )
    cells = np.column_stack([cells, cells.sum(1)])
    exact = np.array([mass(x) for x in COMPLETE])
    errors = cells.std(0, ddof=1) / len(cells) ** 0.5
    return float(np.max(np.abs(cells.mean(0) - [*exact, exact.sum()]) / np.maximum(errors, 1e-9)))


@pytest.mark.parametrize("per", ["step", "trajectory"])
def test_estimates_are_unbiased(per):
    mixture = mixed(per).mixture
    assert worst_z(ImportanceSampling(particles=1500, proposal=mixture), declared()) < LIMIT


def test_a_fault_is_seen(monkeypatch):
    """A step is weighed by the model that drew it alone."""
    whole = Panel._stepped

    def own(self, step, row, log_shares):
        drew = [reading is not None and reading.node is step for reading in row].index(True)
        places, shares = self.parts[drew].places, np.full(len(SHARES), -np.inf)
        shares[places] = log_shares[places] - np.logaddexp.reduce(log_shares[places])
        return whole(self, step, row, log_shares)._replace(
            log_q=whole(self, step, row, shares).log_q
        )

    monkeypatch.setattr(Panel, "_stepped", own)
    mixture = mixed("step").mixture
    assert worst_z(ImportanceSampling(particles=1500, proposal=mixture), declared()) > 2 * LIMIT


@pytest.mark.long(quick=1)
@pytest.mark.parametrize("per", ["step", "trajectory"])
@pytest.mark.parametrize("runs", [50, 800])
def test_a_filter_with_few_particles_is_unbiased(per, runs):
    """E[Z-hat W(x)] = gamma(x) at N = 3, over independent runs."""
    sampler = ParticleFilter(particles=3, ess_threshold=0.8, proposal=mixed(per).mixture)
    estimates = np.zeros((runs, len(COMPLETE) + 1))
    for seed in range(runs):
        posterior = sampler.run(declared(), seed=seed)
        assert posterior.log_evidence is not None
        weights = np.exp(posterior.log_weights + posterior.log_evidence)
        for x, weight in zip(posterior.trajectories, weights, strict=True):
            estimates[seed, COMPLETE.index(x.token_ids)] += weight
    estimates[:, -1] = estimates.sum(1)
    exact = np.array([mass(x) for x in COMPLETE])
    often = exact > 0.05 * exact.sum()  # the mean of rare visits is far from normal
    cells = [*np.flatnonzero(often), -1]
    errors = estimates[:, cells].std(0, ddof=1) / runs**0.5
    away = np.abs(estimates[:, cells].mean(0) - [*exact[often], exact.sum()]) / errors
    assert away.max() < LIMIT


def test_no_weight_exceeds_one_over_the_share():
    """p / q of every step is at most 1 / (the share of the prior's component)."""
    mixture = Mixture([Component(DRAFT), Component(OTHER), Sampling()], weights=[5, 4, 1])
    posterior = ParticleFilter(particles=500, proposal=mixture).run(declared(), seed=0)
    steps = [node for x in posterior.trajectories for node in x.path[1:]]
    ratios = [node.step_logprob - node.step_proposal_logprob for node in steps]
    assert max(ratios) <= log(10) + 1e-12
    assert max(ratios) > log(2)  # it does work


# --- any sampler, any company


@pytest.mark.long(quick=1)
@pytest.mark.parametrize("iterations", [4, 400])
def test_a_chain_moves_under_a_mixture_of_models(iterations):
    """Particle Gibbs splices remainders under all models: what it draws is worth the mixture, and,
    where it draws 1600, is the posterior of 15 cells. So many are at most .03 away from it in the
    mean if independent, and a chain of autocorrelation 10 by three times that."""
    sampler = ParticleGibbs(
        particles=4, chains=4, iterations=iterations, warmup=2, proposal=mixed("step").mixture
    )
    posterior = sampler.run(declared(), seed=3)
    for x in posterior.trajectories[:20]:
        assert x.proposal_logprob == pytest.approx(log(of_trajectory(x.token_ids, "step")))
    if iterations < 100:
        return
    found = Counter(x.token_ids for x in posterior.trajectories)
    total, z = sum(found.values()), sum(map(mass, COMPLETE))
    assert sum(abs(found[x] / total - mass(x) / z) for x in COMPLETE) / 2 < 0.09


@pytest.mark.parametrize(
    "sampler", [ResampleMove(particles=8), SuffixMetropolis(chains=2, iterations=6, warmup=1)]
)
def test_moves_keep_what_a_trajectory_is_worth(sampler):
    """Under a prior that leaves out what other components draw, so that some particles die."""
    sampler = replace(sampler, proposal=mixed("step").mixture)
    posterior = sampler.run(declared(prior=Sampling(top_k=2)), seed=3)
    for x, weight in zip(posterior.trajectories, posterior.log_weights, strict=True):
        assert x.proposal_logprob == pytest.approx(log(of_trajectory(x.token_ids, "step")))
        assert weight == -np.inf or x.logprob > -np.inf


def test_several_questions_draw_as_each_alone():
    mixture = mixed("trajectory").mixture
    ask = {"lm": TARGET, "prm": PRM, "max_steps": LENGTH, "particles": 6, "proposal": mixture}
    both = solve_many(["?", "!"], seed=4, **ask)
    [alone] = solve_many(["?"], seed=4, **ask)
    assert both[0].log_evidence == pytest.approx(alone.log_evidence, abs=1e-12)
    drawn, together = alone.trajectories, both[0].trajectories
    assert [x.token_ids for x in drawn] == [x.token_ids for x in together]
    assert both[0].cost.draft_tokens == alone.cost.draft_tokens > 0


class Stopped(TableLM):
    """Is interrupted at its second step."""

    def read_steps(self, trajectories, steps, *, prior, proposal):
        if trajectories[0].depth == 1 and self.cost.forward_passes < 50:
            raise KeyboardInterrupt
        return super().read_steps(trajectories, steps, prior=prior, proposal=proposal)


def test_a_run_is_taken_up_without_its_mirrors(tmp_path):
    mixture = mixed("trajectory").mixture
    sampler = ParticleFilter(particles=6, ess_threshold=0.9, proposal=mixture)
    file, whole = tmp_path / "state.json", sampler.run(declared(TableLM(probs(1), eos=EOS)), seed=2)
    stopped = Stopped(probs(1), eos=EOS)
    with pytest.warns(RuntimeWarning, match="interrupted after 1 steps"):
        sampler.run(declared(stopped), seed=2, checkpoint=file)
    stopped.cost += Cost(forward_passes=50)
    again = sampler.run(declared(stopped), seed=2, checkpoint=file)
    assert again.log_evidence == pytest.approx(whole.log_evidence, abs=1e-12)
    assert "'lm': 'draft'" in str(whole.settings["proposal"])
    assert (whole.guarantee, whole.evidence) == ("consistent", "unbiased")


# --- hosted models


QUESTION = "Tom owns 3 apples. Ann has 2 more than Tom. How many apples does Ann have?"


@pytest.fixture(scope="module")
def pocket():
    return load_lm("pocket", probe=False, step=StepRule(cap=24))


@pytest.mark.parametrize("per", ["step", "trajectory"])
def test_prompts_over_the_same_weights_are_a_mixture(pocket, per):
    """Two steps of six rows under two prompts and three temperatures: the terms are those of each
    model by itself, and what all have read is read once."""
    example = "<|user|>Ann has 2 hats and finds 1. How many?<|assistant|>2 + 1 = 3.\n\n"
    shown = pocket.prompted(example + "<|user|>{question}<|assistant|>", name="one example")
    laws = [Sampling(temperature=0.5), Component(shown), Sampling()]
    mixture = Mixture(laws, weights=SHARES[:3], per=per)
    lm, rows = ProposedByMixture(pocket, mixture), 6
    heads, plain = [lm.start(QUESTION)] * rows, [pocket.start(QUESTION), shown.start(QUESTION)]
    terms, before = np.zeros((rows, 3)), pocket.cost + shown.cost
    for key in (jax.random.key(1), jax.random.key(2)):
        parents, keys = heads, jax.random.split(key, rows)
        heads = lm.extend(parents, keys, sampling=mixture, prior=Sampling())
        for i, (x, head) in enumerate(zip(heads, parents, strict=True)):
            step, past = x.step_token_ids, head.token_ids
            own = []
            for root, of, law in [
                (plain[0], pocket, laws[0]),
                (plain[1], shown, Sampling()),
                (plain[0], pocket, Sampling()),
            ]:
                whole = of.logprob([root], [past + step], prior=law)[0]
                own.append(whole - (of.logprob([root], [past], prior=law)[0] if past else 0.0))
            shares = np.log(np.array(SHARES[:3])) + (terms[i] if per == "trajectory" else 0.0)
            expected = np.logaddexp.reduce(shares + own) - np.logaddexp.reduce(shares)
            assert x.component_logprobs == pytest.approx(own, abs=2e-3)
            assert x.step_logprob == pytest.approx(own[2], abs=2e-3)
            assert x.step_proposal_logprob == pytest.approx(expected, abs=2e-3)
            terms[i] += own
    prompts = sum(len(of.rendered(QUESTION).token_ids) for of in (pocket, shown))
    read = (pocket.cost + shown.cost - before).prompt_tokens
    assert read == 2 * prompts  # for the mixture, and for the plain ones here
    assert lm.cost.draft_tokens == 0  # the same weights are no draft


def test_a_slot_draws_the_same_in_any_company(pocket):
    mixture = Mixture([Component(pocket.prompted("{question}")), Sampling()])
    lm, keys = ProposedByMixture(pocket, mixture), jax.random.split(jax.random.key(3), 6)
    root = lm.start(QUESTION)
    together = lm.extend([root] * 6, keys, sampling=mixture, prior=Sampling())
    alone = lm.extend([root], keys[4:5], sampling=mixture, prior=Sampling())
    assert alone[0].token_ids == together[4].token_ids


def test_a_model_whose_context_is_full_draws_nothing_more(pocket):
    """The other model can have no second step: the shares of the first become whole."""
    short = pocket.prompted(None, name="short")
    mixture = Mixture([Component(short), Sampling()], weights=[9, 1])
    lm, keys = ProposedByMixture(pocket, mixture), jax.random.split(jax.random.key(6), 12)
    parents = [lm.start(QUESTION)] * 12
    short.context = len(short.rendered(QUESTION).token_ids) + 1
    steps = lm.extend(parents, keys, sampling=mixture, prior=Sampling())
    cut = [x for x in steps if x.truncated]
    assert cut and len(cut) < 12
    for x in steps:
        own, other = x.component_logprobs[1], x.component_logprobs[0]
        if x.truncated:  # which the model itself would not have been
            assert x.logprob == -np.inf and own == -np.inf and np.isfinite(other)
        else:
            assert other == -np.inf
            assert x.step_proposal_logprob == pytest.approx(log(0.1) + x.step_logprob, abs=1e-6)
    going = [x for x in steps if x.open]
    for x in lm.extend(going, keys[: len(going)], sampling=mixture, prior=Sampling()):
        assert x.step_proposal_logprob == pytest.approx(x.step_logprob, abs=1e-6)


# --- what is refused


class Silent(TableLM):
    capabilities = replace(TableLM.capabilities, scoring=False)


class Stepping(TableLM):
    capabilities = replace(TableLM.capabilities, step_rule=StepRule(tokens=2))


@pytest.mark.parametrize(
    ("components", "words"),
    [
        ([Component(DRAFT)], "one component of a mixture must be the run's own"),
        ([Component(DRAFT), Sampling(top_k=1)], "one component of a mixture must draw all that"),
        ([Component(Silent(probs(2), eos=EOS)), Sampling()], "no method `logprob` to score"),
        ([Component(Stepping(probs(2), eos=EOS)), Sampling()], "must end their steps alike"),
        (
            [Component(Plain(probs(2))), Component(DRAFT, Sampling(top_k=2)), Sampling()],
            "",
        ),
    ],
)
def test_what_cannot_be_mixed_is_refused_before_the_run(components, words):
    sampler = ParticleFilter(particles=4, proposal=Mixture(components))
    if not words:
        assert sampler.run(declared()).guarantee == "consistent"
        return
    before = TARGET.cost
    with pytest.raises(ValueError, match=words):
        sampler.run(declared())
    assert TARGET.cost == before


def test_a_model_that_takes_no_mixtures_has_one_component():
    own = Plain(probs(2), eos=EOS)
    mixture = Mixture([Component(own, Sampling(top_k=1)), Component(own), Sampling()])
    with pytest.raises(ValueError, match="does not tell the log-probability of a step under sev"):
        ParticleFilter(particles=4, proposal=mixture).run(declared())


def test_what_is_no_model_is_no_component():
    with pytest.raises(TypeError, match="lm must be a language model, not 'draft'"):
        ParticleFilter(proposal=Mixture([Component("draft"), Sampling()])).run(declared())
    with pytest.raises(TypeError, match="sampling must be a Sampling"):
        Component(DRAFT, 0.5)  # pyright: ignore


def test_drafted_steps_and_models_by_themselves_refuse(pocket):
    mixture = mixed("step").mixture
    with pytest.raises(TypeError, match="cannot be a Mixture in rsd"):
        RSD(particles=4, proposal=mixture)
    keys = jax.random.split(jax.random.key(0), 1)
    with pytest.raises(ValueError, match="is asked by itself"):
        calls.extend(TARGET, [TARGET.start("?")], keys, sampling=mixture)
    other = load_lm("pocket", probe=False, step=StepRule(cap=24))
    other.tokenizer.add_tokens(["<|new|>"])
    with pytest.raises(ValueError, match="must write the same tokens"):
        ProposedByMixture(pocket, Mixture([Component(other), Sampling()]))
