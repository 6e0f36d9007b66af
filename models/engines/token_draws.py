"""Taking the next tokens of an engine's batch with uniforms of our own.

An engine shows the logits of all rows before it draws. Here each row's token is drawn from them, by
the uniform that belongs to its slot and to the token's number, and all other tokens are made
impossible. So a slot's draw depends on its key alone, and its log-probabilities under any law are
computed from the same logits.

An engine may compute a row's logits more than once (a prompt that is read in parts, a request that
is put off and begun again). What counts is the number of tokens that the row already has.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from ..hosting.row_laws import RowLaws
from ..hosting.token_measures import Measure
from ..randomness import SlotUniforms
from ..trajectory import Trajectory

SLOT = "motes_slot"  # what a request's extra arguments name its slot


class TokenDraws:
    """The draws of one batch of slots at a time.

    Attributes:
        tokens: of each slot, those drawn so far.
        values: of each slot, for each token its values.

    Example:
        >>> import numpy as np
        >>> from functools import partial
        >>> from motes.models import Sampling
        >>> from motes.models.hosting.token_measures import chosen
        >>> draws = TokenDraws()
        >>> draws.give([[2]], [partial(chosen, law=Sampling())])
        >>> draws.row(0, 0, [])
        >>> draws.apply(torch.zeros(1, 4))
        tensor([[-inf, -inf, 0., -inf]])
        >>> draws.tokens[0], np.exp(draws.values[0]).round(2).tolist()
        ([2], [[0.25]])
    """

    def __init__(self) -> None:
        self._rows: dict[int, tuple[int, Sequence[int]]] = {}
        self.give([], [])

    def draw(self, laws: RowLaws, parents: Sequence[Trajectory], uniforms: SlotUniforms) -> None:
        """Begin with a new batch, whose tokens are drawn.

        Args:
            laws: of each slot. Values are the token's log-probabilities under its prior and the
                components of its proposal.
            parents: what each slot's step follows.
            uniforms: the slots' random numbers.
        """
        self._begin(_Drawing(laws, laws.choices(parents, uniforms), uniforms), len(parents))

    def give(self, given: Sequence[Sequence[int]], measures: Sequence[Measure]) -> None:
        """Begin with a new batch, whose tokens are given.

        Args:
            given: the tokens that each slot must take.
            measures: of the logits and the token; values are theirs.
        """
        self._begin(_Giving(given, measures), len(given))

    def _begin(self, taking: _Drawing | _Giving, slots: int) -> None:
        self.tokens: list[list[int]] = [[] for _ in range(slots)]
        self.values: list[list[list[float]]] = [[] for _ in range(slots)]
        self._taking = taking

    def row(self, row: int, slot: int, output: Sequence[int]) -> None:
        """Say that a row of the engine's batch belongs to a slot, whose output stands there."""
        self._rows[row] = slot, output

    def update(self, removed: Sequence[int], added: Sequence[Any], moved: Sequence[Any]) -> None:
        """Follow the rows of the engine's batch.

        Args:
            removed: rows that are empty now.
            added: (row, sampling parameters, prompt, output), the output a list that grows.
            moved: (row, other row, direction), where a direction named SWAP exchanges them.
        """
        for row in removed:
            self._rows.pop(row, None)
        for row, params, _, output in added:
            self.row(row, params.extra_args[SLOT], output)
        for one, other, direction in moved:
            first, second = self._rows.pop(one, None), self._rows.pop(other, None)
            if first is not None:
                self._rows[other] = first
            if second is not None and direction.name == "SWAP":
                self._rows[one] = second

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        """Draw a token for each row, and return logits under which no other is possible.

        Args:
            logits: (rows, vocabulary).
        """
        rows = [self._rows[row] for row in range(len(logits))]
        places = [len(output) for _, output in rows]
        ids, values = self._taking.take(logits, [slot for slot, _ in rows], places)
        for (slot, _), place, token, terms in zip(rows, places, ids.tolist(), values, strict=True):
            del self.tokens[slot][place:], self.values[slot][place:]
            self.tokens[slot].append(token)
            self.values[slot].append(terms)
        return torch.full_like(logits, -torch.inf).scatter_(1, ids[:, None], 0.0)


class _Drawing(NamedTuple):
    """Tokens are drawn by the laws of their slots."""

    laws: RowLaws
    choices: np.ndarray
    uniforms: SlotUniforms

    def take(
        self, logits: torch.Tensor, slots: Sequence[int], places: Sequence[int]
    ) -> tuple[torch.Tensor, list[list[float]]]:
        """Return the token of each row, and its values."""
        own = np.array(slots, np.int64)
        points = [
            float(self.uniforms.at(place)[slot]) for slot, place in zip(slots, places, strict=True)
        ]
        ids, host = self.laws.draw(logits, np.array(points), self.choices[own], own)
        return ids, host[:, 1:].tolist()


class _Giving(NamedTuple):
    """Tokens are given, and measured."""

    given: Sequence[Sequence[int]]
    measures: Sequence[Measure]

    def take(
        self, logits: torch.Tensor, slots: Sequence[int], places: Sequence[int]
    ) -> tuple[torch.Tensor, list[list[float]]]:
        """Return the token of each row, and its values."""
        taken = [self.given[slot][place] for slot, place in zip(slots, places, strict=True)]
        ids = torch.tensor(taken, device=logits.device)
        columns = logits[:, None]
        table = [measure(columns, ids[:, None])[:, 0].double() for measure in self.measures]
        return ids, torch.stack(table, dim=1).tolist() if table else [[]] * len(taken)
