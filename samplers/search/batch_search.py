"""Searches that choose nodes one batch at a time, wherever in the tree these are.

A round takes a batch of B nodes and draws children of all of them at once. With B = 1 a search is
the sequential algorithm that it is named after. With more, the nodes of a batch are chosen before
the values of one another's children are known: what that loses is said by each search.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from ... import checks
from .growing_tree import GrowingTree
from .search_sampler import BoundSearch, PrefixSearch


class Progress(Protocol):
    """What all states of these searches have."""

    @property
    def tree(self) -> GrowingTree:
        """What has been written."""
        ...

    @property
    def steps(self) -> int:
        """Rounds in which children were drawn."""
        ...


P = TypeVar("P", bound=Progress)


@dataclass(frozen=True, kw_only=True)
class BatchSearch(PrefixSearch):
    """A search that chooses a batch of nodes at a time.

    Attributes:
        batch: B, nodes that are expanded at once.
    """

    batch: int = 1

    def __post_init__(self) -> None:
        checks.settle(self, batch=checks.count("batch", self.batch))
        super().__post_init__()

    @property
    @abstractmethod
    def children(self) -> int:
        """How many children are drawn of a node that is expanded."""


@dataclass(frozen=True, kw_only=True)
class ExpandingBatchSearch(BatchSearch):
    """A search that expands a node once, by M children.

    Attributes:
        expansions: M, children of each node that is expanded.
    """

    expansions: int = 4

    def __post_init__(self) -> None:
        checks.settle(self, expansions=checks.count("expansions", self.expansions))
        super().__post_init__()

    @property
    def children(self) -> int:
        return self.expansions

    @property
    def least_tokens(self) -> int:
        return self.expansions  # the first round has the root alone


@dataclass(frozen=True, eq=False)
class BoundBatches(BoundSearch[P]):
    """A search that chooses a batch of nodes at a time, on a state-space model."""

    def with_children(self, tree: GrowingTree, t: int, parents: Sequence[int]) -> GrowingTree:
        """Draw the children of a batch of nodes, those of one parent side by side.

        Args:
            tree: what there is; it sees the children from number `tree.length` on.
            t: the round, from 1.
            parents: at most B open nodes, one several times where it is expanded several times.
        """
        each = self.sampler.children
        repeated = [parent for parent in parents for _ in range(each)]
        slots = range(len(repeated))
        grown, _ = self.expanded(tree, t, repeated, slots, self.sampler.batch * each)
        return grown

    def total(self) -> int | None:
        return None

    def tree(self, state: P) -> GrowingTree:
        return state.tree

    def count(self, state: P) -> int:
        return state.steps

    def vitals(self, state: P) -> Mapping[str, Any]:
        return {"answers": len(self.answers(state)), "nodes": state.tree.length}
