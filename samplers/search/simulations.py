"""Searches by simulations: each goes down the tree, grows it, and brings back a value."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ... import checks
from ...models import capabilities
from ...ppl.interfaces import Declared
from ...ppl.statespace import StateSpaceModel
from ..base import AllParticlesDead
from ..run_facts import Advice
from .batch_search import BoundBatches, ExpandingBatchSearch, P
from .growing_tree import GrowingTree
from .search_sampler import SearchSampler
from .visited_tree import VisitedTree, priors_of

BACK_UPS = ("mean", "max")
PRIORS = ("draws", "probability")


class Simulations(NamedTuple):
    """A search by simulations, between two rounds.

    Attributes:
        visited: the tree, with visits and values.
        going: nodes at which simulations go on in the next round.
        steps: rounds so far.
    """

    visited: VisitedTree
    going: tuple[int, ...]
    steps: int

    @property
    def tree(self) -> GrowingTree:
        """What has been written."""
        return self.visited.tree


@dataclass(frozen=True, kw_only=True)
class SimulatingSearch(ExpandingBatchSearch):
    """A search by simulations, which go down a tree, grow it, and bring back a value.

    Attributes:
        iterations: S, simulations.
        exploration: c.
        backup: "mean" or "max" of what simulations brought back.
        prior: of a step among its siblings: "draws" or "probability".
    """

    iterations: int = 64
    exploration: float = 1.0
    backup: str = "mean"
    prior: str = "draws"

    unit = "iteration"
    gentler = (Advice("raise {iterations}"), *SearchSampler.gentler)

    def __post_init__(self) -> None:
        checks.settle(
            self,
            iterations=checks.count("iterations", self.iterations),
            exploration=checks.number("exploration", self.exploration, least=0.0),
        )
        checks.choice("backup", self.backup, BACK_UPS)
        checks.choice("prior", self.prior, PRIORS)
        super().__post_init__()

    def check(self, model: Declared) -> None:
        super().check(model)
        assert isinstance(model, StateSpaceModel)
        if self.prior == "probability" and not capabilities(model.lm).probabilities:
            raise model.unknown_logprob("prior='probability'")


@dataclass(frozen=True, eq=False)
class BoundSimulations(BoundBatches[P]):
    """A search by simulations, on a state-space model."""

    @abstractmethod
    def bounds(self, visited: VisitedTree, node: int, pending: np.ndarray) -> np.ndarray:
        """Give the bound by which each living child of a node is chosen.

        Args:
            visited: the tree.
            node: an expanded one.
            pending: visits under way of each node, int64, shape (V,).
        """

    def best_child(self, visited: VisitedTree, node: int, pending: np.ndarray) -> int:
        """Give the child of greatest bound; of equals the first slot."""
        children = visited.children(node, self.sampler.expansions)
        return int(children[np.argmax(self.bounds(visited, node, pending))])

    def expanded_all(self, visited: VisitedTree, t: int, parents: Sequence[int]) -> VisitedTree:
        """Draw the children of a batch of nodes."""
        each = self.sampler.expansions
        tree = self.with_children(visited.tree, t, parents)
        by_probability = self.sampler.prior == "probability"
        priors = priors_of(tree, visited.tree.length, each, by_probability)
        grown = visited.grown(tree, parents, each, priors)
        if not grown.alive[0]:
            raise AllParticlesDead(t, tree.length - 1)
        return grown
