"""The particle filter as a user meets it: reproducible, honest about itself, clear about
bad input."""

import warnings
from dataclasses import replace
from functools import cache
from itertools import pairwise

import jax
import numpy as np
import pytest

from motes.models import FunctionReward, Sampling, TableLM
from motes.ppl import StateSpaceModel
from motes.samplers import AllParticlesDead, ParticleFilter

EOS = 2


@cache
def next_probs(prefix):
    return np.random.default_rng([3, *prefix]).dirichlet([1.5, 1.5, 1.0])


@cache
def _log_odds(prefix):
    return np.random.default_rng([4, *prefix]).normal()


def log_odds(x):
    return _log_odds(x.token_ids)


def declare(**settings):
    defaults = {
        "lm": TableLM(next_probs, eos=EOS),
        "prm": FunctionReward(log_odds),
        "max_steps": 5,
        "answer": lambda x: str(x.token_ids[0]),
        "stop_at_answer": False,
    }
    return StateSpaceModel("?", **{**defaults, **settings})


def same(first, second) -> bool:
    return (
        [x.token_ids for x in first.trajectories] == [x.token_ids for x in second.trajectories]
        and np.array_equal(first.log_weights, second.log_weights)
        and first.log_evidence == second.log_evidence
        and all(np.array_equal(a, b) for a, b in zip(first.history, second.history, strict=True))
    )


def test_same_seed_same_bits():
    sampler = ParticleFilter(particles=30)
    first, second, other = (sampler.run(declare(), seed=seed) for seed in (8, 8, 9))
    assert same(first, second)
    assert not same(first, other)


class Rebatched(TableLM):
    """Extends in two calls, last slots first."""

    def extend(self, trajectories, keys, **settings):
        half = len(trajectories) // 2
        behind = super().extend(trajectories[half:], keys[half:], **settings)
        return super().extend(trajectories[:half], keys[:half], **settings) + behind


def test_results_do_not_depend_on_batching():
    sampler = ParticleFilter(particles=30, ess_threshold=0.9)
    whole = sampler.run(declare(), seed=1)
    assert whole.history.resampled.any()
    assert same(whole, sampler.run(declare(lm=Rebatched(next_probs, eos=EOS)), seed=1))


def test_two_children_of_one_parent_draw_independently():
    """Of two slots that descend from one particle, as many agree on the next token as independent
    draws would, within 5 standard errors (a right filter fails with probability 6e-7; siblings that
    shared their keys would always agree).
    """
    surprises = []
    for seed in range(150):
        posterior = ParticleFilter(particles=8, ess_threshold=1).run(
            declare(max_steps=2), seed=seed
        )
        siblings = pairwise(x for x in posterior.trajectories if x.depth == 2)
        # one a run: a run's pairs are dependent
        pair = next(((x, y) for x, y in siblings if x.token_ids[0] == y.token_ids[0]), None)
        if pair:
            agree = pair[0].token_ids == pair[1].token_ids
            surprises.append(agree - np.sum(next_probs(pair[0].token_ids[:1]) ** 2))
    assert len(surprises) > 100
    assert abs(np.mean(surprises)) < 5 * np.std(surprises) / np.sqrt(len(surprises))


def exact_log_evidence(model) -> float:
    def mass(x):
        if x.parent and not (x.token_ids[-1] != EOS and x.depth < 5):
            return 1.0
        probs = next_probs(x.token_ids)
        children = [x.child("", (v,), logprob=0.0, proposal_logprob=0.0) for v in range(3)]
        return sum(
            p * mass(child) / (1 + np.exp(-log_odds(child)))
            for p, child in zip(probs, children, strict=True)
        )

    return float(np.log(mass(model.lm.start("?"))))


@pytest.mark.long(quick=1)
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"ess_threshold": 0.0},
        {"proposal": Sampling(temperature=1.5)},
        {"resampling": "residual"},
    ],
)
def test_evidence_agrees_with_enumeration(settings):
    """Ten runs, filters and importance sampling alike, within 6 of their own standard errors on the
    natural scale (Student's t with 9
    degrees of freedom: a right filter fails one of the four with probability 8e-4)."""
    model, sampler = declare(), ParticleFilter(particles=400, **settings)
    ratios = np.exp(
        [
            sampler.run(model, seed=seed).log_evidence - exact_log_evidence(model)
            for seed in range(10)
        ]
    )
    error = ratios.std(ddof=1) / np.sqrt(10)
    assert error < 0.03
    assert abs(ratios.mean() - 1) < 6 * error


def test_posterior_carries_everything():
    model = declare()
    posterior = ParticleFilter(particles=12, ess_threshold=0.9).run(model, seed=2)
    assert (
        posterior.question == "?"
        and posterior.sampler == "particle_filter"
        and posterior.target == "product"
    )
    assert (posterior.guarantee, posterior.evidence) == ("consistent", "unbiased")
    assert posterior.log_evidence == pytest.approx(posterior.history.log_increments.sum())
    assert np.exp(posterior.log_weights).sum() == pytest.approx(1, abs=1e-12)
    for x, path, answer in zip(
        posterior.trajectories, posterior.log_odds, posterior.extracted, strict=True
    ):
        assert path == pytest.approx([log_odds(node) for node in x.path[1:]])
        assert answer == (str(x.token_ids[0]) if x.finished else None)
    assert posterior.settings["seed"] == 2 and posterior.settings["particles"] == 12


def test_cost_counts_this_run_and_every_generated_token_once():
    model = declare()
    sampler = ParticleFilter(particles=12)
    first, second = sampler.run(model, seed=0), sampler.run(model, seed=0)
    cost = first.cost
    assert cost == replace(second.cost, seconds=cost.seconds)
    # without resampling in between, what was generated is what the trajectories say
    posterior = ParticleFilter(particles=12, ess_threshold=0).run(model, seed=0)
    assert posterior.cost.generated_tokens == sum(x.depth for x in posterior.trajectories)
    distinct = {node.token_ids for x in posterior.trajectories for node in x.path[1:]}
    assert posterior.cost.prm_tokens == len(distinct) < posterior.cost.generated_tokens
    assert 0 < posterior.cost.seconds < 60


@pytest.mark.parametrize(
    ("prior", "proposal", "guarantee", "evidence"),
    [
        (Sampling(), Sampling(temperature=0.5), "consistent", "unbiased"),
        (Sampling(), Sampling(top_k=2), "heuristic", "none"),
        (Sampling(), Sampling(top_p=0.9), "heuristic", "none"),
        (Sampling(top_k=2), None, "consistent", "unbiased"),
        (Sampling(top_k=2), Sampling(), "consistent", "unbiased"),
    ],
)
def test_guarantee_follows_the_proposals_support(prior, proposal, guarantee, evidence):
    posterior = ParticleFilter(particles=20, proposal=proposal).run(declare(prior=prior))
    assert (posterior.guarantee, posterior.evidence) == (guarantee, evidence)


def test_all_dead_is_an_error_that_names_the_step():
    prm = FunctionReward(lambda x: -np.inf if x.depth == 2 else 0.0)
    model = declare(lm=TableLM(lambda prefix: [0.5, 0.5, 0.0], eos=EOS), prm=prm)
    with pytest.raises(AllParticlesDead, match="all 5 particles are dead at step 2") as death:
        ParticleFilter(particles=5).run(model)
    assert death.value.step == 2


class Interrupting(TableLM):
    """The user presses Ctrl-C while the language model works on its third batch."""

    def __init__(self, at):
        super().__init__(next_probs, eos=EOS)
        self.left = at

    def extend(self, *args, **settings):
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt
        return super().extend(*args, **settings)


def test_an_interrupt_keeps_what_is_done_and_says_so():
    with pytest.warns(RuntimeWarning, match="interrupted after 2 steps"):
        posterior = ParticleFilter(particles=10).run(declare(lm=Interrupting(at=3)), seed=0)
    whole = ParticleFilter(particles=10).run(declare(max_steps=2), seed=0)
    assert [x.token_ids for x in posterior.trajectories] == [
        x.token_ids for x in whole.trajectories
    ]
    assert (posterior.guarantee, posterior.evidence, posterior.log_evidence) == (
        "heuristic",
        "none",
        None,
    )
    assert any(x.open for x in posterior.trajectories)
    assert all(
        answer is None
        for x, answer in zip(posterior.trajectories, posterior.extracted, strict=True)
        if x.open
    )
    assert posterior.settings["stopped"] == "interrupt"


def test_an_interrupt_before_the_first_step_is_an_interrupt():
    with pytest.raises(KeyboardInterrupt):
        ParticleFilter(particles=10).run(declare(lm=Interrupting(at=1)))


def test_progress_is_shown_only_when_asked_for(capsys):
    ParticleFilter(particles=4).run(declare())
    assert capsys.readouterr().err == ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tqdm's, about widgets, where a notebook is assumed
        ParticleFilter(particles=4).run(declare(), progress=True)
    assert "particle filter" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"particles": 0}, ValueError, "particles must be at least 1, not 0"),
        ({"particles": -3}, ValueError, "particles must be at least 1, not -3"),
        ({"particles": 2.5}, TypeError, "particles must be an integer, not 2.5"),
        ({"particles": True}, TypeError, "particles must be an integer, not True"),
        ({"resampling": "systemic"}, ValueError, "resampling must be one of systematic"),
        ({"ess_threshold": 1.5}, ValueError, "ess_threshold must be a number in"),
        ({"proposal": 0.7}, TypeError, "proposal must be a Sampling, a Mixture or None, not 0.7"),
    ],
)
def test_bad_settings(settings, error, message):
    with pytest.raises(error, match=message):
        ParticleFilter(**settings)


def test_a_filter_runs_on_a_declared_model_only():
    with pytest.raises(TypeError, match="model must be a StateSpaceModel"):
        ParticleFilter().run("what is 2 + 2?")


def test_numpy_integers_are_particles():
    assert len(ParticleFilter(particles=np.int64(3)).run(declare()).trajectories) == 3


def test_keys_reach_the_language_model_as_jax_keys():
    class Watching(TableLM):
        def extend(self, trajectories, keys, **settings):
            assert jax.dtypes.issubdtype(keys.dtype, jax.dtypes.prng_key)
            assert keys.shape == (len(trajectories),)
            return super().extend(trajectories, keys, **settings)

    ParticleFilter(particles=3).run(declare(lm=Watching(next_probs, eos=EOS)))
