"""The tree that a search has written: every step that was drawn, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

OPEN, FINISHED, TRUNCATED = range(3)
"""How a node ends: another step may follow, it has ended, or it was cut off."""


@dataclass(frozen=True, eq=False, kw_only=True)
class SearchTree:
    """Every node of a search, the root first and parents before their children.

    A node is one step that was drawn. Equal siblings are nodes of their own, of which `firsts`
    names the first: they share everything that was computed.

    Attributes:
        parents: the node that each was drawn from; -1 of the root; int64, shape (V,).
        rounds: when it was drawn, from 1; 0 of the root; int64, shape (V,).
        log_values: what the search took it to be worth, log of a number in [0, 1]; minus infinity
            where it is ruled out, NaN of the root; float64, shape (V,).
        visits: how often the search went through it: draws from it, or simulations; int64, (V,).
        statuses: `OPEN`, `FINISHED` or `TRUNCATED`; int64, shape (V,).
        tokens: of its own step; int64, shape (V,).
        firsts: the first sibling with the same tokens, itself where there is none before it; int64,
            shape (V,).
        draws: the trajectory of the posterior that ends here; -1 where none does; int64, (V,).
        texts: of its own step.
        tokens_aside: generated in rollouts, whose text was thrown away.

    Example:
        >>> import motes
        >>> from motes.models import FunctionReward, TableLM
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> prm = FunctionReward(lambda x: 1.0 - x.token_ids[-1])
        >>> search = {"sampler": "beam_search", "particles": 8, "expansions": 4}
        >>> tree = motes.solve("?", lm=lm, prm=prm, max_steps=4, **search).tree
        >>> bool(tree.depths.max() <= 4), int(tree.parents[0])
        (True, -1)
    """

    parents: np.ndarray
    rounds: np.ndarray
    log_values: np.ndarray
    visits: np.ndarray
    statuses: np.ndarray
    tokens: np.ndarray
    firsts: np.ndarray
    draws: np.ndarray
    texts: tuple[str, ...] = field(repr=False)
    tokens_aside: int = 0

    def __len__(self) -> int:
        return len(self.parents)

    @cached_property
    def depths(self) -> np.ndarray:
        """The number of steps up to each node, int64, shape (V,)."""
        depths = np.zeros(len(self), np.int64)
        for node, parent in enumerate(self.parents.tolist()):
            if parent >= 0:
                depths[node] = depths[parent] + 1
        return depths

    @cached_property
    def expanded(self) -> np.ndarray:
        """Whether a step was drawn from each node, bool, shape (V,)."""
        expanded = np.zeros(len(self), bool)
        expanded[self.parents[1:]] = True
        return expanded

    @cached_property
    def kept(self) -> np.ndarray:
        """Whether each node is part of a trajectory of the posterior, bool, shape (V,)."""
        kept = self.draws >= 0
        for node in range(len(self) - 1, 0, -1):
            if kept[node]:
                kept[self.parents[node]] = True
        return kept

    @cached_property
    def merged(self) -> np.ndarray:
        """For each node the first one that says the same after the same; int64, shape (V,)."""
        known: dict[tuple[int, str, int], int] = {}
        same = np.zeros(len(self), np.int64)
        for node in range(1, len(self)):
            said = (int(same[self.parents[node]]), self.texts[node], int(self.statuses[node]))
            same[node] = known.setdefault(said, node)
        return same

    @property
    def pruned(self) -> np.ndarray:
        """Whether each node was given up: neither gone on with nor kept; bool, shape (V,)."""
        return ~(self.expanded | self.kept)

    @property
    def dead(self) -> np.ndarray:
        """Whether each node is ruled out: its value is zero; bool, shape (V,)."""
        return self.log_values == -np.inf

    @property
    def reused(self) -> int:
        """How many draws fell on a sibling that was there already."""
        return int((self.firsts != np.arange(len(self))).sum())

    @property
    def idle_tokens(self) -> int:
        """Generated tokens that are in no trajectory of the posterior, rollouts included."""
        return int(self.tokens[~self.kept].sum()) + self.tokens_aside

    def path(self, node: int) -> list[int]:
        """Return the nodes from the root to this one, both included."""
        found = [node]
        while self.parents[found[-1]] >= 0:
            found.append(int(self.parents[found[-1]]))
        return found[::-1]
