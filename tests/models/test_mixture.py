"""Mixtures of samplings against closed forms: what a step and a trajectory are worth under them."""

from __future__ import annotations

from functools import cache
from itertools import product
from math import exp, log, prod

import jax
import numpy as np
import pytest

from motes.models import FunctionReward, Mixture, Sampling, TableLM, load_lm, recorded
from motes.ppl import StateSpaceModel
from motes.samplers import ImportanceSampling, ParticleFilter

EOS, LENGTH = 2, 3
LAWS = [Sampling(top_k=1), Sampling(temperature=0.4), Sampling()]
SHARES = [0.25, 0.25, 0.5]


@cache
def next_probs(prefix: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng([7, *prefix]).dirichlet([1.5, 1.5, 1.0])


def mixed(per) -> Mixture:
    return Mixture(LAWS, weights=[1, 1, 2], per=per)


# --- by formulas of its own


def one_law(law: int, prefix: tuple[int, ...], token: int) -> float:
    """q_j of a token: by powers, and the greedy one by the largest."""
    probs = next_probs(prefix)
    if law == 0:
        return float(token == probs.argmax())
    powered = probs ** (1 / (0.4 if law == 1 else 1.0))
    return float(powered[token] / powered.sum())


def of_trajectory(x: tuple[int, ...], per: str) -> float:
    """q(x): a product of mixtures, or a mixture of products."""
    terms = [[one_law(j, x[:t], x[t]) for t in range(len(x))] for j in range(3)]
    if per == "trajectory":
        return sum(share * prod(row) for share, row in zip(SHARES, terms, strict=True))
    columns = zip(*terms, strict=True)
    return prod(sum(a * q for a, q in zip(SHARES, column, strict=True)) for column in columns)


COMPLETE = [
    x
    for length in range(1, LENGTH + 1)
    for x in product(range(3), repeat=length)
    if EOS not in x[:-1] and (x[-1] == EOS or length == LENGTH)
]


@pytest.mark.parametrize("per", ["step", "trajectory"])
def test_a_trajectory_is_worth_the_mixture(per):
    """Every complete trajectory, to 1e-12; and their probabilities are 1 in all."""
    lm, mixture = TableLM(next_probs, eos=EOS), mixed(per)
    total = 0.0
    for x in COMPLETE:
        head = root = lm.start("?")
        for token in x:
            head = head.child("", (token,), logprob=0.0, proposal_logprob=0.0)
        [end] = lm.continued([root], head.path[1:], prior=Sampling(), proposal=mixture)
        assert end is not None and end.token_ids == x
        assert end.proposal_logprob == pytest.approx(log(of_trajectory(x, per)), abs=1e-12)
        total += exp(end.proposal_logprob)
    assert total == pytest.approx(1, abs=1e-12)


@pytest.mark.long(quick=1)
@pytest.mark.parametrize("per", ["step", "trajectory"])
def test_trajectories_are_drawn_from_the_mixture(per):
    """4000 trajectories, each cell within 5 standard errors of its probability: with 15 cells a
    right model fails with probability 9e-6. By the formulas the two mixtures are 11 errors
    apart."""
    lm, mixture, n = TableLM(next_probs, eos=EOS), mixed(per), 4000
    heads = [lm.start("?")] * n
    for key in jax.random.split(jax.random.key(5), LENGTH):
        going = [i for i, x in enumerate(heads) if x.open]
        keys = jax.random.split(key, len(going))
        drawn = lm.extend([heads[i] for i in going], keys, sampling=mixture, prior=Sampling())
        for i, x in zip(going, drawn, strict=True):
            heads[i] = x
    found = [x.token_ids for x in heads]
    for x in COMPLETE:
        share = of_trajectory(x, per)
        error = (share * (1 - share) / n) ** 0.5
        assert abs(found.count(x) / n - share) < 5 * error
    assert all(
        x.proposal_logprob == pytest.approx(log(of_trajectory(x.token_ids, per)), abs=1e-9)
        for x in heads[:200]
    )


@pytest.fixture(scope="module")
def pocket():
    return load_lm("pocket", probe=False)


@pytest.mark.long(quick=1)
@pytest.mark.parametrize("per", ["step", "trajectory"])
def test_a_hosted_model_tells_what_each_component_gives(pocket, per):
    """Two steps of eight rows: the terms are those of `logprob` under each sampling by itself, and
    of the rows some are drawn greedily and some are not."""
    mixture, rows = mixed(per), 8
    root = pocket.start("Tom has 3 apples and buys 2 more. How many apples does he have?")
    heads, terms = [root] * rows, np.zeros((rows, 3))
    for key in (jax.random.key(1), jax.random.key(2)):
        before = heads
        keys = jax.random.split(key, rows)
        heads = pocket.extend(before, keys, sampling=mixture, prior=Sampling())
        steps = [x.step_token_ids for x in heads]
        own = np.array([pocket.logprob(before, steps, prior=law) for law in LAWS]).T
        shares = np.log(SHARES) + (terms if per == "trajectory" else np.zeros((rows, 3)))
        norm = np.logaddexp.reduce(shares, axis=1)
        expected = np.logaddexp.reduce(shares + own, axis=1) - norm
        assert [x.step_logprob for x in heads] == pytest.approx(own[:, 2], abs=1e-4)
        assert [x.step_proposal_logprob for x in heads] == pytest.approx(expected, abs=1e-4)
        assert np.array([x.component_logprobs for x in heads]) == pytest.approx(own, abs=1e-4)
        terms += own
    greedy = np.isfinite(terms[:, 0])
    assert greedy.any() and not greedy.all()
    steps = heads[0].path[1:]
    [again] = pocket.continued([root], steps, prior=Sampling(), proposal=mixture)
    assert again.proposal_logprob == pytest.approx(heads[0].proposal_logprob, abs=1e-4)


def test_a_slot_draws_the_same_in_any_company(pocket):
    mixture, keys = mixed("step"), jax.random.split(jax.random.key(3), 6)
    root = pocket.start("How many legs do 3 cats have?")
    together = pocket.extend([root] * 6, keys, sampling=mixture, prior=Sampling())
    alone = pocket.extend([root], keys[4:5], sampling=mixture, prior=Sampling())
    assert alone[0].token_ids == together[4].token_ids


@pytest.mark.parametrize("per", ["step", "trajectory"])
def test_a_result_says_which_components_drew_it(per):
    """By formulas of its own: the posterior of the component of each step, or of the whole."""
    model = StateSpaceModel("?", lm=TableLM(next_probs, eos=EOS), max_steps=LENGTH)
    sampler = ImportanceSampling(particles=20, proposal=mixed(per))
    posterior, expected = sampler.run(model, seed=4), np.zeros(3)
    for x, weight in zip(posterior.trajectories, np.exp(posterior.log_weights), strict=True):
        ids = x.token_ids
        terms = [[one_law(j, ids[:t], ids[t]) for j in range(3)] for t in range(len(ids))]
        rows = SHARES * (np.array(terms) if per == "step" else np.prod(terms, 0, keepdims=True))
        expected += weight * (rows / rows.sum(1, keepdims=True)).mean(0)
    assert posterior.rates["components"] == pytest.approx(expected.tolist(), abs=1e-9)
    assert sum(expected) == pytest.approx(1)


# --- what is refused


def declared(lm) -> StateSpaceModel:
    return StateSpaceModel("?", lm=lm, prm=FunctionReward(lambda x: 0.0), max_steps=3)


@pytest.mark.parametrize("sampler", [ParticleFilter, ImportanceSampling])
def test_one_component_must_cover_the_prior(sampler):
    mixture = Mixture([Sampling(top_k=1), Sampling(top_p=0.9)])
    with pytest.raises(ValueError, match="one component of a mixture must draw all that the prior"):
        sampler(particles=4, proposal=mixture).run(declared(TableLM(next_probs, eos=EOS)))


def test_a_model_that_cannot_tell_refuses_before_it_draws(tmp_path):
    lm = recorded(TableLM(next_probs, eos=EOS), tmp_path / "answers.jsonl")
    with pytest.raises(ValueError, match="does not tell the log-probability of a step under sever"):
        ParticleFilter(particles=4, proposal=mixed("step")).run(declared(lm))
    assert lm.cost.forward_passes == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"components": []}, "at least one"),
        ({"components": [0.5]}, "components must hold Samplings"),
        ({"components": Sampling()}, "components must be a sequence"),
        ({"components": LAWS, "weights": [1, 1]}, "each of the 3 components"),
        ({"components": LAWS, "weights": [1, 1, 0]}, "weights"),
        ({"components": LAWS, "per": "token"}, "per must be one of step, trajectory"),
    ],
)
def test_a_wrong_mixture_is_named(arguments, words):
    with pytest.raises((TypeError, ValueError), match=words):
        Mixture(**arguments)


def test_a_mixture_per_trajectory_needs_its_own_steps():
    lm = TableLM(next_probs, eos=EOS)
    head = lm.start("?").child("0 ", (0,), logprob=-1.0, proposal_logprob=-1.0)
    with pytest.raises(ValueError, match="needs steps that were drawn from it"):
        lm.extend([head], jax.random.split(jax.random.key(0), 1), sampling=mixed("trajectory"))


# --- a run with one


class Stopped(TableLM):
    """Is interrupted at its third pass."""

    def extend(self, trajectories, keys, **settings):
        if self.cost.forward_passes == 2:
            raise KeyboardInterrupt
        return super().extend(trajectories, keys, **settings)


def test_a_run_is_taken_up_with_the_components_of_its_steps(tmp_path):
    """A mixture per trajectory weighs step 3 by what its components gave steps 1 and 2."""

    def model(lm):
        return StateSpaceModel("?", lm=lm, max_steps=5)

    sampler = ParticleFilter(particles=6, ess_threshold=0.9, proposal=mixed("trajectory"))
    file, whole = tmp_path / "state.json", sampler.run(model(TableLM(next_probs, eos=EOS)), seed=2)
    stopped = Stopped(next_probs, eos=EOS)
    with pytest.warns(RuntimeWarning, match="interrupted after 2 steps"):
        sampler.run(model(stopped), seed=2, checkpoint=file)
    stopped.cost += type(stopped.cost)(forward_passes=1)
    again = sampler.run(model(stopped), seed=2, checkpoint=file)
    assert again.log_evidence == whole.log_evidence
    assert np.array_equal(again.log_weights, whole.log_weights)
    assert whole.settings["proposal"]["per"] == "trajectory"
    assert (whole.guarantee, whole.evidence) == ("consistent", "unbiased")
