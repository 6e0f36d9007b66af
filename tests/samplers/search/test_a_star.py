"""A* against enumeration and against a naive one, where every step is drawn once."""

from __future__ import annotations

import heapq

import numpy as np
import pytest

from motes.log_odds import sigmoid
from motes.models import FunctionReward, TableLM
from motes.ppl import StateSpaceModel
from motes.samplers import make_sampler

EOS, DEPTH = 2, 4


def left(small, prefix: tuple[int, ...]) -> float:
    return 1 - float(sigmoid(small.log_odds(prefix))) if prefix else 0.0


def cost(small, x: tuple[int, ...], step_costs: str = "consistent") -> float:
    """f of a prefix from its definition: g summed along the path, and h at its end."""
    total = 0.0
    for t in range(len(x)):
        before, after = left(small, x[:t]), left(small, x[: t + 1])
        drop = before - after if step_costs == "consistent" else after - before
        total += max(0.0, drop)
    return total + left(small, x)


def prefixes(tree, nodes) -> list[tuple[int, ...]]:
    return [tuple(int(tree.texts[node]) for node in tree.path(int(i))[1:]) for i in nodes]


def enumerated(small, exhaustive, **settings):
    lm = exhaustive(small.next_probs, eos=EOS)
    return small.model(lm=lm), make_sampler("a_star", expansions=3, **settings)


@pytest.mark.parametrize("batch", [1, 4])
def test_the_first_answer_has_the_least_cost_of_all(table, exhaustive, batch):
    """T9. With every child there, and only what may hold a cheaper one is expanded."""
    more = 0
    for seed in range(60):
        small = table(seed=seed)
        model, sampler = enumerated(small, exhaustive, answers=1, batch=batch)
        posterior = sampler.run(model, seed=0)
        [x] = posterior.trajectories
        least = min(cost(small, y) for y, _ in small.solutions())
        assert cost(small, x.token_ids) == pytest.approx(least, abs=1e-12)
        tree = posterior.tree
        expanded = set(prefixes(tree, np.flatnonzero(tree.expanded)))
        ends = {y for y, _ in small.solutions()}
        inner = {y[:t] for y in ends for t in range(len(y))}
        needed = {y for y in inner if cost(small, y) < least - 1e-12}
        assert needed <= expanded
        if batch == 1:
            assert all(cost(small, y) <= least + 1e-12 for y in expanded)
        more += len(expanded) - len(needed)
    assert batch == 1 or more > 60  # what a batch loses


def test_the_other_cost_misses_its_own_least(table, exhaustive):
    missed = 0
    for seed in range(60):
        small = table(seed=seed)
        model, sampler = enumerated(small, exhaustive, answers=1, step_costs="increase")
        [x] = sampler.run(model, seed=0).trajectories
        least = min(cost(small, y, "increase") for y, _ in small.solutions())
        missed += cost(small, x.token_ids, "increase") > least + 1e-9
    assert 5 < missed < 55


def naive(small, count: int) -> tuple[list, list]:
    """A* in plain Python over prefixes: what it expands, and what it answers."""
    heap, expanded, answers = [(0.0, 0, 0, ())], [], []
    number = 1
    while heap and len(answers) < count:
        _, _, _, x = heapq.heappop(heap)
        if len(x) == DEPTH or x[-1:] == (EOS,):
            answers.append(x)
            continue
        expanded.append(x)
        for token in range(3):
            y = (*x, token)
            heapq.heappush(heap, (round(cost(small, y), 9), -len(y), number, y))
            number += 1
    return expanded, answers


def test_a_batch_of_one_is_the_sequential_algorithm(table, exhaustive):
    """Rewards of three values, so that ties come up: the deeper node first, then the older."""
    for seed in range(40):
        small = table(seed=seed, levels=3)
        model, sampler = enumerated(small, exhaustive, answers=5)
        posterior = sampler.run(model, seed=0)
        expanded, answers = naive(small, 5)
        tree = posterior.tree
        parents = tree.parents[np.unique(tree.rounds, return_index=True)[1][1:]]
        assert prefixes(tree, parents) == expanded
        assert [x.token_ids for x in posterior.trajectories] == answers


def test_one_child_is_one_draw(table):
    model = table(seed=1).model()
    for seed in range(10):
        [x] = make_sampler("a_star", expansions=1).run(model, seed=seed).trajectories
        [y] = make_sampler("best_of_n", particles=1).run(model, seed=seed).trajectories
        assert x.token_ids == y.token_ids


def test_of_equal_costs_the_deeper_goes_first(exhaustive):
    """A constant reward: straight down along first children, and then its last siblings."""
    lm = exhaustive(lambda prefix: [0.4, 0.4, 0.2], eos=EOS)
    model = StateSpaceModel("?", lm=lm, prm=FunctionReward(lambda x: 0.3), max_steps=DEPTH)
    posterior = make_sampler("a_star", expansions=3, answers=3).run(model)
    ends = [x.token_ids for x in posterior.trajectories]
    assert ends == [(0, 0, 0, 0), (0, 0, 0, 1), (0, 0, 0, 2)]
    assert (posterior.tree.rounds.max(), len(posterior.tree)) == (DEPTH, 1 + 3 * DEPTH)


def test_what_comes_back_when_the_budget_ends_before_an_answer(table):
    endless = TableLM(lambda prefix: [0.5, 0.5, 0.0], eos=EOS)
    model = table(seed=2).model(lm=endless, max_steps=20)
    posterior = make_sampler("a_star", budget=12, batch=2).run(model, seed=0)
    assert posterior.answer is None and all(x.open for x in posterior.trajectories)
    assert posterior.settings["stopped"] == "budget" and len(posterior.trajectories) == 2


def test_the_answer_of_best_is_the_first(table):
    small = table(seed=4)
    posterior = make_sampler("a_star", choice="best").run(small.model(), seed=3)
    assert posterior.log_weights.tolist() == [0.0] + [-np.inf] * 7
    found = [cost(small, x.token_ids) for x in posterior.trajectories]
    assert found == sorted(found)


def test_equal_siblings_are_one_state(table):
    """However often a step was drawn, it is gone on with and answered once."""
    small = table(seed=5)
    for seed in range(10):
        posterior = make_sampler("a_star", expansions=8, answers=6).run(small.model(), seed=seed)
        tree = posterior.tree
        expanded = prefixes(tree, np.flatnonzero(tree.expanded))
        answers = [x.token_ids for x in posterior.trajectories]
        assert tree.reused > 0
        assert len(set(expanded)) == len(expanded) and len(set(answers)) == len(answers)


def test_settings(table):
    with pytest.raises(ValueError, match="answers must be at least 1"):
        make_sampler("a_star", answers=0)
    with pytest.raises(ValueError, match="batch must be at least 1"):
        make_sampler("a_star", batch=0)
    with pytest.raises(ValueError, match="step_costs must be one of consistent, increase"):
        make_sampler("a_star", step_costs="C")
    with pytest.raises(ValueError, match="'a_star' needs a value for its prefixes"):
        make_sampler("a_star").run(table().model(prm=None))
