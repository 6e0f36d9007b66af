"""RAIN: visit identities, limits, and when a step is committed to."""

from __future__ import annotations

import numpy as np
import pytest
from searches import DEPTH, EOS, Table

from motes.models import FunctionReward, TableLM
from motes.samplers import make_sampler
from motes.smc import RunKeys


def constant(value: float) -> FunctionReward:
    return FunctionReward.from_probability(lambda x: value)


def states_of(model, **settings):
    bound = make_sampler("rain", **settings).bind(model, RunKeys(0))
    state = bound.init()
    while not bound.done(state):
        yield bound, state
        state = bound.step(state)
    yield bound, state


def test_visits_and_values_add_up(table):
    """N of an inner node is that of its children, and S what they brought back; the committed
    node's own earlier visits aside."""
    small = table(seed=1)
    for bound, state in states_of(small.model(), iterations=12, confidence=1.0):
        visited, each = state.visited, bound.sampler.expansions
        for node in np.flatnonzero(visited.firsts >= 0):
            below = slice(visited.firsts[node], visited.firsts[node] + each)
            counts, totals = visited.counts[below].sum(), visited.totals[below].sum()
            # what was brought back before a step was committed to reached no further than it
            if node == state.root:
                assert visited.counts[node] == counts or not counts
            assert counts >= visited.counts[node] or node != state.root
            if visited.counts[node] == counts:
                assert totals == pytest.approx(visited.totals[node])


def test_with_a_constant_value_visits_follow_the_prior(table):
    """All q are equal, so the bound is c p sqrt(N) / (1 + n): n grows as p."""
    small = table(seed=2, fixed=True)
    model = small.model(prm=constant(0.5))
    seen = None
    for _, state in states_of(
        model, iterations=400, confidence=1.0, expansions=6, prior="probability"
    ):
        if state.root:
            break
        seen = state.visited
    children = np.arange(seen.firsts[0], seen.firsts[0] + 6)
    shares = seen.counts[children] / seen.counts[children].sum()
    assert shares == pytest.approx(seen.priors[children], abs=0.02)
    assert seen.counts[0] == 400


def test_a_step_is_committed_to_after_so_many_visits(table):
    """Without a demand on q the most visited child is taken at its seventh visit."""
    small = table(seed=3, fixed=True)
    counts = []
    before = 0
    for _, state in states_of(
        small.model(prm=constant(0.9)), least_visits=6, confidence=0.0, iterations=10_000
    ):
        if state.root != before:
            counts.append(int(state.visited.counts[state.root]))
            before = state.root
    assert len(counts) == DEPTH and all(count == 7 for count in counts)


def test_a_step_that_is_never_good_enough_is_taken_after_all(table):
    small = table(seed=3, fixed=True)
    spent = []
    for _, state in states_of(small.model(prm=constant(0.2)), iterations=15, batch=4):
        spent.append(int(state.visited.counts[state.root]) - state.since)
    assert max(spent) == 15


def test_one_path_comes_back_and_what_was_written_below_it_stays(table):
    small = table(seed=4)
    posterior = make_sampler("rain", iterations=10).run(small.model(), seed=1)
    [x] = posterior.trajectories
    assert not x.open and (x.token_ids[-1] == EOS or len(x.token_ids) == DEPTH)
    tree = posterior.tree
    path = tree.path(int(np.flatnonzero(tree.draws == 0)[0]))
    assert [tree.texts[node].strip() for node in path[1:]] == [str(t) for t in x.token_ids]
    # the best of what is known is followed: each step has the most visits among its siblings
    for node in path[1:]:
        siblings = np.flatnonzero(tree.parents == tree.parents[node])
        assert tree.visits[node] == tree.visits[siblings].max()


def test_one_child_is_a_draw_from_the_prior(table):
    small: Table = table(seed=5)
    for seed in range(10):
        one = make_sampler("rain", expansions=1, iterations=1).run(small.model(), seed=seed)
        other = make_sampler("importance_sampling", particles=1).run(small.model(), seed=seed)
        assert [x.token_ids for x in one.trajectories] == [x.token_ids for x in other.trajectories]


@pytest.mark.slow
def test_a_better_value_is_committed_to(table):
    """Over 60 seeds the path scores higher than a draw from the prior, by four standard errors."""
    small = table(seed=6)
    gains = []
    for seed in range(60):
        path = make_sampler("rain", iterations=8).run(small.model(), seed=seed)
        draw = make_sampler("importance_sampling", particles=1).run(small.model(), seed=seed)
        scores = [small.log_odds(p.trajectories[0].token_ids) for p in (path, draw)]
        gains.append(scores[0] - scores[1])
    assert np.mean(gains) > 4 * np.std(gains) / np.sqrt(60)


def test_a_step_below_which_nothing_is_left_is_gone_back_from(table):
    """Step 0 looks best and leads nowhere: it is committed to at once, and then left for step 1."""

    def reward(x):
        if x.token_ids[0] == 1:
            return 0.0
        return 3.0 if x.depth == 1 else -np.inf

    lm = TableLM(lambda prefix: [0.5, 0.5, 0.0], eos=EOS)
    model = table().model(lm=lm, prm=FunctionReward(reward))
    rewound = 0
    for seed in range(20):
        for batch in (1, 3):
            sampler = make_sampler("rain", expansions=6, iterations=2, batch=batch)
            posterior = sampler.run(model, seed=seed)
            [x] = posterior.trajectories
            assert x.token_ids[0] == 1 and x.depth == DEPTH
            tree = posterior.tree
            first = [node for node in np.flatnonzero(tree.expanded) if tree.depths[node] == 1]
            rewound += any(tree.texts[node].strip() == "0" for node in first)
    assert rewound > 10
