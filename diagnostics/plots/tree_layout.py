"""A search's tree laid out for a picture, so that no two lines cross.

Equal siblings are one dot. Where there are more lines than a picture can hold, those that end in
the posterior's trajectories stay, the heaviest first, and then those of the greatest value.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ...ppl.posterior.posterior import Posterior
from ...ppl.posterior.search_tree import SearchTree
from .shades import Shade, shade_numbers


class TreeLayout(NamedTuple):
    """The dots of a tree, parents before their children; the root is not drawn.

    Attributes:
        nodes: the first of the equal siblings that each dot stands for, int64, shape (K,).
        parents: the dot of each one's parent; -1 at depth 1; int64, shape (K,).
        depths: from 1, int64, shape (K,).
        rows: heights, 0 being the uppermost, float64, shape (K,).
        shade: number of the shade to which most of the weight that it leads to belongs; -1 where it
            leads to none; int64, shape (K,).
        value: what the search took it to be worth, in [0, 1]; NaN where that is not known.
        drawn: how many draws it stands for, int64, shape (K,).
        visits: of all of them, int64, shape (K,).
        weight: of the trajectories that it leads to, float64, shape (K,).
        lines: how many lines are drawn.
        of: how many there are.
    """

    nodes: np.ndarray
    parents: np.ndarray
    depths: np.ndarray
    rows: np.ndarray
    shade: np.ndarray
    value: np.ndarray
    drawn: np.ndarray
    visits: np.ndarray
    weight: np.ndarray
    lines: int
    of: int


def tree_of(posterior: Posterior, picture: str) -> SearchTree:
    """Return the tree of a search. Raises ValueError where there is none."""
    if posterior.tree is None:
        raise ValueError(
            f"{picture} needs the tree of a search, and this posterior of {posterior.sampler!r} "
            "has none"
        )
    return posterior.tree


def tree_layout(
    tree: SearchTree, posterior: Posterior, groups: list[Shade], most: int
) -> TreeLayout:
    """Lay a tree out.

    Args:
        tree: of the posterior.
        posterior: whose trajectories say where lines lead.
        groups: the shades of its answers.
        most: lines that are drawn, at least 1.
    """
    same = tree.merged
    by_shade = _weights(tree, posterior, groups, same)
    weight = by_shade.sum(axis=1)
    own = np.flatnonzero(same == np.arange(len(tree)))[1:]  # without the root
    inner = set(same[tree.parents[own]].tolist())
    leaves = [node for node in own.tolist() if node not in inner]
    # NaN, of what was not valued, comes last
    worth = np.nan_to_num(tree.log_values, nan=-np.inf, neginf=-np.inf)
    ranked = sorted(leaves, key=lambda node: (-weight[node], -worth[node], node))
    shown = _with_ancestors(tree, same, ranked[:most])
    rows = _rows(tree, same, shown, by_shade)
    place = {node: i for i, node in enumerate(shown)}
    nodes = np.array(shown, np.int64)
    counts = np.bincount(same, minlength=len(tree))
    visits = np.bincount(same, weights=tree.visits, minlength=len(tree)).astype(np.int64)
    best = by_shade[nodes].argmax(axis=1) if len(groups) else np.zeros(len(nodes), np.int64)
    return TreeLayout(
        nodes=nodes,
        parents=np.array([place.get(int(same[tree.parents[node]]), -1) for node in shown]),
        depths=tree.depths[nodes],
        rows=np.array([rows[node] for node in shown]),
        shade=np.where(weight[nodes] > 0, best, -1),
        value=np.exp(tree.log_values[nodes]),
        drawn=counts[nodes],
        visits=visits[nodes],
        weight=weight[nodes],
        lines=min(len(leaves), most),
        of=len(leaves),
    )


def _weights(
    tree: SearchTree, posterior: Posterior, groups: list[Shade], same: np.ndarray
) -> np.ndarray:
    """Add up the weight that each node leads to, by shade; float64, shape (V, shades)."""
    by_shade = np.zeros((len(tree), max(1, len(groups))))
    numbers, weights = shade_numbers(posterior, groups), np.exp(posterior.log_weights)
    for node in np.flatnonzero(tree.draws >= 0).tolist():
        draw = int(tree.draws[node])
        if numbers[draw] >= 0:
            for above in {int(same[each]) for each in tree.path(node)}:
                by_shade[above, numbers[draw]] += weights[draw]
    return by_shade


def _with_ancestors(tree: SearchTree, same: np.ndarray, leaves: list[int]) -> list[int]:
    """Give leaves and all nodes above them but the root, parents first."""
    found: set[int] = set()
    for leaf in leaves:
        node = leaf
        while node and node not in found:
            found.add(node)
            node = int(same[tree.parents[node]])
    return sorted(found, key=lambda node: (int(tree.depths[node]), node))


def _rows(
    tree: SearchTree, same: np.ndarray, shown: list[int], by_shade: np.ndarray
) -> dict[int, float]:
    """Give the height of each node: leaves in order, others in the middle of their children.

    Siblings are in the order of the shade they lead to; those that lead to none come last.
    """
    children: dict[int, list[int]] = {}
    for node in shown:
        children.setdefault(int(same[tree.parents[node]]), []).append(node)

    def order(node: int) -> tuple[bool, int, int]:
        return not by_shade[node].any(), int(by_shade[node].argmax()), node

    rows: dict[int, float] = {}
    # depth first, without recursion: a node is met again when its children have their rows
    waiting = [(node, False) for node in sorted(children.get(0, []), key=order, reverse=True)]
    leaves = 0
    while waiting:
        node, done = waiting.pop()
        below = sorted(children.get(node, []), key=order)
        if not below:
            rows[node] = float(leaves)
            leaves += 1
        elif done:
            rows[node] = (rows[below[0]] + rows[below[-1]]) / 2
        else:
            waiting.append((node, True))
            waiting += [(child, False) for child in reversed(below)]
    return rows
