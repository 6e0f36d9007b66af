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
from typing import Any

import torch

from ..hosting.draws import draw, log_probs
from ..hosting.token_measures import Measure
from ..randomness import SlotUniforms
from ..sampling import Sampling

SLOT = "motes_slot"  # what a request's extra arguments name its slot


class TokenDraws:
    """The draws of one batch of slots at a time.

    Attributes:
        tokens: of each slot, those drawn so far.
        values: of each slot, for each token the value of each measure.

    Example:
        >>> import numpy as np
        >>> from functools import partial
        >>> from motes.models.hosting.token_measures import chosen
        >>> draws = TokenDraws()
        >>> draws.begin(1, [partial(chosen, law=Sampling())], given=[[2]])
        >>> draws.row(0, 0, [])
        >>> draws.apply(torch.zeros(1, 4))
        tensor([[-inf, -inf, 0., -inf]])
        >>> draws.tokens[0], np.exp(draws.values[0]).round(2).tolist()
        ([2], [[0.25]])
    """

    def __init__(self) -> None:
        self._rows: dict[int, tuple[int, Sequence[int]]] = {}
        self.begin(0, [])

    def begin(
        self,
        slots: int,
        measures: Sequence[Measure],
        *,
        sampling: Sampling | None = None,
        uniforms: SlotUniforms | None = None,
        given: Sequence[Sequence[int]] = (),
    ) -> None:
        """Begin with a new batch.

        Args:
            slots: how many there are.
            measures: of the logits and the token, such as its log-probability under a law.
            sampling: what tokens are drawn from.
            uniforms: the slots' random numbers.
            given: in place of these two, the tokens that each slot must take.
        """
        self.tokens: list[list[int]] = [[] for _ in range(slots)]
        self.values: list[list[list[float]]] = [[] for _ in range(slots)]
        self._measures, self._given = measures, given
        self._sampling, self._uniforms = sampling or Sampling(), uniforms

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
        ids = self._ids(logits, [slot for slot, _ in rows], places)
        columns = logits[:, None]
        table = [measure(columns, ids[:, None])[:, 0].double() for measure in self._measures]
        values = torch.stack(table, dim=1).tolist() if table else [[]] * len(rows)
        for (slot, _), place, token, terms in zip(rows, places, ids.tolist(), values, strict=True):
            del self.tokens[slot][place:], self.values[slot][place:]
            self.tokens[slot].append(token)
            self.values[slot].append(terms)
        return torch.full_like(logits, -torch.inf).scatter_(1, ids[:, None], 0.0)

    def _ids(
        self, logits: torch.Tensor, slots: Sequence[int], places: Sequence[int]
    ) -> torch.Tensor:
        """Return the token of each row."""
        if self._uniforms is None:
            taken = [self._given[slot][place] for slot, place in zip(slots, places, strict=True)]
            return torch.tensor(taken, device=logits.device)
        points = [
            float(self._uniforms.at(place)[slot]) for slot, place in zip(slots, places, strict=True)
        ]
        uniforms = torch.tensor(points, dtype=torch.float64, device=logits.device)
        return draw(log_probs(logits, self._sampling), uniforms)
