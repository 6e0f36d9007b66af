"""The tree of a search by simulations: how often each node was visited, and what came back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from math import exp, inf
from typing import NamedTuple

import numpy as np

from ...smc.weights import normalise
from .growing_tree import GrowingTree


class VisitedTree(NamedTuple):
    """A tree whose nodes are expanded once, by the same number of children each.

    Attributes:
        tree: what has been written.
        counts: N, simulations that went through each node or ended there, int64, shape (V,).
        totals: S, the sum of the values that they brought back, or the greatest of them where
            back-up is "max"; float64, shape (V,).
        firsts: the first child of each, -1 of a node that was not expanded, int64, shape (V,).
        priors: the prior probability of each among its siblings, float64, shape (V,).
        alive: whether there is anything left to be found below each, bool, shape (V,).
    """

    tree: GrowingTree
    counts: np.ndarray
    totals: np.ndarray
    firsts: np.ndarray
    priors: np.ndarray
    alive: np.ndarray

    @classmethod
    def of(cls, tree: GrowingTree) -> VisitedTree:
        """Make a tree of the root alone, not visited."""
        return cls(
            tree,
            np.zeros(1, np.int64),
            np.zeros(1),
            np.full(1, -1, np.int64),
            np.ones(1),
            np.ones(1, bool),
        )

    def copied(self) -> VisitedTree:
        """Give the same with arrays of its own, which a round may change."""
        return VisitedTree(self.tree, *(column.copy() for column in self[1:]))

    def grown(
        self, tree: GrowingTree, parents: Sequence[int], each: int, priors: np.ndarray
    ) -> VisitedTree:
        """Add the children of some nodes.

        Args:
            tree: with the children, those of one parent side by side.
            parents: which were expanded, in the order of their children.
            each: M, children of each.
            priors: of the children.
        """
        new = tree.length - self.tree.length
        firsts = np.append(self.firsts, np.full(new, -1, np.int64))
        firsts[np.array(parents, np.intp)] = self.tree.length + each * np.arange(len(parents))
        log_values = tree.log_values(range(self.tree.length, tree.length))
        grown = VisitedTree(
            tree,
            np.append(self.counts, np.zeros(new, np.int64)),
            np.append(self.totals, np.zeros(new)),
            firsts,
            np.append(self.priors, priors),
            np.append(self.alive, log_values > -inf),
        )
        for parent in parents:
            grown._bury(parent, each)
        return grown

    def _bury(self, node: int, each: int) -> None:
        """Mark a node dead all of whose children are, and so its ancestors."""
        while node >= 0:
            first = self.firsts[node]
            if self.alive[first : first + each].any():
                return
            self.alive[node] = False
            node = self.tree.node(node).parent

    def open(self, node: int) -> bool:
        """Say whether another step may follow."""
        return self.tree.node(node).particle.open

    def value(self, node: int) -> float:
        """Give what a node is worth by itself, in [0, 1]."""
        return exp(self.tree.node(node).log_value)

    def children(self, node: int, each: int) -> np.ndarray:
        """Give the living children of an expanded node."""
        own = np.arange(self.firsts[node], self.firsts[node] + each)
        return own[self.alive[own]]

    def above(self, node: int, root: int = 0) -> Iterator[int]:
        """Give a node and its ancestors up to a root, the deepest first."""
        while node != root:
            yield node
            node = self.tree.node(node).parent
        yield root

    def back_up(self, node: int, value: float, greatest: bool = False, root: int = 0) -> None:
        """Add a visit of a node, and what it brought, to it and its ancestors up to a root."""
        for x in self.above(node, root):
            seen = self.counts[x] > 0
            if greatest:
                self.totals[x] = max(self.totals[x], value) if seen else value
            else:
                self.totals[x] += value
            self.counts[x] += 1

    def answers(self) -> list[int]:
        """Give the closed nodes that are worth anything."""
        return [node for node in np.flatnonzero(self.alive).tolist() if not self.open(node)]


def priors_of(tree: GrowingTree, first: int, each: int, by_probability: bool) -> np.ndarray:
    """Return the prior probability of new nodes among their siblings.

    Equal siblings share the probability of their step.

    Args:
        tree: the tree; the nodes from `first` on are new, `each` siblings in a row.
        first: the first new node.
        each: M.
        by_probability: whether it is in proportion to the probabilities of the steps; otherwise the
            draws themselves are the prior, each with 1 / M.
    """
    new = tree.length - first
    if not by_probability:
        return np.full(new, 1 / each)
    trajectories = [tree.node(first + i).particle.trajectory for i in range(new)]
    log_probs = np.array([x.step_logprob for x in trajectories]).reshape(-1, each)
    rows = [trajectories[i : i + each] for i in range(0, new, each)]
    priors = []
    for siblings, row in zip(rows, log_probs, strict=True):
        equals = Counter(map(id, siblings))
        shared = row - np.log([equals[id(x)] for x in siblings])
        priors.append(np.exp(normalise(shared)[0]))
    return np.concatenate(priors)
