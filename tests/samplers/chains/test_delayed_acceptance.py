"""Delayed acceptance as it is used: what it counts and reports, and what it refuses.

Its kernel is enumerated in `test_kernels_exact`. Long chains are held against the exact posterior
by their means over independent chains.
"""

from __future__ import annotations

from functools import cache
from itertools import product
from math import exp, log

import numpy as np
import pytest

from motes import solve, solve_many
from motes.diagnostics.findings import check
from motes.models import Capabilities, Cost, FunctionReward, Mixture, Sampling, StepRule, TableLM
from motes.ppl import StateSpaceModel
from motes.samplers import DelayedAcceptance, SuffixMetropolis
from motes.smc import RunKeys

EOS, DEPTH = 2, 3


@cache
def next_probs(prefix):
    return np.random.default_rng([161, *prefix]).dirichlet([1.5, 1.5, 1.0])


@cache
def draft_probs(prefix):
    return (next_probs(prefix) + np.random.default_rng([163, *prefix]).dirichlet([2, 2, 1])) / 2


@cache
def log_odds(prefix):
    return float(np.random.default_rng([167, *prefix]).normal(0, 1.5))


@cache
def cheap_log_odds(prefix):
    return log_odds(prefix) + float(np.random.default_rng([173, *prefix]).normal(0, 0.5))


def declared(**settings):
    defaults = {
        "lm": TableLM(next_probs, eos=EOS),
        "prm": FunctionReward(lambda x: log_odds(x.token_ids)),
        "max_steps": DEPTH,
        "answer": lambda x: str(x.token_ids[0]),
        "stop_at_answer": False,
    }
    return StateSpaceModel("?", **{**defaults, **settings})


def drafting(**changes):
    return TableLM(draft_probs, eos=EOS, **changes)


def cheap_prm():
    return FunctionReward(lambda x: cheap_log_odds(x.token_ids), name="cheap")


def whole():
    every = (x for n in range(1, DEPTH + 1) for x in product(range(3), repeat=n))
    return [x for x in every if EOS not in x[:-1] and (x[-1] == EOS or len(x) == DEPTH)]


def log_densities(probs, odds):
    return {
        x: sum(log(probs(x[:t])[x[t]]) - log(1 + exp(-odds(x[: t + 1]))) for t in range(len(x)))
        for x in whole()
    }


def normalised(values):
    total = np.logaddexp.reduce(list(values.values()))
    return {x: exp(value - total) for x, value in values.items()}


PI = normalised(log_densities(next_probs, log_odds))


@pytest.mark.long(quick=1)
@pytest.mark.parametrize("settings", [{"cheap_prm": cheap_prm(), "draft_moves": 2}, {}])
def test_long_chains_follow_the_posterior(settings):
    sampler = DelayedAcceptance(draft=drafting(), chains=24, iterations=60, warmup=30, **settings)
    posterior = sampler.run(declared(), seed=3)
    drawn = np.array([list(PI).index(x.token_ids) for x in posterior.trajectories]).reshape(24, 60)
    shares = (drawn[..., None] == np.arange(len(PI))).mean(axis=1)  # independent chains
    law = np.array(list(PI.values()))
    often = law > 0.05
    errors = shares.std(axis=0, ddof=1) / np.sqrt(len(shares))
    z = (shares.mean(axis=0) - law)[often] / errors[often]
    assert len(z) > 4 and np.abs(z).max() < 5  # Student's t with 23 degrees: 5e-5 each
    logs = [log(PI[x.token_ids]) for x in posterior.trajectories]
    assert np.ptp(posterior.log_density - logs) < 1e-9


@pytest.mark.slow
def test_a_start_is_drawn_from_the_posterior_and_not_from_the_draft():
    """Of 60 starts about half are 1 under the model, and a tenth under the draft: 15 to 45 miss
    the first once in 10,000 runs, and are met by the second once in 500."""
    model, draft = coins(0.5), coins(0.1)
    sampler = DelayedAcceptance(draft=draft.lm, chains=60, starts=32)
    states = sampler.bind(model, RunKeys(5)).begin().current
    assert 15 <= sum(state.full.trajectory.token_ids[0] for state in states) <= 45


def coins(p):
    """A model that answers 1 with probability p, and 0 else."""
    lm = TableLM(lambda prefix: [0.0, 0.0, 1.0] if prefix else [1 - p, p, 0.0], eos=EOS)
    return declared(lm=lm, prm=None)


def test_tokens_are_counted_by_model():
    draft, cheap, model = drafting(), cheap_prm(), declared()
    draft.cost += Cost(generated_tokens=100)  # of somebody else
    sampler = DelayedAcceptance(draft=draft, cheap_prm=cheap, chains=3, iterations=30)
    posterior = sampler.run(model, seed=1)
    cost = posterior.cost
    assert cost.generated_tokens == model.lm.cost.generated_tokens == 0
    assert cost.rescored_tokens == model.lm.cost.rescored_tokens > 0
    drafted = draft.cost.generated_tokens - 100
    assert cost.draft_tokens == drafted + cheap.cost.prm_tokens
    assert cost.draft_forward_passes == draft.cost.forward_passes + cheap.cost.prm_forward_passes
    # what is read is what was promoted, from its first new step on
    assert cost.prm_tokens == model.prm.cost.prm_tokens == cost.rescored_tokens < drafted
    assert posterior.settings["draft"] == "table" and posterior.settings["cheap_prm"] == "cheap"


def test_the_language_model_reads_less_than_plain_chains_write():
    settings = {"chains": 4, "iterations": 50, "warmup": 0}
    plain = SuffixMetropolis(**settings).run(declared(), seed=2).cost
    delayed = DelayedAcceptance(draft=drafting(), **settings).run(declared(), seed=2)
    assert delayed.cost.rescored_tokens < 0.75 * plain.generated_tokens
    assert all(0 < share < 1 for share in delayed.rates["promoted"])


def test_rates_are_those_of_the_stages():
    posterior = DelayedAcceptance(draft=drafting(), chains=2, iterations=150).run(declared())
    rates = posterior.rates
    for all_of_it, first, second in zip(
        rates["acceptance"], rates["promoted"], rates["accepted_of_promoted"], strict=True
    ):
        assert all_of_it == pytest.approx(first * second) and 0 < second < 1
    cheap = normalised(log_densities(draft_probs, log_odds))
    ratios = {x: log(PI[x] / cheap[x]) for x in PI}
    often = max(ratio for x, ratio in ratios.items() if PI[x] > 0.05)  # these were all met
    assert often - 0.15 < rates["largest_log_weight"] < max(ratios.values()) + 0.15
    assert "draft misses the target" not in {finding.name for finding in check(posterior)}


@pytest.mark.parametrize("draft", [None, TableLM(next_probs, eos=EOS)])
def test_a_draft_that_is_the_model_is_always_accepted(draft):
    posterior = DelayedAcceptance(draft=draft, chains=2, iterations=50).run(declared(), seed=4)
    assert posterior.rates["accepted_of_promoted"] == [1.0, 1.0]
    assert posterior.rates["largest_log_weight"] == pytest.approx(0, abs=1e-12)


def test_what_draft_and_plain_chains_draw_is_the_same_where_they_are_one():
    settings = {"chains": 2, "iterations": 10}
    plain = SuffixMetropolis(**settings).run(declared(), seed=4)
    posterior = DelayedAcceptance(**settings, starts=4).run(declared(), seed=4)
    assert [x.token_ids for x in posterior.trajectories] == [
        x.token_ids for x in plain.trajectories
    ]


@pytest.mark.slow
def test_a_draft_that_makes_too_little_of_the_target_is_found():
    """The model answers 1 half of the time, the draft once in a hundred: of w = 50."""
    sampler = DelayedAcceptance(draft=coins(0.01).lm, chains=4, iterations=150)
    posterior = sampler.run(coins(0.5), seed=0)
    assert posterior.rates["largest_log_weight"] == pytest.approx(log(50), abs=1)
    finding = {each.name: each for each in check(posterior)}["draft misses the target"]
    assert "times as probable as the draft does" in finding.seen
    near = DelayedAcceptance(draft=coins(0.4).lm, chains=4, iterations=150)
    found = check(near.run(coins(0.5), seed=0))
    assert "draft misses the target" not in {each.name for each in found}


def test_several_questions_have_one_draft_and_one_cheap_reward():
    made = []

    def draft():
        made.append("draft")
        return drafting()

    def cheap():
        made.append("cheap")
        return cheap_prm()

    model = declared()
    given = {
        "lm": model.lm,
        "prm": model.prm,
        "max_steps": DEPTH,
        "sampler": "delayed_acceptance",
        "draft": draft,
        "cheap_prm": cheap,
        "chains": 2,
        "iterations": 5,
    }
    several = solve_many(["a", "b"], seed=2, **given)
    alone = [solve(q, seed=(2, i), **given) for i, q in enumerate("ab")]
    assert made == ["draft", "cheap"]
    for one, other in zip(several, alone, strict=True):
        assert [x.token_ids for x in one.trajectories] == [x.token_ids for x in other.trajectories]
        assert one.cost.draft_tokens == other.cost.draft_tokens > 0
        assert one.cost.rescored_tokens == other.cost.rescored_tokens


def test_a_checkpoint_knows_its_models_and_a_budget_counts_what_is_read(tmp_path):
    path, settings = tmp_path / "run.json", {"chains": 2, "iterations": 6}
    model = declared()
    first = DelayedAcceptance(draft=drafting(), **settings).run(model, checkpoint=path)
    again = DelayedAcceptance(draft=drafting(), **settings).run(model, checkpoint=path)
    assert [x.token_ids for x in first.trajectories] == [x.token_ids for x in again.trajectories]
    assert first.rates == again.rates
    for changed, what in (
        ({"draft": TableLM(next_probs, eos=EOS)}, "draft"),
        ({"draft": drafting(), "cheap_prm": cheap_prm()}, "cheap_prm"),
    ):
        with pytest.raises(ValueError, match=f"checkpoint of another run: its {what} is"):
            DelayedAcceptance(**changed, **settings).run(model, checkpoint=path)
    bounded = DelayedAcceptance(draft=drafting(), chains=2, warmup=0, budget=60)
    posterior = bounded.run(model, seed=1)
    assert posterior.settings["stopped"] == "budget" and posterior.guarantee == "invariant"
    assert 60 <= posterior.cost.rescored_tokens < 60 + 2 * DEPTH


def test_a_mixture_may_write_the_drafts():
    mixture = Mixture([Sampling(temperature=0.6), Sampling()], weights=[1, 1])
    sampler = DelayedAcceptance(draft=drafting(), proposal=mixture, chains=2, iterations=10)
    posterior = sampler.run(declared(), seed=1)
    assert posterior.guarantee == "invariant" and np.isfinite(posterior.log_density).all()


class Ruled(TableLM):
    capabilities = Capabilities(scoring=True, step_rule=StepRule(tokens=2))


class Untold(TableLM):
    capabilities = Capabilities(probabilities=False)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"draft": 3}, "draft must be a language model"),
        ({"draft": "no/such/folder/"}, "no/such/folder"),
        ({"draft": Ruled(draft_probs)}, "ends its steps by another rule"),
        ({"draft": Untold(draft_probs)}, "does not tell the probability of its drafts"),
        ({"cheap_prm": 3}, "cheap_prm must be a reward model"),
        ({"cheap_prm": lambda: 3}, "cheap_prm must be a reward model"),
        ({"cheap_prm": "no/such/folder/"}, "no/such/folder"),
        ({"draft_moves": 0}, "draft_moves must be at least 1"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(settings, message):
    with pytest.raises((TypeError, ValueError, OSError), match=message):
        DelayedAcceptance(chains=1, iterations=1, **settings).run(declared())


def test_what_cannot_be_screened_is_refused():
    with pytest.raises(ValueError, match="cheap_prm must be None where the model has no reward"):
        DelayedAcceptance(cheap_prm=cheap_prm()).run(declared(prm=None))
    with pytest.raises(ValueError, match="no method `logprob` to read what was drafted"):
        DelayedAcceptance(draft=drafting()).run(declared(lm=Untold(next_probs, eos=EOS)))


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{"draft": "pocket"}, {"draft": "pocket", "alpha": 2.0}])
def test_on_the_pocket(settings):
    """The same weights, loaded twice: what is read has the probability that it was written with,
    up to rounding, and each model reads the prompt once."""
    posterior = solve(
        "Ann owns 3 hats. Ben has 2 more than Ann. How many hats does Ben have?",
        lm="pocket",
        prm="pocket",
        sampler="delayed_acceptance",
        chains=2,
        iterations=4,
        warmup=0,
        **settings,
    )
    cost = posterior.cost
    assert posterior.settings["draft"] == "pocket" and posterior.guarantee == "invariant"
    assert cost.generated_tokens == 0 < cost.rescored_tokens and cost.draft_tokens > 0
    assert abs(posterior.rates["largest_log_weight"]) < 1e-3
    assert all(share in (1.0, None) for share in posterior.rates["accepted_of_promoted"])
