"""Thoughts cut at several depths: the law of each depth, enumerated, and what is refused.

Shares of n thoughts are held against the enumerated law by their standard error over thoughts: a z
above 4.6 has a probability of about 4e-6 for each of the three. Seen to fail where a thought was
cut one step later, where the end was not written, and where the last depth was cut too.
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from math import isnan

import numpy as np
import pytest

from motes import models
from motes.models import (
    Capabilities,
    FunctionReward,
    Opening,
    StepRule,
    TableLM,
    Thinking,
    Trajectory,
)
from motes.ppl import StateSpaceModel
from motes.samplers.search import fractured_sampling
from motes.samplers.search.fractured_sampling import Fractured, fractured

END, YES, NO = 2, 3, 4  # 0 and 1 are thoughts
MOST, DEPTHS = 4, 3
OPENING = Opening(begin="<think>", end=f"{END} ", thinks=True)
RULE = StepRule(thinking=Thinking(end=f"{END} "))


@cache
def next_probs(prefix):
    """Up to four thoughts, their end, and an answer that depends on all of them."""
    random = np.random.default_rng([211, *prefix])
    if END in prefix:
        yes = random.beta(0.5, 0.5)
        return [0.0, 0.0, 0.0, yes, 1 - yes]
    going = 0.0 if len(prefix) == MOST else 0.75
    first = random.random()
    return [going * first, going * (1 - first), 1 - going, 0.0, 0.0]


class Thinker(TableLM):
    """A table that thinks, whose template has begun the thinking."""

    capabilities = Capabilities(scoring=True, step_rule=RULE)

    def start(self, question):
        return Trajectory(question=question, opening=OPENING)


def answer_of(x):
    return {YES: "yes", NO: "no"}.get(x.token_ids[-1])


def declared(**settings):
    defaults = {"lm": Thinker(next_probs), "answer": answer_of}
    return StateSpaceModel("?", **{**defaults, **settings})


def cut(n=400, depths=DEPTHS, m=2, **settings) -> Fractured:
    given = {"end": f"{END} ", "encode": lambda text: [END], "seed": 3, **settings}
    return fractured(declared(), thoughts=n, depths=depths, solutions=m, **given)


def thoughts(prefix=(), mass=1.0):
    """Every thought, its end included, with its probability."""
    if prefix[-1:] == (END,):
        yield prefix, mass
        return
    for token, p in enumerate(next_probs(prefix)):
        if p:
            yield from thoughts((*prefix, token), mass * p)


def law(h):
    """P_h(yes): the answer behind the first floor(h K / H) of K tokens and the end of thinking."""
    total = 0.0
    for thought, mass in thoughts():
        head = thought if h == DEPTHS else (*thought[: h * len(thought) // DEPTHS], END)
        total += mass * next_probs(head)[YES]
    return total


def far(found):
    """The largest |z| over depths."""
    return max(
        abs(depth.answers["yes"] - law(depth.depth)) / depth.mcse["yes"] for depth in found.depths
    )


def test_each_depth_follows_its_own_law():
    assert sum(mass for _, mass in thoughts()) == pytest.approx(1)
    laws = [law(h) for h in range(1, DEPTHS + 1)]
    assert min(abs(one - other) for one, other in pairwise(sorted(laws))) > 0.02
    found = cut()
    assert [depth.depth for depth in found.depths] == [1, 2, 3] and not found.agreed
    assert far(found) < 4.6
    for depth in found.depths:
        assert sum(depth.answers.values()) == pytest.approx(1)
        assert [len(row) for row in depth.solutions] == [2] * 400
        assert all(x.finished for row in depth.solutions for x in row)
    for thought, row in zip(found.thoughts, found.depths[-1].solutions, strict=True):
        assert thought.token_ids[-1] == END
        assert all(x.parent is thought for x in row)  # nothing is written again
    mean = np.mean([depth.answers["yes"] for depth in found.depths])
    assert found.vote()["yes"] == pytest.approx(mean)


@pytest.mark.long(quick=1)
@pytest.mark.parametrize("fault", ["cut later", "no end", "cut whole"])
def test_faults_would_be_seen(fault, monkeypatch):
    honest = fractured_sampling._Scissors.cut

    def planted(self, model, thought, depth, depths):
        if fault == "cut later":
            return honest(self, model, thought, min(depth + 1, depths), depths)
        if fault == "no end" and depth < depths:
            closed = honest(self, model, thought, depth, depths).trajectory
            return fractured_sampling.Particle(closed.parent, ())
        return honest(self, model, thought, depth, depths + (fault == "cut whole"))

    monkeypatch.setattr(fractured_sampling._Scissors, "cut", planted)
    assert far(cut()) > 4.6


def test_several_solutions_of_a_thought_are_never_worse_than_one():
    """Var = Var P(yes | T) / n + E Var(1[yes] | T) / (n m), which the standard error estimates."""
    laws = np.array([(mass, next_probs(thought)[YES]) for thought, mass in thoughts()])
    mass, yes = laws.T
    between = mass @ (yes - mass @ yes) ** 2
    within = mass @ (yes * (1 - yes))
    for m in (1, 8):
        found = cut(n=300, depths=1, m=m)
        expected = np.sqrt(between / 300 + within / (300 * m))
        assert found.depths[0].mcse["yes"] == pytest.approx(expected, rel=0.15)
    assert within > 0.02


def test_it_stops_where_depths_agree():
    found = cut(n=8, depths=9, agreeing=3)
    answers = [depth.answer for depth in found.depths]
    assert found.agreed == (len(set(answers[-3:])) == 1)
    if len(answers) < 9:
        assert found.agreed and all(
            len(set(answers[i : i + 3])) > 1 for i in range(len(answers) - 3)
        )
    whole = cut(n=8, depths=9)
    assert [depth.answers for depth in whole.depths[: len(answers)]] == [
        depth.answers for depth in found.depths
    ]
    assert found.answer == answers[-1] and found.cost.generated_tokens > 0
    assert found.cost.generated_tokens <= whole.cost.generated_tokens


def test_a_thought_that_never_ends_has_no_answer_but_behind_a_cut():
    model = declared(lm=Thinker(lambda x: [0, 0, 0, 1, 0] if END in x else [1, 0, 0, 0, 0]))
    short = StateSpaceModel("?", lm=model.lm, answer=answer_of, max_steps=4)
    found = fractured(
        short, thoughts=3, depths=2, solutions=2, end=f"{END} ", encode=lambda text: [END]
    )
    assert [depth.answers for depth in found.depths] == [{"yes": 1.0}, {None: 1.0}]
    assert isnan(found.depths[0].mcse["yes"]) and found.answer is None
    assert all(x.truncated for x in found.thoughts)


def test_a_model_that_thinks_not_at_all_is_asked_for_its_answer():
    """The template has begun no thinking, and the model begins none: its first step is what a
    thought would be, and behind a cut stands an empty thought."""

    class Plain(Thinker):
        def start(self, question):
            return Trajectory(question=question, opening=OPENING._replace(thinks=False))

    said = []

    def encode(text):
        said.append(text)
        return [END]

    model = declared(lm=Plain(lambda x: [0, 0, 0, 1, 0] if END in x else [0, 0, 0, 0, 1]))
    found = fractured(model, thoughts=2, depths=2, solutions=2, end=f"{END} ", encode=encode)
    assert said == [f"{END} ", f"<think>\n{END} "]
    assert [depth.answers for depth in found.depths] == [{"yes": 1.0}, {"no": 1.0}]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lm": TableLM(next_probs)}, "the language model 'table' has none"),
        ({"constraint": lambda x: True}, "under no constraint"),
    ],
)
def test_models_that_cannot_be_cut_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        fractured(declared(**settings), encode=lambda text: [END], end=f"{END} ")


def test_what_is_wrong_is_said_in_one_sentence():
    for wrong, message in (
        ({"thoughts": 0}, "thoughts must be at least 1"),
        ({"depths": 1.5}, "depths must be an integer"),
        ({"solutions": 0}, "solutions must be at least 1"),
        ({"agreeing": 1}, "agreeing must be at least 2"),
        ({"end": "so"}, "end must contain '2 ', which ends thinking"),
        ({"encode": lambda text: []}, "end must be a text with a token"),
        ({"seed": -1}, "seed"),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            fractured(declared(), **{"end": "2 ", "encode": lambda text: [END], **wrong})
    with pytest.raises(ValueError, match="encode must be a function"):
        fractured(declared())
    with pytest.raises(TypeError, match="model must be a StateSpaceModel"):
        fractured("?")


def test_a_reward_model_and_a_power_play_no_part():
    never = FunctionReward(lambda x: -np.inf)
    plain = cut(n=5)
    given = {"thoughts": 5, "depths": DEPTHS, "solutions": 2, "end": "2 ", "seed": 3}
    other = fractured(declared(prm=never, alpha=3.0), encode=lambda text: [END], **given)
    assert [x.answers for x in plain.depths] == [x.answers for x in other.depths]


@pytest.mark.slow
def test_on_the_pocket():
    """Which thinks not, but whose text may be taken for thoughts between markers that it knows."""
    rule = StepRule(delimiter=". ", thinking=Thinking(begin="So", end="."))
    lm = models.load_lm("pocket", probe=False, step=rule)
    question = "Ann owns 3 hats. Ben has 2 more than Ann. How many hats does Ben have?"
    model = StateSpaceModel(question, lm=lm, max_steps=8)
    found = fractured(model, thoughts=2, depths=2, solutions=2, end=".")
    assert len(found.depths) == 2 and found.cost.generated_tokens > 0
    again = fractured(model, thoughts=2, depths=2, solutions=2, end=".")
    assert [x.answers for x in again.depths] == [x.answers for x in found.depths]
