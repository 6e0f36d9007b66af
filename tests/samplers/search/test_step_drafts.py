"""Samplers whose steps a draft model writes follow the laws that their docstrings derive.

The laws are enumerated here, from the tables of both models, step by step.

A population of N independent trajectories has a total variation from its law of at most
sum_x sqrt(pi(x) (1 - pi(x)) / N) / 2 on average, and is above that by t with a probability of at
most exp(-2 N t^2) (McDiarmid): `far` takes t at 1e-4. The chi-squared test of `fits` has 1e-4 too.

Seen to fail where: a refused draft was replaced by another draft; a kept one was replaced; the
ratio p / q was left out of GSI's choice, or out of its threshold; GSI's refused steps were chosen
evenly; the scores of drafts were those of the step before.
"""

from __future__ import annotations

from collections import Counter
from itertools import product
from math import exp, factorial, log, sqrt

import numpy as np
import pytest
import torch
from searches import DEPTH, EOS, Table, fits, tokens

from motes import models
from motes.models import (
    Capabilities,
    Cost,
    FunctionReward,
    Mixture,
    Sampling,
    StepRule,
    TableLM,
)
from motes.models.reward.digit_reader import Digits
from motes.ppl import StateSpaceModel
from motes.samplers import (
    GSI,
    RSD,
    AllParticlesDead,
    SpecReason,
    make_sampler,
    solve,
    solve_many,
)

N = 1000
TARGET, DRAFT = Table(0), Table(7)
# what a judge that is sure of a digit says, by digit
DIGITS = Digits(tuple(range(10)), "greedy").log_odds(torch.eye(10)).tolist()


def reward(prefix):
    return 1 / (1 + exp(-TARGET.log_odds(prefix)))


def law_of(step_law):
    """The law of whole trajectories from that of a step after a prefix."""
    whole, open_ones = {}, {(): 1.0}
    while open_ones:
        after = {}
        for prefix, mass in open_ones.items():
            for token, p in enumerate(step_law(prefix)):
                x = (*prefix, token)
                closed = token == EOS or len(x) == DEPTH
                (whole if closed else after)[x] = mass * p
        open_ones = after
    return whole


def replaced(prefix, threshold):
    """q(s) h(s) + nu p(s)."""
    p, q = TARGET.next_probs(prefix), DRAFT.next_probs(prefix)
    kept = q * [reward((*prefix, token)) >= threshold for token in range(3)]
    return kept + (1 - kept.sum()) * p


def soft_best(law, weights, n):
    """The law of one of n draws chosen by weight, summed over how often each token comes up."""
    chosen = np.zeros(3)
    for a, b in product(range(n + 1), repeat=2):
        if a + b > n:
            continue
        counts = np.array([a, b, n - a - b])
        ways = factorial(n) / np.prod([float(factorial(int(c))) for c in counts])
        share = counts * weights
        chosen += ways * np.prod(law**counts) * share / share.sum()
    return chosen


def guided(prefix, n, beta, threshold):
    p, q = TARGET.next_probs(prefix), DRAFT.next_probs(prefix)
    r = np.array([reward((*prefix, token)) for token in range(3)])
    tilted = r + np.log(p / q) / beta
    kept = soft_best(q, np.exp(beta * tilted), n) * (tilted >= threshold)
    return kept + (1 - kept.sum()) * soft_best(p, np.exp(beta * r), n)


def far(counts, law):
    """Whether counts are further from a law than their number explains; see the module."""
    n = sum(counts.values())
    usual = sum(sqrt(p * (1 - p) / n) for p in law.values()) / 2
    variation = sum(abs(counts[x] / n - p) for x, p in law.items()) / 2
    return variation > usual + sqrt(log(1e4) / (2 * n))


CASES = [
    (RSD(particles=N, threshold=0.6), lambda prefix: replaced(prefix, 0.6)),
    (RSD(particles=N, threshold=0.3), lambda prefix: replaced(prefix, 0.3)),
    (RSD(particles=N, threshold=1.0), TARGET.next_probs),
    (RSD(particles=N, threshold=0.0), DRAFT.next_probs),
    (
        SpecReason(particles=N, threshold=0.5, first=1),
        lambda prefix: replaced(prefix, 0.5) if prefix else TARGET.next_probs(prefix),
    ),
    (
        GSI(particles=N, candidates=3, inverse_temperature=3.0, threshold=0.55),
        lambda prefix: guided(prefix, 3, 3.0, 0.55),
    ),
    (
        GSI(particles=N, candidates=1, inverse_temperature=2.0, threshold=0.3),
        lambda prefix: guided(prefix, 1, 2.0, 0.3),
    ),
    (
        GSI(particles=N, candidates=2, inverse_temperature=4.0, threshold=-1e9),
        lambda prefix: guided(prefix, 2, 4.0, -1e9),
    ),
]


@pytest.mark.long(quick=3)
@pytest.mark.parametrize(("sampler", "step_law"), CASES)
def test_trajectories_follow_the_law_that_is_derived(sampler, step_law):
    draft = TableLM(DRAFT.next_probs, eos=EOS)
    posterior = make_sampler(sampler.name, **{**vars(sampler), "draft": draft}).run(
        TARGET.model(), seed=1
    )
    counts, law = Counter(tokens(posterior)), law_of(step_law)
    assert sum(law.values()) == pytest.approx(1)
    assert not far(counts, law) and fits(counts, law)
    if step_law not in (TARGET.next_probs, DRAFT.next_probs):  # which the test can tell from others
        for other in (TARGET.next_probs, DRAFT.next_probs):
            assert far(counts, law_of(other)) or not fits(counts, law_of(other))
    assert np.allclose(posterior.log_weights, -log(N))


@pytest.mark.parametrize("threshold", range(1, 10))
def test_a_draft_whose_digit_is_the_threshold_is_kept(threshold):
    """No rounding of d / 9 decides; one less is refused."""
    even = TableLM(lambda prefix: [0.1] * 10, eos=10)
    model = StateSpaceModel(
        "?", lm=even, prm=FunctionReward(lambda x: DIGITS[x.token_ids[0]]), max_steps=1
    )
    for digit in (threshold, threshold - 1):
        draft = TableLM(lambda prefix, digit=digit: np.eye(10)[digit], eos=10)
        posterior = SpecReason(particles=1, draft=draft, threshold=threshold / 9).run(model, seed=0)
        assert posterior.rates["kept_drafts"] == (digit == threshold)


@pytest.mark.long(quick=2)
@pytest.mark.parametrize("threshold", [3, 7])
def test_the_law_with_digits_for_scores(threshold):
    """A judge's digits, one of them the threshold; 0 rules out nothing that p writes."""

    def digit(prefix):
        return (2 * len(prefix) + 3 * prefix[-1] + sum(prefix) * 5) % 10

    judge = FunctionReward(lambda x: DIGITS[digit(x.token_ids)])

    def step_law(prefix):
        p, q = TARGET.next_probs(prefix), DRAFT.next_probs(prefix)
        kept = q * [digit((*prefix, token)) >= threshold for token in range(3)]
        return kept + (1 - kept.sum()) * p

    draft = TableLM(DRAFT.next_probs, eos=EOS)
    sampler = SpecReason(particles=N, draft=draft, threshold=threshold / 9)
    counts = Counter(tokens(sampler.run(TARGET.model(prm=judge), seed=2)))
    law = law_of(step_law)
    assert not far(counts, law) and fits(counts, law)
    digits = {digit((*x[:t], token)) for x in law for t, token in enumerate(x)}
    assert {0, threshold} <= digits


def test_many_drafts_do_not_make_guided_inference_exact():
    """The limit is pi (1[r~ >= u] + nu), at a total variation of nu (1 - nu) from pi."""
    beta, threshold, n = 4.0, 0.5, 120
    apart = []
    for prefix in ((), (0,), (1, 0)):
        p, q = TARGET.next_probs(prefix), DRAFT.next_probs(prefix)
        r = np.array([reward((*prefix, token)) for token in range(3)])
        pi = p * np.exp(beta * r) / (p * np.exp(beta * r)).sum()
        above = r + np.log(p / q) / beta >= threshold
        nu = pi[~above].sum()
        limit = pi * (above + nu)
        assert np.abs(guided(prefix, n, beta, threshold) - limit).sum() < 0.1
        assert np.abs(limit - pi).sum() / 2 == pytest.approx(nu * (1 - nu))
        apart.append(nu * (1 - nu))
    assert max(apart) > 0.05


@pytest.mark.parametrize(
    ("name", "width"), [("rsd", 1), ("spec_reason", 1), ("gsi", 4)], ids=lambda value: str(value)
)
def test_tokens_of_both_models_are_counted_apart(name, width):
    draft, model = TableLM(DRAFT.next_probs, eos=EOS), TARGET.model()
    draft.cost += Cost(generated_tokens=100)  # of somebody else
    sampler = make_sampler(name, particles=50, draft=draft)
    posterior = sampler.run(model, seed=3)
    cost, rates = posterior.cost, posterior.rates
    assert draft.cost.generated_tokens - 100 == cost.draft_tokens == width * rates["drafted_steps"]
    assert (
        model.lm.cost.generated_tokens == cost.generated_tokens == width * rates["rewritten_steps"]
    )
    assert rates["kept_drafts"] + rates["rewritten_steps"] == rates["drafted_steps"]
    written = sum(x.depth for x in posterior.trajectories)
    assert rates["drafted_steps"] == written and 0 < rates["kept_drafts"] < written
    # equal drafts of one batch are read once
    assert 0 < cost.rescored_tokens <= width * written
    assert cost.draft_forward_passes == max(x.depth for x in posterior.trajectories)


@pytest.mark.parametrize("name", ["rsd", "spec_reason", "gsi"])
def test_densities_are_those_of_the_language_model(name):
    draft = TableLM(DRAFT.next_probs, eos=EOS)
    posterior = make_sampler(name, particles=20, draft=draft).run(TARGET.model(), seed=3)
    for x, density in zip(posterior.trajectories, posterior.log_density, strict=True):
        prefixes = [x.token_ids[:t] for t in range(len(x.token_ids))]
        steps = list(zip(prefixes, x.token_ids, strict=True))
        log_p = sum(log(TARGET.next_probs(prefix)[token]) for prefix, token in steps)
        log_r = sum(log(reward((*prefix, token))) for prefix, token in steps)
        assert (x.logprob, density) == (pytest.approx(log_p), pytest.approx(log_p + log_r))


@pytest.mark.parametrize("name", ["rsd", "gsi"])
def test_drafts_that_the_language_model_cannot_write_are_refused(name):
    never_ends = TableLM(lambda prefix: [0.7, 0.3, 0.0], eos=EOS)
    model = TARGET.model(lm=never_ends, prm=FunctionReward(lambda x: 5.0))
    ends = TableLM(lambda prefix: [0.1, 0.1, 0.8], eos=EOS)
    posterior = make_sampler(name, particles=30, draft=ends).run(model, seed=0)
    assert all(x.truncated for x in posterior.trajectories)
    assert np.isfinite(posterior.log_density).all() and posterior.rates["kept_drafts"] > 0


def test_a_step_of_no_reward_is_no_answer():
    draft = TableLM(DRAFT.next_probs, eos=EOS)
    bad = FunctionReward(lambda x: -np.inf if x.token_ids[-1] == 1 else 1.0)
    posterior = RSD(particles=40, draft=draft).run(TARGET.model(prm=bad), seed=0)
    dead = np.array([1 in x.token_ids for x in posterior.trajectories])
    assert dead.any() and np.array_equal(dead, posterior.log_weights == -np.inf)
    with pytest.raises(AllParticlesDead):
        RSD(draft=draft).run(TARGET.model(prm=FunctionReward(lambda x: -np.inf)))


def test_a_language_model_that_drafts_for_itself_is_no_draft_model():
    model = TARGET.model()
    alone = RSD(particles=9).run(model, seed=5)
    same = RSD(particles=9, draft=model.lm).run(model, seed=5)
    assert tokens(alone) == tokens(same) and same.cost.draft_tokens == 0
    assert (
        alone.cost.generated_tokens == alone.rates["drafted_steps"] + alone.rates["rewritten_steps"]
    )


def test_several_questions_have_one_draft_model():
    draft = TableLM(DRAFT.next_probs, eos=EOS)
    made = []

    def loader():
        made.append(1)
        return draft

    model = TARGET.model()
    given = {
        "lm": model.lm,
        "prm": model.prm,
        "max_steps": DEPTH,
        "sampler": "gsi",
        "draft": loader,
    }
    several = solve_many(["a", "b", "c"], seed=2, particles=5, **given)
    alone = [solve(q, seed=(2, i), particles=5, **given) for i, q in enumerate("abc")]
    assert list(map(tokens, several)) == list(map(tokens, alone)) and made == [1]
    for one, other in zip(several, alone, strict=True):
        assert one.cost.draft_tokens == other.cost.draft_tokens > 0
        assert one.cost.generated_tokens == other.cost.generated_tokens
    assert alone[0].settings["draft"] == "table"


def test_a_checkpoint_knows_its_draft_model(tmp_path):
    model, path = TARGET.model(), tmp_path / "run.json"
    sampler = GSI(particles=6, draft=TableLM(DRAFT.next_probs, eos=EOS))
    first = sampler.run(model, checkpoint=path)
    again = GSI(particles=6, draft=TableLM(DRAFT.next_probs, eos=EOS)).run(model, checkpoint=path)
    assert tokens(first) == tokens(again) and first.cost.draft_tokens == again.cost.draft_tokens
    with pytest.raises(ValueError, match="checkpoint of another run: its draft is"):
        GSI(particles=6, draft=TableLM(TARGET.next_probs, eos=EOS)).run(model, checkpoint=path)


def test_a_proposal_is_what_both_models_steps_are_drawn_from():
    """GSI at one draft and a threshold above every r~ writes p at this temperature."""
    hot = Sampling(temperature=3.0)
    sampler = GSI(
        particles=N,
        candidates=1,
        threshold=1e9,
        proposal=hot,
        draft=TableLM(DRAFT.next_probs, eos=EOS),
    )
    counts = Counter(tokens(sampler.run(TARGET.model(), seed=4)))

    def tempered(prefix):
        probs = TARGET.next_probs(prefix) ** (1 / 3)
        return probs / probs.sum()

    assert not far(counts, law_of(tempered)) and fits(counts, law_of(tempered))


class Ruled(TableLM):
    capabilities = Capabilities(scoring=True, step_rule=StepRule(tokens=2))


class Untold(TableLM):
    capabilities = Capabilities(probabilities=False)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"draft": 3}, "draft must be a language model"),
        ({"draft": "no/such/folder/"}, "no/such/folder"),
        ({"draft": lambda: 3}, "draft must be a language model"),
        ({"draft": Ruled(DRAFT.next_probs)}, "ends its steps by another rule"),
        ({"draft": Untold(DRAFT.next_probs)}, "does not tell the probability of its drafts"),
        ({"candidates": 0}, "candidates must be at least 1"),
        ({"inverse_temperature": 0}, "inverse_temperature must be a finite number above 0"),
        ({"threshold": np.nan}, "threshold must be a finite number"),
        ({"proposal": Mixture([Sampling()])}, "proposal cannot be a Mixture in gsi"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(settings, message):
    with pytest.raises((TypeError, ValueError, OSError), match=message):
        make_sampler("gsi", particles=2, **settings).run(TARGET.model())


def test_a_draft_needs_a_language_model_that_reads_it():
    model = TARGET.model(lm=Untold(TARGET.next_probs, eos=EOS))
    with pytest.raises(ValueError, match="no method `logprob` to read what was drafted"):
        RSD(draft=TableLM(DRAFT.next_probs, eos=EOS)).run(model)
    for wrong, message in (({"threshold": 1.5}, "threshold must"), ({"first": -1}, "first must")):
        with pytest.raises(ValueError, match=message):
            SpecReason(**wrong)
    with pytest.raises(ValueError, match="selects by a reward model's scores"):
        RSD().run(TARGET.model(prm=None))


@pytest.mark.slow
def test_a_draft_model_by_its_name():
    lm = models.load_lm("pocket", probe=False)
    posterior = solve(
        "2 + 2 = ?",
        lm=lm,
        prm="pocket",
        sampler="gsi",
        candidates=2,
        particles=2,
        draft="pocket",
        max_steps=1,
    )
    cost = posterior.cost
    # one prompt is read by each of the two
    assert cost.draft_tokens > cost.prompt_tokens > 0 and cost.rescored_tokens > 0
    assert posterior.settings["draft"] == "pocket"
    # the same weights: every p / q is 1
    written = sum(x.depth for x in posterior.trajectories)
    assert posterior.rates["drafted_steps"] == written
