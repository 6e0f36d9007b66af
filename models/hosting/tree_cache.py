"""What a causal model has computed of a tree of trajectories.

Every node of the tree stands for some tokens (the root for the prompt), and owns the pool slots of
those that the model has read. To know the logits behind a node, the tokens that no one has read yet
on the way to it are forwarded: prefixes that several nodes share first and once, then what they do
not share, as few forward passes as the tree has forks. What is cached never changes a result; when
the pool is full, the nodes that have not been used for longest lose their slots and are read again
if they are needed.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from copy import copy
from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import torch

from ...aliases import Network
from ..callbacks import weakly
from ..trajectory import Trajectory
from .cached_nodes import CachedNode
from .chains import chains_of
from .kv import SPARE, Pool, Rows, cache_argument, make_pool
from .last_rows import LastRows
from .memory import COPIES, CacheFullError
from .shared_attention import attending
from .static_rows import StaticRows, padded_bytes
from .store import JointNodes, Nodes, OwnNodes, Store
from .transfers import sent

OUTPUT_BYTES = 16  # for one output: its logit, its log-probability, and a sum in float64


class Computed(NamedTuple):
    """What `TreeCache.logits_at` found.

    Attributes:
        logits: (N, outputs), behind each node asked for.
        rows: the batch of their contexts, ready to go on from, where one forward pass made it; else
            None.
    """

    logits: torch.Tensor
    rows: Rows | None


class Tokens(NamedTuple):
    """Counts of forwarded tokens: of the roots, of the steps, and of either for a second time."""

    roots: int
    steps: int
    again: int


class TreeCache:
    """Forward passes over a tree of trajectories, each token read once.

    Args:
        model: a transformers model with a causal backbone.
        tokens_of: the token ids that a node stands for; at least one each.
        budget: the most bytes of keys and values to keep, the last batch's rows among them.
        on_forward: called after every forward pass with (`Tokens`, seconds).
        on_move: called with the seconds that moving keys and values took.
        beside: the cache of another language model over the same network, whose store, with its
            budget, this one shares.

    Attributes:
        pool: of the keys and values that are kept.
        own: its nodes.
    """

    def __init__(
        self,
        model: Network,
        tokens_of: Callable[[Trajectory], tuple[int, ...]],
        *,
        budget: int,
        on_forward: Callable[[Tokens, float], None],
        on_move: Callable[[float], None],
        beside: TreeCache | None = None,
    ) -> None:
        self.model, self.device = model, model.device
        # often methods of what holds this cache
        self.on_forward, self.on_move = weakly(on_forward), weakly(on_move)
        self._spares_head = "logits_to_keep" in inspect.signature(model.forward).parameters
        self._cache_argument = cache_argument(model)
        self._store = Store(make_pool(model, budget=budget)) if beside is None else beside._store
        self.pool: Pool = self._store.pool
        self.own = OwnNodes(tokens_of, self._store)
        self._nodes: Nodes = self.own

    def together(self, owners: Mapping[Trajectory, TreeCache]) -> TreeCache:
        """Return a cache that reads the trees of several language models in one batch.

        What it computes is kept where it belongs, and told to this one's `on_forward`.

        Args:
            owners: for each root, the cache of the model whose it is, which shares this one's
                store.
        """
        joint = copy(self)
        joint._nodes = JointNodes({root: tree.own for root, tree in owners.items()})
        return joint

    def logits_at(self, nodes: Sequence[Trajectory]) -> Computed:
        """Return the model's outputs behind the last token of each node.

        Distinct nodes, any part of the tree cached or not.

        Raises:
            CacheFullError: the nodes' own prefixes do not fit into the budget together.
        """
        self._store.clock += 1
        wanted = {node: place for place, node in enumerate(nodes)}
        found: list[torch.Tensor | None] = [None] * len(nodes)
        pending = self._pending([self._path(node) for node in nodes])
        # a node that is read already is read at its last token once more: its logits were not kept
        chains = [*chains_of(pending), *([node] for node in nodes if node not in pending)]
        rows, in_order = None, False
        while chains:
            rows = self._read(chains, wanted, found)
            in_order = [chain[-1] for chain in chains] == list(nodes)
            for chain in chains:
                for node in chain:
                    pending.pop(node, None)
            chains = chains_of(pending)
        return Computed(
            torch.stack([logits for logits in found if logits is not None]),
            rows if in_order else None,
        )

    def rows(self, nodes: Sequence[Trajectory]) -> Rows:
        """Gather the contexts of nodes that `logits_at` has just read.

        A node may occur several times.
        """
        began = time.perf_counter()
        slots = {node: self._slots(node.path) for node in set(nodes)}
        rows = Rows.from_pool(self.pool, [slots[node] for node in nodes], room=0)
        self.on_move(time.perf_counter() - began)
        return rows

    def select(self, rows: Rows, index: Sequence[int]) -> Rows:
        """Select rows as `Rows.select` does, and count the time."""
        began = time.perf_counter()
        selected = rows.select(index)
        self.on_move(time.perf_counter() - began)
        return selected

    def retract(self, rows: Rows, drops: np.ndarray) -> None:
        """Forget columns as `Rows.retract` does, and count the time."""
        began = time.perf_counter()
        rows.retract(drops)
        self.on_move(time.perf_counter() - began)

    def forward(
        self,
        rows: Rows,
        ids: torch.Tensor,
        counts: torch.Tensor,
        tokens: Tokens,
        keep: torch.Tensor | int = 1,
    ) -> torch.Tensor:
        """Run one forward pass over `ids` (rows, width); row i's first counts[i] are tokens.

        Returns:
            The model's outputs (rows, kept, outputs), at the last `keep` columns (0: all) or at the
            columns `keep`.
        """
        began = time.perf_counter()
        mask, positions = rows.advance(counts, ids.shape[1])
        keeping = {"logits_to_keep": keep} if self._spares_head else {}
        with attending(self.model, rows) if self.pool.shares else nullcontext():
            logits = self.model(
                input_ids=ids,
                attention_mask=mask,
                position_ids=positions,
                use_cache=True,
                **{self._cache_argument: rows},
                **keeping,
            ).logits
        if not self._spares_head:
            logits = logits[:, -keep:] if isinstance(keep, int) else logits[:, keep]
        self.on_forward(tokens, time.perf_counter() - began)
        return logits

    def store(
        self, rows: Rows | StaticRows, items: Iterable[tuple[int, Trajectory, int, int]]
    ) -> None:
        """Keep what rows have computed.

        For each (row, node, first column, count), the node's next `count` tokens.

        Nodes that do not fit, and closed ones, are not kept: they will be read again if anyone
        asks.
        """
        began = time.perf_counter()
        kept: list[tuple[CachedNode, np.ndarray]] = []
        row_index, columns = [], []
        places: WeakKeyDictionary[CachedNode, tuple[int, int]] = WeakKeyDictionary()
        try:
            for row, node, first, count in items:
                entry = self._nodes.of(node)
                if node.open and first + count == rows.columns:
                    above = 0 if node.parent is None else self.length(node.parent)
                    places[entry] = row, above + len(entry.slots) + count
                entry.read = max(entry.read, len(entry.slots) + count)
                taken = self._store.take(count) if count and node.open else None
                if taken is not None:
                    kept.append((entry, taken))
                    row_index.append(np.full(count, row))
                    columns.append(np.arange(first, first + count))
            if kept:
                slots = np.concatenate([taken for _, taken in kept])
                keys, values = rows.at(np.concatenate(row_index), np.concatenate(columns))
                self.pool.write(sent(slots, self.device), keys, values)
        except BaseException:  # memory ran out: slots that nothing was written to must not be read
            for _, taken in kept:
                self.pool.release(taken)
            raise
        for entry, taken in kept:
            entry.slots = np.concatenate([entry.slots, taken])
        self._store.last = None
        if isinstance(rows, Rows) and places:
            left = (self.pool.limit - self.pool.owned) * self.pool.token_bytes
            self._store.last = LastRows(rows, rows.columns, places) if rows.nbytes <= left else None
        self.on_move(time.perf_counter() - began)

    def row_bytes(
        self,
        nodes: Sequence[Trajectory],
        more: Sequence[int],
        outputs: int,
        *,
        padded: bool = False,
    ) -> list[int]:
        """Return about how many bytes each row of a batch takes: keys, values and logits.

        What all rows share, where it is held once, is not a row's.

        Args:
            nodes: the rows' contexts.
            more: tokens that may follow each.
            outputs: numbers in a row of the model's outputs.
            padded: whether rows are decoded in fixed shapes.
        """
        shared = self._shared_length(nodes) if self.pool.shares else 0
        columns = [
            self.length(node) - shared + count + SPARE
            for node, count in zip(nodes, more, strict=True)
        ]
        logits, size = outputs * OUTPUT_BYTES, self.pool.token_bytes
        rows = [COPIES * (count * size + logits) for count in columns]
        if not padded:
            return rows
        return [
            row + padded_bytes(count, size, logits)
            for row, count in zip(rows, columns, strict=True)
        ]

    def _shared_length(self, nodes: Sequence[Trajectory]) -> int:
        """Count the tokens of the nodes that all these have on their path."""
        common = 0
        for level in zip(*(node.path for node in nodes), strict=False):
            if any(node is not level[0] for node in level):
                break
            common += len(self._nodes.of(level[0]).tokens)
        return common

    def length(self, node: Trajectory) -> int:
        """Count the tokens that the model reads for a node and all above it."""
        return sum(len(self._nodes.of(ancestor).tokens) for ancestor in node.path)

    def drop(self) -> None:
        """Forget all keys and values of its nodes; results do not change."""
        self.own.drop()

    # The plan: which tokens must be read, in which rows.

    def _path(self, node: Trajectory) -> tuple[Trajectory, ...]:
        path = node.path
        for ancestor in path:
            self._nodes.of(ancestor).used = self._store.clock
        return path

    def _pending(self, paths: Sequence[tuple[Trajectory, ...]]) -> dict[Trajectory, None]:
        """Return the nodes with unread tokens, parents first."""
        pending: dict[Trajectory, None] = {}
        for path in paths:
            stale = False
            for node in path:
                if stale:  # what follows unread tokens is read again: a row has no holes
                    self._store.evict(self._nodes.of(node))
                if self._nodes.of(node).unread:
                    stale = True
                    pending[node] = None
        return pending

    def _read(
        self,
        chains: Sequence[list[Trajectory]],
        wanted: dict[Trajectory, int],
        found: list[torch.Tensor | None],
    ) -> Rows | None:
        """Read chains of nodes, a row each, in one forward pass.

        Returns the rows if they stayed aligned.
        """
        contexts, suffixes = [], []
        items, reads = [], []  # what to store; and (place in `found`, row, column of the suffix)
        for row, chain in enumerate(chains):
            slots = self._slots(chain[0].path, partial=True)
            unread = [self._nodes.of(node).unread for node in chain]
            if not unread[-1]:
                slots, unread = slots[:-1], [self._nodes.of(chain[-1]).tokens[-1:]]
                reads.append((wanted[chain[-1]], row, 0))
            else:
                ends = np.cumsum([len(tokens) for tokens in unread])
                items += [
                    (row, node, int(end) - len(tokens), len(tokens))
                    for node, tokens, end in zip(chain, unread, ends, strict=True)
                ]
                reads += [
                    (wanted[node], row, int(end) - 1)
                    for node, end in zip(chain, ends, strict=True)
                    if node in wanted
                ]
            contexts.append(slots)
            suffixes.append([token for tokens in unread for token in tokens])
        counts = [len(suffix) for suffix in suffixes]
        width = max(counts)
        ids = sent([suffix + [0] * (width - len(suffix)) for suffix in suffixes], self.device)
        began = time.perf_counter()
        rows = self._rows_of([chain[0] for chain in chains], contexts, room=width)
        self.on_move(time.perf_counter() - began)
        first = rows.columns
        keep = sorted({column for _, _, column in reads} or {width - 1})
        logits = self.forward(
            rows,
            ids,
            sent(counts, self.device),
            self._count(chains),
            keep=1 if keep == [width - 1] else sent(keep, self.device),
        )
        for place, row, column in reads:
            found[place] = logits[row, keep.index(column)]
        self.store(rows, [(row, node, first + column, count) for row, node, column, count in items])
        return rows if min(counts) == width else None

    def _rows_of(
        self, nodes: Sequence[Trajectory], contexts: Sequence[np.ndarray], *, room: int
    ) -> Rows:
        """Return a batch of contexts, of what each node or its parent has been read.

        They are taken from the last batch where all lie there as they would be gathered, so that
        steps of few tokens don't pay for moving all keys and values. `room` more columns are
        wanted.
        """
        last, self._store.last = self._store.last, None
        places = None
        if last is not None:
            above = [None if node.parent is None else self._nodes.of(node.parent) for node in nodes]
            cached = [*zip(map(self._nodes.of, nodes), above, strict=True)]
            places = last.places_of(cached, contexts)
        if last is not None and places is not None:
            return last.rows.select(places)
        del last  # its memory is wanted now
        return Rows.from_pool(self.pool, contexts, room=room)

    def _count(self, chains: Sequence[list[Trajectory]]) -> Tokens:
        roots = steps = again = 0
        for chain in chains:
            for node in chain:
                entry = self._nodes.of(node)
                new = len(entry.tokens) - entry.read
                again += max(1, len(entry.unread)) - new
                roots, steps = (roots + new, steps) if node.parent is None else (roots, steps + new)
        return Tokens(roots, steps, again)

    # The slots.

    def _slots(self, path: Sequence[Trajectory], *, partial: bool = False) -> np.ndarray:
        """Return the slots of a path's tokens.

        Only the last node may have unread tokens, and only if `partial`.
        """
        entries = [self._nodes.of(node) for node in path]
        whole = entries[:-1] if partial else entries
        if any(entry.unread for entry in whole):
            raise CacheFullError(
                f"a budget of {self.pool.limit} tokens does not hold the prefixes of one batch"
            )
        return np.concatenate([entry.slots for entry in entries])
