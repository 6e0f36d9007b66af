"""REBASE and ETS: widths, sets of leaves, and searches against naive ones."""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from math import ceil

import numpy as np
import pytest
from searches import DEPTH, closed, drawn_by, tokens

from motes.log_odds import sigmoid
from motes.samplers import make_sampler
from motes.samplers.search.clusters import cluster_labels
from motes.samplers.search.ets import best_leaves
from motes.samplers.search.rebase import rounded_widths, sequential_widths

REWARDS = np.log([0.9, 0.8, 0.7, 0.2])


def test_widths_as_the_paper_and_as_the_code_have_them():
    assert sequential_widths(REWARDS, 8, 0.2).tolist() == [4, 3, 1, 0]
    assert rounded_widths(REWARDS, 8, 0.2).tolist() == [4, 2, 1, 0]
    assert sequential_widths(np.log([0.5] * 3), 4, 0.2).tolist() == [2, 1, 1]


def test_sequential_widths_keep_the_budget_where_plain_ceilings_do_not():
    """T6. 4,000 random cases; rounding misses it in either direction."""
    rng = np.random.default_rng(0)
    gaps: dict[str, list[int]] = {"sequential": [], "round": [], "ceiling": []}
    for _ in range(4000):
        budget, rewards = int(rng.integers(1, 17)), rng.random(rng.integers(1, 17))
        weights = np.exp(rewards / 0.2) / np.exp(rewards / 0.2).sum()
        widths = sequential_widths(np.log(rewards), budget, 0.2)
        assert (widths >= 0).all()
        gaps["sequential"].append(int(widths.sum()) - budget)
        gaps["round"].append(int(rounded_widths(np.log(rewards), budget, 0.2).sum()) - budget)
        gaps["ceiling"].append(sum(ceil(budget * w) for w in weights) - budget)
    assert set(gaps["sequential"]) == {0}
    assert min(gaps["round"]) < 0 < max(gaps["round"]) and np.mean(gaps["ceiling"]) > 5


def test_widths_do_not_depend_on_the_order_of_equals():
    rng = np.random.default_rng(1)
    for _ in range(200):
        rewards = np.log(rng.integers(1, 4, size=6) / 4)
        order = rng.permutation(6)
        for allocate in (sequential_widths, rounded_widths):
            one, other = allocate(rewards, 9, 0.2), allocate(rewards[order], 9, 0.2)
            assert sorted(zip(rewards[order], other, strict=True)) == sorted(
                zip(rewards, one, strict=True)
            )


def test_two_nodes_in_closed_form():
    for budget in range(1, 12):
        share = 1 / (1 + np.exp((0.3 - 0.8) / 0.25))
        expected = ceil(budget * share - 1e-9)
        widths = sequential_widths(np.log([0.3, 0.8]), budget, 0.25)
        assert widths.tolist() == [budget - expected, expected]


def test_limits_of_the_temperature(table):
    """T to infinity is best-of-N, draw for draw; T to 0 puts all on the best open node."""
    small = table(seed=6)
    for seed in range(20):
        hot = make_sampler("rebase", particles=5, balance_temperature=1e12)
        one, other = hot.run(small.model(), seed=seed), make_sampler("best_of_n", particles=5)
        expected = other.run(small.model(), seed=seed)
        assert tokens(one) == tokens(expected)
        assert one.cost.generated_tokens == expected.cost.generated_tokens
        tree = (
            make_sampler("rebase", particles=5, balance_temperature=1e-9)
            .run(small.model(), seed=seed)
            .tree
        )
        for t in range(1, int(tree.rounds.max())):
            # equal siblings share what there is
            values = set(tree.log_values[tree.parents[tree.rounds == t + 1]].tolist())
            going = (tree.rounds == t) & (tree.statuses == 0)
            assert values == {tree.log_values[going].max()}


def naive_rebase(small, told, n: int, allocation: str) -> list[tuple[int, ...]]:
    """REBASE in plain Python, given what was drawn, in the order in which it was."""
    level, answers, t = [((), n)], [], 0
    while level:
        t += 1
        found = [(x, told[t, i][1]) for i, x in enumerate(x for x, w in level for _ in range(w))]
        after = [(*x, token) for x, token in found]
        answers += [x for x in after if closed(x)]
        going = [x for x in after if not closed(x)]
        left = n - len(answers)
        if not going or left <= 0:
            return answers
        weight = {i: np.exp(sigmoid(small.log_odds(x)) / 0.2) for i, x in enumerate(going)}
        whole = sum(weight.values())
        widths = dict.fromkeys(weight, 0)
        if allocation == "round":
            widths = {i: round(left * w / whole) for i, w in weight.items()}
        else:
            order = sorted(weight, key=lambda i: (-weight[i], i))
            for i in order:
                widths[i] = left if i == order[-1] else min(left, ceil(left * weight[i] / whole))
                left, whole = left - widths[i], whole - weight[i]
        level = [(x, widths[i]) for i, x in enumerate(going) if widths[i]]
    return answers


@pytest.mark.parametrize("allocation", ["sequential", "round"])
def test_rebase_against_a_naive_one(table, allocation):
    small = table(seed=7)
    for seed in range(30):
        posterior = make_sampler("rebase", particles=7, allocation=allocation).run(
            small.model(), seed=seed
        )
        naive = naive_rebase(small, drawn_by(posterior), 7, allocation)
        assert Counter(naive) == Counter(tokens(posterior))


def test_as_many_answers_as_were_asked_for(table):
    for name in ("rebase", "ets"):
        for seed in range(10):
            posterior = make_sampler(name, particles=9).run(table(seed=8).model(), seed=seed)
            tree = posterior.tree
            assert len(posterior.trajectories) == 9
            for t in range(1, int(tree.rounds.max()) + 1):
                before = ((tree.rounds < t) & (tree.statuses > 0)).sum()
                assert (tree.rounds == t).sum() == 9 - before


def random_tree(rng, leaves: int):
    """Gains, ancestors and clusters of leaves at depth 2."""
    parents = rng.integers(1, 4, size=leaves)
    gains = rng.dirichlet(np.ones(leaves))
    paths = [[int(parent), 0] for parent in parents]
    _, labels = np.unique(rng.integers(0, 3, size=leaves), return_inverse=True)
    return gains, paths, labels


def worth(chosen, gains, paths, labels, branch_cost, coverage) -> float:
    above = {node for path in paths for node in path}
    kept = {node for i in chosen for node in paths[i]}
    value = sum(gains[i] for i in chosen)
    value -= branch_cost * (len(chosen) + len(kept)) / (len(gains) + len(above))
    if labels is not None:
        value += coverage * len({labels[i] for i in chosen}) / len(set(labels))
    return value


def subsets(count: int):
    for size in range(1, count + 1):
        yield from combinations(range(count), size)


@pytest.mark.parametrize("coverage", [0.0, 0.7, 1.5])
def test_the_set_of_leaves_by_brute_force(coverage):
    """T7. Every subset is tried."""
    rng = np.random.default_rng(int(10 * coverage))
    for _ in range(40):
        gains, paths, labels = random_tree(rng, int(rng.integers(1, 8)))
        labels = labels if coverage else None
        cost = float(rng.uniform(0.1, 2.5))
        values = {s: worth(s, gains, paths, labels, cost, coverage) for s in subsets(len(gains))}
        found = best_leaves(gains.tolist(), paths, labels, cost, coverage)
        assert values[tuple(found)] == pytest.approx(max(values.values()), abs=1e-9)


def test_a_star_of_leaves_is_kept_above_a_threshold():
    rng = np.random.default_rng(3)
    for _ in range(100):
        gains = rng.dirichlet(np.ones(6))
        cost = float(rng.uniform(0.2, 3))
        above = [i for i in range(6) if gains[i] > cost / 7]
        expected = above or [int(np.argmax(gains))]
        assert best_leaves(gains.tolist(), [[0]] * 6, None, cost, 0.0) == expected


def test_coverage_hits_every_cluster_and_duplicates_add_none():
    gains, paths = [0.4, 0.3, 0.2, 0.1], [[0]] * 4
    labels = np.array([0, 0, 1, 2])
    assert {int(labels[i]) for i in best_leaves(gains, paths, labels, 3.0, 100.0)} == {0, 1, 2}
    assert best_leaves(gains, paths, labels, 1e3, 1.0) == [0]
    assert best_leaves(gains, paths, np.zeros(4, np.int64), 3.0, 5.0) == [0]


def test_without_cost_ets_is_rebase(table):
    small = table(seed=9)
    for seed in range(10):
        one = make_sampler("ets", particles=6, branch_cost=0.0).run(small.model(), seed=seed)
        other = make_sampler("rebase", particles=6).run(small.model(), seed=seed)
        assert tokens(one) == tokens(other)


def test_cost_makes_the_tree_narrower(table):
    small, nodes = table(seed=1, fixed=True), {}
    for cost in (0.0, 1.0, 50.0):
        trees = [
            make_sampler("ets", particles=8, branch_cost=cost, coverage=0.0)
            .run(small.model(), seed=seed)
            .tree
            for seed in range(8)
        ]
        nodes[cost] = sum(int(tree.expanded.sum()) for tree in trees)
    assert nodes[50.0] < nodes[1.0] < nodes[0.0] and nodes[50.0] == 8 * DEPTH


def test_clusters():
    texts = ["3 + 4 = 7", "4 + 3 = 7", "so 12", "so 12 "]
    assert cluster_labels("text", texts).tolist() == [0, 1, 2, 2]
    assert cluster_labels("tfidf", texts).tolist() == [0, 0, 1, 1]
    assert cluster_labels("tfidf", texts, count=2).tolist() == [0, 0, 1, 1]
    assert cluster_labels(lambda xs: np.array([5, 5, 1, 1]), texts).tolist() == [0, 0, 1, 1]
    vectors = np.array([[1, 0], [1, 0.01], [0, 1], [0, 2.0]])
    assert cluster_labels(lambda xs: vectors, texts).tolist() == [0, 0, 1, 1]
    assert cluster_labels("tfidf", [" "]).tolist() == [0]
    with pytest.raises(ValueError, match="clusters must map 4 texts to as many vectors or labels"):
        cluster_labels(lambda xs: np.zeros(3), texts)
