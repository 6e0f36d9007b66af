"""What a network has read of one node of a tree: a step's tokens, or a root's prompt."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass(eq=False)
class CachedNode:
    """What is kept of a node.

    Attributes:
        tokens: that it stands for.
        slots: of the pool, which hold the first of them; int64.
        read: how many of them were ever read.
        used: when it was used last, by the store's clock.
    """

    tokens: tuple[int, ...]
    slots: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    read: int = 0
    used: int = 0

    @property
    def unread(self) -> tuple[int, ...]:
        """The tokens whose keys and values are not kept."""
        return self.tokens[len(self.slots) :]
