"""The state-space model as a filter sees it: powers, constraints, twists and splices, against sums
written out by hand."""

from __future__ import annotations

from functools import cache
from itertools import product
from math import inf, log

import numpy as np
import pytest

from motes.models import FunctionReward, Sampling, TableLM
from motes.ppl import Final, Odds, Particle, Product, StateSpaceModel, StepwiseModel
from motes.smc import RunKeys
from motes.smc.arrays import objects

EOS, MAX_STEPS = 2, 4


@cache
def next_probs(prefix):
    return np.random.default_rng([8, *prefix]).dirichlet([1.5, 1.5, 0.8])


@cache
def log_odds(prefix):
    return float(np.random.default_rng([9, *prefix]).normal())


def declare(**settings):
    prm = FunctionReward(lambda x: log_odds(x.token_ids))
    defaults = {
        "lm": TableLM(next_probs, eos=EOS),
        "prm": prm,
        "max_steps": MAX_STEPS,
        "stop_at_answer": False,
    }
    return StateSpaceModel("?", **{**defaults, **settings})


def complete():
    every = (
        prefix for length in range(1, MAX_STEPS + 1) for prefix in product(range(3), repeat=length)
    )
    return [x for x in every if EOS not in x[:-1] and (x[-1] == EOS or len(x) == MAX_STEPS)]


def particle(model, tokens, root=None, proposal=None):
    """The particle with these tokens, made by hand."""
    node, proposal = root or model.lm.start("?"), proposal or model.prior
    for t, token in enumerate(tokens):
        law = np.log(next_probs(tokens[:t]))
        ended = {"finished": token == EOS, "truncated": token != EOS and t + 1 == model.max_steps}
        log_p, log_q = (
            float(sampling.log_probs(law)[token]) for sampling in (model.prior, proposal)
        )
        node = node.child(f"{token} ", (token,), logprob=log_p, proposal_logprob=log_q, **ended)
    return Particle(node, tuple(log_odds(tokens[: t + 1]) for t in range(len(tokens))))


def log_r(prefix):
    return -np.logaddexp(0.0, -log_odds(prefix))


def by_hand(model, tokens):
    """log gamma, by formulas of its own."""
    log_p = sum(log(next_probs(tokens[:t])[token]) for t, token in enumerate(tokens))
    prefixes = [tokens[: t + 1] for t in range(len(tokens))]
    match model.likelihood:
        case Product():
            log_l = sum(map(log_r, prefixes))
        case Odds():
            log_l = sum(map(log_odds, prefixes))
        case Final():
            log_l = log_r(tokens)
    return model.alpha * log_p + model.likelihood.beta * log_l


CASES = [
    {},
    {"alpha": 2.5},
    {"target": "odds", "beta": 0.5},
    {"target": "final", "beta": 2.0, "alpha": 0.5},
]


@pytest.mark.parametrize("settings", CASES, ids=str)
def test_densities_and_weights_of_complete_trajectories(settings):
    model, hot = declare(**settings), Sampling(temperature=1.7)
    for tokens in complete():
        x = particle(model, tokens, proposal=hot)
        assert model.log_density(x) == pytest.approx(by_hand(model, tokens))
        assert model.log_excess(x) == pytest.approx(by_hand(model, tokens) - x.trajectory.logprob)
        weight = by_hand(model, tokens) - x.trajectory.proposal_logprob
        assert sum(StepwiseModel(model, hot).log_potentials(x)) == pytest.approx(weight)


@pytest.mark.parametrize("power", [0.0, 0.3, 1.0])
def test_the_tempered_model_lies_between_prior_and_target(power):
    model = declare(alpha=3.0, beta=2.0)
    tempered = model.tempered(power)
    for tokens in complete()[::5]:
        x = particle(model, tokens)
        between = (1 - power) * x.trajectory.logprob + power * by_hand(model, tokens)
        assert tempered.log_density(x) == pytest.approx(between)
    assert declare(prm=None).tempered(0.5).likelihood is None


def test_a_constraint_is_an_indicator_that_is_not_tempered():
    def first_is_not_one(x):
        assert not x.open
        return x.token_ids[0] != 1

    model = declare(constraint=first_is_not_one, alpha=2.0)
    for tempered in (model, model.tempered(0.0)):
        for tokens in complete():
            x = particle(model, tokens)
            expected = (
                -inf
                if tokens[0] == 1
                else declare(alpha=2.0)
                .tempered(0.0 if tempered is not model else 1.0)
                .log_density(x)
            )
            assert tempered.log_density(x) == expected
            assert (sum(StepwiseModel(tempered, model.prior).log_potentials(x)) == -inf) == (
                tokens[0] == 1
            )
    assert model.target_name == "product, prior to the power 2, constrained"


def test_what_twists_of_open_trajectories_cancel_to():
    model = declare()
    twisted = StepwiseModel(
        model,
        model.prior,
        lambda model, t, keys, particles: [0.1 * t + len(x.log_odds) for x in particles],
    )
    plain, keys = StepwiseModel(model, model.prior), RunKeys(3)
    particles, total = twisted.initial(None, 6), np.zeros(6)
    for t in range(1, MAX_STEPS + 1):
        going = [i for i, x in enumerate(particles) if x.trajectory.open]
        if not going:
            break
        moved = twisted.move(t, keys.moves(t, 6, going), [particles[i] for i in going])
        total[going] += twisted.log_potential(t, [particles[i] for i in going], moved)
        for i, x in zip(going, moved, strict=True):
            particles[i] = x
            assert x.log_twist == (0.1 * t + t if x.trajectory.open else 0.0)
            assert sum(
                plain.log_potentials(x._replace(log_twist=0.0))
            ) + x.log_twist == pytest.approx(total[i])


@pytest.mark.parametrize("settings", CASES, ids=str)
def test_splices_are_scored_by_what_they_add_and_rebuilt(settings):
    hot, model = Sampling(temperature=1.7), declare(**settings)
    stepwise, root = StepwiseModel(model, hot), model.lm.start("?")
    ended = [tokens for tokens in complete() if len(tokens) in (3, 4)]
    for tokens in ended[::4]:
        whole = particle(model, tokens, root, hot)
        reference = objects(
            Particle(node, whole.log_odds[:t]) for t, node in enumerate(whole.trajectory.path)
        )
        for t in range(1, len(tokens) + 3):
            pasts = list(
                {x[: t - 1] for x in complete() if len(x) >= t - 1}
                | {x for x in complete() if len(x) < t}
            )
            particles = [particle(model, past, root, hot) for past in pasts]
            if t <= len(tokens):
                particles.append(reference[t - 1])
            values = stepwise.log_splice(t, particles, reference)
            for past, x, value in zip([*pasts, tokens[: t - 1]], particles, values, strict=False):
                joined = past + tokens[t - 1 :]
                if (t > len(tokens)) == x.trajectory.open:
                    assert value == -inf
                    continue
                if t > len(tokens):
                    assert value == 0.0 and stepwise.splice(t, x, reference)[-1] is x
                    continue
                spent = (
                    sum(StepwiseModel(model, hot).log_potentials(x)) + x.trajectory.proposal_logprob
                )
                assert value == pytest.approx(by_hand(model, joined) - spent)
                rebuilt = stepwise.splice(t, x, reference)
                end, expected = rebuilt[-1], particle(model, joined, root, hot)
                assert (
                    len(rebuilt) == len(joined) + 1 and rebuilt[t].trajectory.parent is x.trajectory
                )
                assert end.trajectory.token_ids == joined and end.log_odds == pytest.approx(
                    expected.log_odds
                )
                for name in ("logprob", "proposal_logprob", "finished", "truncated"):
                    assert getattr(end.trajectory, name) == pytest.approx(
                        getattr(expected.trajectory, name)
                    )


def test_a_remainder_that_would_have_ended_sooner_fits_nowhere():
    """With 0 0 an answer is stated: 0 1 2 cannot follow 0, nor 1 2 whatever follows 0 0."""
    model = declare(
        answer=lambda x: "yes" if x.token_ids[-2:] == (0, 0) else None, stop_at_answer=True
    )
    stepwise, root = StepwiseModel(model, model.prior), model.lm.start("?")
    whole = particle(model, (1, 0, 1, 2), root)
    reference = objects(
        Particle(node, whole.log_odds[:t]) for t, node in enumerate(whole.trajectory.path)
    )
    values = stepwise.log_splice(
        2, [particle(model, (0,), root), particle(model, (1,), root)], reference
    )
    assert values[0] == -inf and values[1] > -inf


class Plain:
    """A language model with `logprob` and no more."""

    name = "plain"

    def __init__(self, lm):
        self.start, self.extend, self.logprob, self.cost = lm.start, lm.extend, lm.logprob, lm.cost


@pytest.mark.parametrize("kind", [Plain, lambda lm: lm], ids=["logprob", "continued"])
def test_an_end_by_the_answer_rule_is_not_taken_over_by_a_past_without_answer(kind):
    """The answer is read where the first token was 0 and the last is 1: behind 1 the same remainder
    does not end."""
    model = declare(
        answer=lambda x: (
            "yes" if x.depth > 1 and x.token_ids[0] == 0 and x.token_ids[-1] == 1 else None
        ),
        stop_at_answer=True,
    )
    model = declare(lm=kind(model.lm), answer=model.answer, stop_at_answer=True)
    root = model.lm.start("?")
    whole = particle(model, (0, 1), root)
    last = Particle(model.close(whole.trajectory), whole.log_odds)
    assert last.trajectory.finished
    reference = objects(
        [Particle(root, ()), Particle(whole.trajectory.parent, whole.log_odds[:1]), last]
    )
    for past, fits in (((0,), True), ((1,), False)):
        [value] = StepwiseModel(model, model.prior).log_splice(
            2, [particle(model, past, root)], reference
        )
        assert (value > -inf) == fits


class Untellable:
    """Has no `logprob`."""

    name = "untellable"

    def __init__(self, lm):
        self.start, self.extend, self.cost = lm.start, lm.extend, lm.cost


def test_what_splices_need():
    plain = declare()
    whole = particle(plain, (1, 2))
    reference = objects(
        Particle(node, whole.log_odds[:t]) for t, node in enumerate(whole.trajectory.path)
    )
    with pytest.raises(
        TypeError,
        match=(
            "ancestor sampling needs a language model with a method `logprob`, and 'untellable' "
            "has none"
        ),
    ):
        StepwiseModel(declare(lm=Untellable(plain.lm)), plain.prior).log_splice(
            1, reference[:1], reference
        )
    with pytest.raises(ValueError, match="needs a model without a twist"):
        StepwiseModel(plain, plain.prior, lambda *_: []).log_splice(1, reference[:1], reference)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"alpha": 0}, ValueError, "alpha must be a finite number in .*, not 0"),
        ({"alpha": inf}, ValueError, "alpha must be a finite number in"),
        ({"alpha": True}, TypeError, "alpha must be a number, not True"),
        (
            {"constraint": "no"},
            TypeError,
            "constraint must be a function from a trajectory to a bool",
        ),
    ],
)
def test_bad_declarations(settings, error, message):
    with pytest.raises(error, match=message):
        declare(**settings)
