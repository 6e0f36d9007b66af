"""What a network has read of the nodes of trajectories, and the store of their keys and values.

A node stands for some tokens: a step's, or a root's prompt. Under another prompt the same node
stands for other tokens, so that each language model over a network has nodes of its own. The store
is one for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol
from weakref import WeakKeyDictionary, WeakSet, finalize

import numpy as np

from ..callbacks import weakly
from ..trajectory import Trajectory
from .cached_nodes import CachedNode
from .kv import Pool
from .last_rows import LastRows


class Store:
    """The keys and values of one network, of whatever language models read with it.

    Args:
        pool: of slots.

    Attributes:
        clock: counts the batches.
        last: the batch that was computed last; None where it is not kept.
        cached: all nodes.
    """

    def __init__(self, pool: Pool) -> None:
        self.pool, self.clock = pool, 0
        self.last: LastRows | None = None
        self.cached: WeakSet[CachedNode] = WeakSet()

    def take(self, count: int) -> np.ndarray | None:
        """Take slots from the pool, from the nodes unused for longest if need be.

        None if only those of the batch under way are left.
        """
        taken = self.pool.take(count)
        while taken is None:
            idle = [node for node in self.cached if node.used < self.clock and len(node.slots)]
            if not idle:
                return None
            self.evict(min(idle, key=lambda node: node.used))
            taken = self.pool.take(count)
        return taken

    def evict(self, node: CachedNode) -> None:
        """Give a node's slots back."""
        self.pool.release(node.slots)
        node.slots = node.slots[:0]


class Nodes(Protocol):
    """Finds what is kept of a node."""

    def of(self, node: Trajectory) -> CachedNode: ...


class OwnNodes:
    """The nodes of one language model.

    Args:
        tokens_of: the token ids that a node stands for, at least one; often a method of what holds
            this.
        store: of the network.
    """

    def __init__(self, tokens_of: Callable[[Trajectory], tuple[int, ...]], store: Store) -> None:
        self.store = store
        self._tokens_of = weakly(tokens_of)
        self._known: WeakKeyDictionary[Trajectory, CachedNode] = WeakKeyDictionary()

    def __len__(self) -> int:
        return len(self._known)

    def of(self, node: Trajectory) -> CachedNode:
        """Return what is kept of a node."""
        cached = self._known.get(node)
        if cached is None:
            cached = CachedNode(self._tokens_of(node), used=self.store.clock)
            self._known[node] = cached
            self.store.cached.add(cached)
            finalize(node, self.store.evict, cached).atexit = False
        return cached

    def drop(self) -> None:
        """Forget the keys and values of all."""
        for cached in self._known.values():
            self.store.evict(cached)
        self.store.last = None


class JointNodes:
    """The nodes of several language models over one network, told apart by their roots.

    Args:
        owners: for each root, the nodes of the model whose it is.
    """

    def __init__(self, owners: Mapping[Trajectory, OwnNodes]) -> None:
        self._owners = owners

    def of(self, node: Trajectory) -> CachedNode:
        """Return what is kept of a node."""
        return self._owners[node.path[0]].of(node)
