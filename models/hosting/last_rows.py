"""The rows of the last batch, from which the next step goes on without moving keys and values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np

from .cached_nodes import CachedNode
from .kv import SPARE, Rows, common_length


@dataclass
class LastRows:
    """The batch that was computed last, from which the next step may go on as it lies there.

    Attributes:
        rows: the batch.
        columns: how many it had in use; more are there once somebody has gone on.
        places: the row that holds a node's context up to its own last column, and how many tokens
            that is.
    """

    rows: Rows
    columns: int
    places: WeakKeyDictionary[CachedNode, tuple[int, int]]

    def places_of(
        self,
        nodes: Sequence[tuple[CachedNode, CachedNode | None]],
        contexts: Sequence[np.ndarray],
    ) -> list[int] | None:
        """Return the row of each node, or of its parent, that holds just its context.

        Args:
            nodes: each with its parent.
            contexts: their slots.

        None where one has none, where a gathered batch would have fewer columns, or where it would
        hold many columns once that rows have here one by one.
        """
        lengths = [len(context) for context in contexts]
        if not self.rows.columns == self.columns == max(lengths):
            return None
        found = [self._place(node) or self._place(parent) for node, parent in nodes]
        if [place[1] for place in found if place is not None] != lengths:
            return None
        if self.rows.shared and common_length(contexts) > self.rows.shared_columns + SPARE:
            return None
        return [place[0] for place in found if place is not None]

    def _place(self, node: CachedNode | None) -> tuple[int, int] | None:
        return None if node is None else self.places.get(node)
