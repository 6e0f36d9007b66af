"""A search's tree as it is laid out: what is drawn, and that lines do not cross."""

from __future__ import annotations

import numpy as np
import pytest
from searches import Table

from motes.diagnostics.plots.shades import shades
from motes.diagnostics.plots.tree_layout import tree_layout
from motes.diagnostics.report.tree_drawing import drawn_tree
from motes.samplers import make_sampler


@pytest.fixture(scope="module", params=["rebase", "mcts", "best_of_n"])
def posterior(request):
    settings = {"iterations": 20} if request.param == "mcts" else {"particles": 24}
    return make_sampler(request.param, **settings).run(Table(seed=3).model(), seed=1)


def laid_out(posterior, most=1000):
    return tree_layout(posterior.tree, posterior, shades(posterior), most)


def test_equal_siblings_are_one_dot(posterior):
    tree, layout = posterior.tree, laid_out(posterior)
    said = {tuple(tree.texts[i] for i in tree.path(node)) for node in range(1, len(tree))}
    assert len(layout.nodes) == len(said) and layout.drawn.sum() == len(tree) - 1
    same = tree.merged
    assert all(same[node] <= node for node in range(len(tree)))


def test_lines_do_not_cross(posterior):
    layout = laid_out(posterior)
    for depth in range(2, int(layout.depths.max()) + 1):
        at = np.flatnonzero(layout.depths == depth)
        order = at[np.argsort(layout.rows[at])]
        parents = layout.rows[layout.parents[order]]
        assert (np.diff(parents) >= 0).all()
    leaves = np.setdiff1d(np.arange(len(layout.nodes)), layout.parents)
    assert sorted(layout.rows[leaves]) == list(range(layout.lines))


def test_weights_of_a_column_are_those_of_what_goes_on(posterior):
    layout = laid_out(posterior)
    assert layout.weight[layout.depths == 1].sum() == pytest.approx(1)
    for dot in range(len(layout.nodes)):
        below = layout.weight[layout.parents == dot].sum()
        assert below <= layout.weight[dot] + 1e-12
    assert ((layout.shade >= 0) == (layout.weight > 0)).all()


def test_of_many_lines_those_to_answers_stay(posterior):
    whole, part = laid_out(posterior), laid_out(posterior, most=5)
    assert part.of == whole.lines and part.lines == min(5, whole.lines)
    leaves = np.setdiff1d(np.arange(len(part.nodes)), part.parents)
    all_leaves = np.setdiff1d(np.arange(len(whole.nodes)), whole.parents)
    kept = sorted(part.weight[leaves], reverse=True)
    assert kept == sorted(whole.weight[all_leaves], reverse=True)[: len(kept)]


def test_what_the_page_says_of_a_node(posterior):
    drawn = drawn_tree(posterior)
    data, tree = drawn.data, posterior.tree
    assert drawn.words.title == "Tree" and data["names"]["score"] == "value"
    for i, node in enumerate(data["slot"]):
        assert data["texts"][data["text"][i]] == tree.texts[node].strip()
        assert data["step"][i] == tree.depths[node]
        parent = data["parent"][i]
        assert (parent < 0) == (tree.depths[node] == 1)
        assert bool(drawn.dots[i].line) == (parent >= 0)
