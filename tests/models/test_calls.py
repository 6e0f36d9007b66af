"""What a user's model returns is checked: certain mistakes are errors that name the model, likely
ones are findings."""

from __future__ import annotations

import math
import random

import jax
import numpy as np
import pytest

import motes
from motes.models import Capabilities, Cost, FunctionReward, Sampling, TableLM, Trajectory, calls
from motes.ppl import StateSpaceModel
from motes.samplers import MajorityVote, ParticleFilter, ParticleGibbs, SuffixMetropolis


class Coin:
    """A plain object of the user's, right in everything: a biased coin, thrown until it shows 1."""

    name = "coin"
    probabilities = (0.7, 0.3)

    def __init__(self):
        self.cost = Cost()

    def start(self, question):
        return Trajectory(question=question)

    def law(self, sampling):
        return sampling.log_probs(np.log(self.probabilities))

    def drawn(self, key, log_q):
        return int(jax.random.uniform(key) > math.exp(log_q[0]))

    def extend(self, trajectories, keys, *, sampling=None, prior=None):
        prior = prior or Sampling()
        log_p, log_q = self.law(prior), self.law(sampling or prior)
        tokens = [self.drawn(key, log_q) for key in keys]
        self.cost += Cost(generated_tokens=len(tokens))
        return [
            self.child(x, token, log_p[token], log_q[token])
            for x, token in zip(trajectories, tokens, strict=True)
        ]

    def child(self, x, token, log_p, log_q):
        return x.child(
            f"{token} ",
            (token,),
            logprob=float(log_p),
            proposal_logprob=float(log_q),
            finished=token == 1,
        )


def declared(lm, prm=None, **settings):
    return StateSpaceModel(
        "?",
        lm=lm,
        prm=prm,
        max_steps=4,
        answer=lambda x: str(x.depth) if x.finished else None,
        **settings,
    )


def check(lm, prm=None, seed=0, **settings):
    return {
        finding.name: finding
        for finding in ParticleFilter(particles=16)
        .run(declared(lm, prm, **settings), seed=seed)
        .check()
    }


def faulty(**methods):
    return type("Faulty", (Coin,), methods)()


def changed(change):
    """A coin whose children are changed before they are returned."""
    return faulty(
        extend=lambda self, *args, **laws: change(Coin.extend(self, *args, **laws), args[0])
    )


def relabelled(child, **fields):
    return child.parent.child(
        child.step_text,
        child.step_token_ids,
        **{"logprob": -1.0, "proposal_logprob": -1.0} | fields,
    )


WRONG = {
    "too few": (
        lambda made, given: made[:1],
        ValueError,
        "one for each of the 16 trajectories, and returned 1",
    ),
    "too many": (lambda made, given: made + made, ValueError, "returned 32"),
    "none": (lambda made, given: None, TypeError, "must return a list of trajectories, not None"),
    "a text": (
        lambda made, given: "0" * len(made),
        TypeError,
        "must return a list of trajectories, not '000",
    ),
    "texts": (
        lambda made, given: ["0"] * len(made),
        TypeError,
        "must return trajectories, made by the method child",
    ),
    "one object": (
        lambda made, given: [made[0]] * len(made),
        ValueError,
        "a child for each trajectory, drawn with a key of its own",
    ),
    "parents": (
        lambda made, given: given,
        ValueError,
        "must return a child of each trajectory, in order",
    ),
    "others' children": (
        lambda made, given: [
            Trajectory(question="!").child("0", (0,), logprob=-1.0, proposal_logprob=-1.0)
            for _ in made
        ],
        ValueError,
        "must return a child of each trajectory, in order",
    ),
    "grandchildren": (
        lambda made, given: [
            relabelled(x).child("0", (0,), logprob=-1.0, proposal_logprob=-1.0) for x in made
        ],
        ValueError,
        "must return a child of each",
    ),
    "positive": (
        lambda made, given: [relabelled(x, logprob=0.7) for x in made],
        FloatingPointError,
        "0.7 under the prior",
    ),
    "positive proposal": (
        lambda made, given: [relabelled(x, proposal_logprob=2) for x in made],
        FloatingPointError,
        "2.0 under the proposal",
    ),
    "impossible": (
        lambda made, given: [relabelled(x, proposal_logprob=-math.inf) for x in made],
        FloatingPointError,
        "-inf under the proposal",
    ),
    "one NaN": (
        lambda made, given: [relabelled(x, logprob=math.nan) for x in made],
        FloatingPointError,
        "nan under the prior",
    ),
    "tokens in a list": (
        lambda made, given: [
            x.parent.child("0", [0], logprob=-1.0, proposal_logprob=-1.0) for x in made
        ],
        TypeError,
        "a tuple of token ids",
    ),
}


@pytest.mark.parametrize(("change", "error", "message"), WRONG.values(), ids=WRONG.keys())
@pytest.mark.parametrize("together", [False, True])
def test_wrong_children_are_errors(change, error, message, together):
    solve = (
        (lambda question, **models: motes.solve_many([question], **models))
        if together
        else motes.solve
    )
    with pytest.raises(error, match=message) as caught:
        solve("?", lm=changed(change), prm=None)
    assert "language model 'coin'" in str(caught.value) and "\n" not in str(caught.value)


def test_children_out_of_order_are_an_error():
    lm = changed(lambda made, given: made[::-1])
    x = lm.start("?")
    a, b = calls.extend(TableLM(lambda prefix: [1.0]), [x, x], jax.random.split(jax.random.key(0)))
    with pytest.raises(ValueError, match="a child of each trajectory, in order"):
        calls.extend(lm, [a, b], jax.random.split(jax.random.key(0)))


@pytest.mark.parametrize("root", ["?", None, Trajectory(question="?", finished=True)])
def test_a_wrong_root_is_an_error(root):
    with pytest.raises(
        TypeError,
        match="start of the language model 'coin' must return an open Trajectory without steps",
    ):
        motes.solve("?", lm=faulty(start=lambda self, question: root), prm=None)


@pytest.mark.parametrize(
    "extend",
    [lambda self, trajectories, keys: [], lambda self, trajectories, keys, sampling=None: []],
)
def test_extend_must_take_the_laws(extend):
    with pytest.raises(
        TypeError,
        match=r"extend of the language model 'coin' must take .* has no (sampling nor )?prior",
    ):
        motes.solve("?", lm=faulty(extend=extend), prm=None)


@pytest.mark.parametrize(("name", "value"), [("name", None), ("cost", 0)])
def test_name_and_cost_are_what_they_must_be(name, value):
    lm = Coin()
    setattr(lm, name, value)
    with pytest.raises(TypeError, match=f"the attribute {name} of lm must be a"):
        motes.solve("?", lm=lm, prm=None)


def test_a_good_model_raises_no_doubt():
    cold = Sampling(temperature=0.5)
    for settings in ({}, {"prior": cold}):
        assert not {"suspect language model"} & check(Coin(), **settings).keys()
    posterior = ParticleFilter(particles=16, proposal=cold).run(declared(Coin()), seed=0)
    assert "doubts" not in posterior.settings


def ignoring(*laws):
    """A coin that does as if it had not been told of these laws."""
    return faulty(
        extend=lambda self, *args, **given: Coin.extend(
            self, *args, **{k: v for k, v in given.items() if k not in laws}
        )
    )


@pytest.mark.parametrize(
    "law",
    [Sampling(temperature=0.5), Sampling(temperature=3.0), Sampling(top_k=1), Sampling(top_p=0.5)],
)
def test_a_model_that_ignores_its_prior_is_found_out(law):
    finding = check(ignoring("sampling", "prior"), prior=law)["suspect language model"]
    assert (
        "'coin' draws the same steps with the same probabilities" in finding.seen
        and repr(law) in finding.seen
    )


@pytest.mark.parametrize(
    "sampler",
    [
        ParticleFilter(particles=8),
        SuffixMetropolis(iterations=4, warmup=0),
        MajorityVote(samples=8),
    ],
)
def test_every_sampler_finds_it(sampler):
    posterior = sampler.run(
        declared(ignoring("sampling", "prior"), prior=Sampling(temperature=0.5)), seed=0
    )
    assert "suspect language model" in {finding.name for finding in posterior.check()}


def test_a_model_that_ignores_the_proposal_is_found_out():
    posterior = ParticleFilter(particles=16, proposal=Sampling(temperature=0.5)).run(
        declared(ignoring("sampling")), seed=0
    )
    assert "ignore sampling" in posterior.settings["doubts"][0]


def test_what_an_earlier_run_showed_of_another_law_is_not_held_against_this_one():
    lm = ignoring("sampling", "prior")
    check(lm, prior=Sampling(temperature=0.5))
    assert "suspect language model" not in check(lm)


def test_a_model_of_one_law_says_so():
    lm = faulty(capabilities=Capabilities(sampling=False))
    assert "suspect language model" not in check(lm)
    with pytest.raises(
        ValueError,
        match=(
            r"prior and proposal must be Sampling\(\) for the language model 'coin', not "
            r"Sampling\(temp"
        ),
    ):
        declared(lm, prior=Sampling(temperature=0.5))
    with pytest.raises(ValueError, match=r"must be Sampling\(\) for the language model 'coin'"):
        ParticleFilter(particles=4, proposal=Sampling(top_k=1)).run(declared(lm), seed=0)
    with pytest.raises(TypeError, match="capabilities of .* must be a Capabilities, not True"):
        declared(faulty(capabilities=True))


def test_slots_that_share_a_key_are_found_out():
    def drawn(self, key, log_q):
        return int(random.Random(0).random() > math.exp(log_q[0]))  # the same in every slot

    finding = check(faulty(drawn=drawn))["suspect language model"]
    assert "drew the same step in every slot" in finding.seen
    with pytest.raises(ValueError, match=r"extend must draw step i with keys\[i\]"):
        ParticleFilter(particles=200).run(declared(faulty(drawn=drawn)), seed=0)


def test_a_certain_step_is_no_coincidence():
    assert "suspect language model" not in check(
        faulty(probabilities=(1e-12, 1 - 1e-12)), prior=Sampling(temperature=0.9)
    )


class Scorer(Coin):
    def logprob(self, trajectories, continuations, *, prior=None):
        return self.values(trajectories)


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        (lambda xs: [0.5] * len(xs), FloatingPointError, "'coin' gave the log-probability 0.5"),
        (
            lambda xs: [math.nan] * len(xs),
            FloatingPointError,
            "'coin' gave the log-probability nan",
        ),
        (
            lambda xs: [-1.0],
            ValueError,
            r"logprob of the language model 'coin' gave values of shape \(1,\) for 3",
        ),
        (
            lambda xs: ["-1.0"] * len(xs),
            TypeError,
            "logprob of the language model 'coin' must give numbers",
        ),
        (lambda xs: None, TypeError, "must give numbers, not None"),
    ],
)
def test_wrong_scores_of_texts(values, error, message):
    lm = Scorer()
    lm.values = values
    root = lm.start("?")
    step = root.child("0", (0,), logprob=-1.0, proposal_logprob=-1.0)
    with pytest.raises(error, match=message):
        calls.continued(lm, [root] * 3, [step], prior=Sampling(), proposal=Sampling())
    with pytest.raises(error, match="language model 'coin'"):
        ParticleGibbs(chains=2, ancestor_sampling=True, ess_threshold=1.0, iterations=20).run(
            declared(lm), seed=0
        )


class Judge:
    name, cost = "judge", Cost()

    def __init__(self, score):
        self.score = score


JUDGES = {
    "truths": (lambda xs: [True] * len(xs), TypeError, "True or False where log-odds are meant"),
    "one truth": (
        lambda xs: [0.5] * (len(xs) - 1) + [False],
        TypeError,
        "True or False where log-odds are meant",
    ),
    "array of truths": (
        lambda xs: np.ones(len(xs), bool),
        TypeError,
        "True or False where log-odds are meant",
    ),
    "NaN": (
        lambda xs: [math.nan] * len(xs),
        FloatingPointError,
        "gave a score that is NaN for <Trajectory",
    ),
    "texts": (lambda xs: ["0.5"] * len(xs), TypeError, "must give numbers"),
    "none": (lambda xs: [None] * len(xs), TypeError, "must give numbers"),
    "too few": (lambda xs: [0.5], ValueError, r"gave values of shape \(1,\) for"),
    "columns": (lambda xs: [[0.5]] * len(xs), ValueError, "one number for each is needed"),
    "ragged": (lambda xs: [[0.5], [0.5, 1.0]] + [0.1] * len(xs), TypeError, "must give numbers"),
    "huge": (lambda xs: [10**400] * len(xs), TypeError, "must give numbers"),
}


@pytest.mark.parametrize(("score", "error", "message"), JUDGES.values(), ids=JUDGES.keys())
@pytest.mark.parametrize("many", [False, True])
def test_wrong_scores_are_errors(score, error, message, many):
    solve = (lambda *q, **k: motes.solve_many([*q, *q], **k)) if many else motes.solve
    with pytest.raises(error, match=message) as caught:
        solve("?", lm=faulty(probabilities=(0.5, 0.5)), prm=Judge(score))
    assert "reward model 'judge'" in str(caught.value)


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (True, TypeError, "from_probability"),
        (np.False_, TypeError, "from_probability"),
        ("0.5", TypeError, "must give a number, not '0.5'"),
        (None, TypeError, "must give a number, not None"),
        (10**400, TypeError, "must give a number"),
        (math.nan, FloatingPointError, "a score that is NaN"),
    ],
)
def test_a_function_that_gives_no_log_odds(value, error, message):
    with pytest.raises(error, match=message):
        FunctionReward(lambda x: value).score([Trajectory(question="?")])


def test_rewards_from_probabilities():
    root = Trajectory(question="?")
    values = (0, 0.25, 0.5, 1 - 1e-16, 1, True, False, np.float32(0.75), np.True_, 1e-320)
    expected = [
        -math.inf,
        -math.log(3),
        0.0,
        math.log(2.0**53 - 1),
        math.inf,
        math.inf,
        -math.inf,
        math.log(3),
        math.inf,
    ]
    scores = [
        FunctionReward.from_probability(lambda x, value=value: value).score([root])[0]
        for value in values
    ]
    assert scores[:-1] == pytest.approx(expected, rel=1e-12) and scores[-1] == pytest.approx(
        -736.8, abs=0.1
    )
    for value in (1.1, -0.1, math.nan, math.inf, "0.5", None, 10**400):
        with pytest.raises(
            ValueError, match=r"the reward model 'function' must give a probability in \[0, 1\]"
        ):
            FunctionReward.from_probability(lambda x, value=value: value).score([root])


@pytest.mark.parametrize("values", [(0.2, 0.9), (1.0, 0.0), (1.0, 1.0)])
def test_probabilities_taken_for_log_odds_are_a_finding(values):
    finding = check(Coin(), FunctionReward(lambda x: values[x.token_ids[-1]]))[
        "scores like probabilities"
    ]
    assert "FunctionReward.from_probability" in finding.change
    right = check(
        Coin(), FunctionReward.from_probability(lambda x: values[x.token_ids[-1]] or 0.01)
    )
    assert "scores like probabilities" not in right


@pytest.mark.parametrize("values", [(0.0, 0.0), (0.5, -0.5), (0.2, 3.0)])
def test_log_odds_are_none(values):
    assert "scores like probabilities" not in check(
        Coin(), FunctionReward(lambda x: values[x.token_ids[-1]])
    )
