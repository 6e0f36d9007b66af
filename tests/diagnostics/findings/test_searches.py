"""Each finding on searches on a run that shows it, and not on one that does not."""

from __future__ import annotations

import numpy as np
from searches import Table

from motes.models import FunctionReward, TableLM
from motes.samplers import make_sampler


def test_a_budget_that_ends_before_anything_has(found):
    small = Table(seed=1, fixed=True)
    run = lambda budget: make_sampler("beam_search", particles=8, budget=budget).run(small.model())
    finding = found(run(16))["search without an answer"]
    assert "after 16 steps, when no line of reasoning had ended" in finding.seen
    assert "unfinished particles" not in found(run(16))
    assert "search without an answer" not in found(run(1000))


def test_a_frontier_that_dies(found):
    small = Table(seed=2, fixed=True)
    only_ones = FunctionReward(lambda x: 0.0 if set(x.token_ids[:3]) == {1} else -np.inf)
    dying = make_sampler("best_of_n", particles=400).run(small.model(prm=only_ones), seed=1)
    finding = found(dying)["dying frontier"]
    assert "are worth nothing" in finding.seen
    assert "dying frontier" not in found(make_sampler("best_of_n").run(small.model()))


def test_answers_that_share_a_first_step(found):
    small = Table(seed=3, fixed=True)
    close = small.model(prm=FunctionReward(lambda x: 0.1 * x.token_ids[0]))
    names = found(make_sampler("beam_search", particles=32, expansions=4).run(close, seed=1))
    assert "all 8 answers go on from one of 2 different first steps" in (
        names["one first step"].seen
    )
    assert "dvts" in names["one first step"].change
    # a first step that is far better is no matter of chance
    clear = small.model(prm=FunctionReward(lambda x: 5.0 * x.token_ids[0] - 2.5))
    assert "one first step" not in found(
        make_sampler("beam_search", particles=32, expansions=4).run(clear, seed=1)
    )


def test_values_that_say_nothing_early(found):
    lm = TableLM(lambda prefix: [0.4, 0.4, 0.2] if len(prefix) < 8 else [0.0, 0.0, 1.0], eos=2)
    late = FunctionReward(lambda x: 2.0 * x.token_ids[-1] if x.depth > 3 else 1.0)
    model = Table().model(lm=lm, prm=late, max_steps=9)
    run = make_sampler("beam_search", particles=64, expansions=4).run(model, seed=0)
    assert "differ by 0.000" in found(run)["flat early values"].seen
    early = Table().model(lm=lm, prm=FunctionReward(lambda x: 2.0 * x.token_ids[-1]), max_steps=9)
    run = make_sampler("beam_search", particles=64, expansions=4).run(early, seed=0)
    assert "flat early values" not in found(run)
    # what prunes nothing cannot be wrong there
    run = make_sampler("weighted_vote", particles=64).run(model, seed=0)
    assert "flat early values" not in found(run)
