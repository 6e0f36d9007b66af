"""The tree of a search under way, to which nodes are added without copying those before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import nan
from typing import NamedTuple

import numpy as np

from ...ppl.particle import Particle
from ...ppl.posterior.search_tree import FINISHED, OPEN, TRUNCATED, SearchTree


class Node(NamedTuple):
    """One step that was drawn.

    Attributes:
        parent: the number of the node that it was drawn from; -1 of the root.
        round: when it was drawn, from 1; 0 of the root.
        particle: the trajectory that ends with it, and its scores.
        log_value: what the search takes it to be worth; NaN of the root.
    """

    parent: int
    round: int
    particle: Particle
    log_value: float


class GrowingTree(NamedTuple):
    """Nodes by number, the root first.

    Trees that grow out of one another share their rows: a later one sees more of the same list.
    Where two grow out of the same one, the second takes a copy.

    Attributes:
        rows: a `Node` each; `length` of them are this tree's.
        length: how many.
        tokens_aside: generated in rollouts so far.
    """

    rows: list[Node]
    length: int
    tokens_aside: int = 0

    @classmethod
    def of(cls, root: Particle) -> GrowingTree:
        """Make the tree that holds the root alone."""
        return cls([Node(-1, 0, root, nan)], 1)

    def grown(self, nodes: Sequence[Node], tokens_aside: int = 0) -> GrowingTree:
        """Add nodes; the first gets the number `length`."""
        rows = self.rows if len(self.rows) == self.length else self.rows[: self.length]
        rows.extend(nodes)
        return GrowingTree(rows, self.length + len(nodes), self.tokens_aside + tokens_aside)

    def node(self, number: int) -> Node:
        """Give the node of this number."""
        return self.rows[number]

    @property
    def depth(self) -> int:
        """The depth of the deepest node."""
        return max(node.particle.length for node in self.nodes())

    def finished(self, number: int) -> bool:
        """Say whether a node has ended by itself."""
        return self.rows[number].particle.trajectory.finished

    def path(self, number: int) -> list[int]:
        """Give the nodes from the root to this one, both included."""
        found = [number]
        while found[-1]:
            found.append(self.rows[found[-1]].parent)
        return found[::-1]

    def nodes(self) -> Iterator[Node]:
        """Give the nodes in order."""
        return iter(self.rows[: self.length])

    def log_values(self, numbers: Sequence[int]) -> np.ndarray:
        """Give what some nodes are worth, float64, shape (len(numbers),)."""
        return np.array([self.rows[number].log_value for number in numbers], np.float64)

    def search_tree(self, draws: Sequence[int], visits: np.ndarray | None = None) -> SearchTree:
        """Make the record that a posterior keeps.

        Args:
            draws: the nodes that the posterior's trajectories end with.
            visits: of each node, shape (V,); the number of draws from it where None.
        """
        nodes = list(self.nodes())
        parents = np.array([node.parent for node in nodes], np.int64)
        if visits is None:
            visits = np.bincount(parents[1:], minlength=len(nodes))
        ends = np.full(len(nodes), -1, np.int64)
        for draw, node in reversed([*enumerate(draws)]):  # the first of equals stands for all
            ends[node] = draw
        trajectories = [node.particle.trajectory for node in nodes]
        firsts: dict[tuple[int, int], int] = {}
        for number, (parent, x) in enumerate(zip(parents.tolist(), trajectories, strict=True)):
            firsts.setdefault((parent, id(x)), number)
        return SearchTree(
            parents=parents,
            rounds=np.array([node.round for node in nodes], np.int64),
            log_values=np.array([node.log_value for node in nodes], np.float64),
            visits=np.asarray(visits, np.int64),
            statuses=np.array([_status(node.particle) for node in nodes], np.int64),
            tokens=np.array([len(x.step_token_ids) for x in trajectories], np.int64),
            firsts=np.array(
                [
                    firsts[parent, id(x)]
                    for parent, x in zip(parents.tolist(), trajectories, strict=True)
                ],
                np.int64,
            ),
            draws=ends,
            texts=tuple(x.step_text for x in trajectories),
            tokens_aside=self.tokens_aside,
        )


def _status(particle: Particle) -> int:
    x = particle.trajectory
    if x.open:
        return OPEN
    return FINISHED if x.finished else TRUNCATED
