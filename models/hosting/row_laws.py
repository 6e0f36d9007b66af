"""The laws of a batch: what each row's token is drawn from, and what else tells its probability.

Rows of one law are drawn together. A batch of several prompts or runs may have several laws.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from ..mixture import Law, chosen, components, weighed
from ..randomness import SlotUniforms
from ..sampling import Sampling
from ..trajectory import Trajectory
from .draws import draw_from, log_probs
from .transfers import sent


class RowLaw(NamedTuple):
    """What a step is drawn from, and the prior whose log-probability it is told.

    Attributes:
        proposal: a `Sampling`, or a `Mixture` of them.
        prior: what the declared prior is.
    """

    proposal: Law
    prior: Sampling

    def draw(
        self, logits: torch.Tensor, uniforms: torch.Tensor, choices: np.ndarray
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw a token for each row, from the component that it has chosen.

        Args:
            logits: (rows, vocabulary).
            uniforms: float64 (rows,), in [0, 1).
            choices: the number of each row's component, (rows,).

        Returns:
            The tokens (rows,), and their log-probabilities under the prior and each component,
            (rows, 1 + components).
        """
        laws = components(self.proposal)
        tables = [log_probs(logits, law) for law in laws]
        ids = draw_from(tables, uniforms, choices)
        terms = [table.gather(1, ids[:, None]) for table in tables]
        if self.prior in laws:
            terms.insert(0, terms[laws.index(self.prior)])
        else:
            terms.insert(0, log_probs(logits, self.prior).gather(1, ids[:, None]))
        return ids, torch.cat([term.double() for term in terms], dim=1)


class RowLaws:
    """The law of every slot of a batch.

    Args:
        laws: one for each slot.

    Attributes:
        width: how many log-probabilities a token has at most: under the prior and each component.

    Example:
        >>> laws = RowLaws([RowLaw(Sampling(), Sampling()), RowLaw(Sampling(top_k=1), Sampling())])
        >>> logits = torch.log(torch.tensor([[0.25, 0.75], [0.25, 0.75]]))
        >>> laws.draw(logits, np.array([0.2, 0.2]), np.zeros(2, int), np.arange(2))[0]
        tensor([0, 1])
    """

    def __init__(self, laws: Sequence[RowLaw]) -> None:
        self._laws = [*dict.fromkeys(laws)]
        number = {law: i for i, law in enumerate(self._laws)}
        self._of_slot = np.array([number[law] for law in laws], np.int64)
        self.width = 1 + max(len(components(law.proposal)) for law in self._laws)

    def choices(self, parents: Sequence[Trajectory], uniforms: SlotUniforms) -> np.ndarray:
        """Draw the component that each slot's step is drawn from; int64 (N,)."""
        if len(self._laws) == 1:
            return chosen(self._laws[0].proposal, parents, uniforms)
        choices = np.zeros(len(parents), np.int64)
        for number, law in enumerate(self._laws):
            slots = np.flatnonzero(self._of_slot == number)
            own = [parents[slot] for slot in slots.tolist()]
            choices[slots] = chosen(law.proposal, own, uniforms.of(slots))
        return choices

    def draw(
        self, logits: torch.Tensor, uniforms: np.ndarray, choices: np.ndarray, slots: np.ndarray
    ) -> tuple[torch.Tensor, np.ndarray]:
        """Draw a token for each row.

        Args:
            logits: (rows, vocabulary).
            uniforms: (rows,), in [0, 1).
            choices: the number of each row's component, (rows,).
            slots: which slot each row belongs to, (rows,).

        Returns:
            The tokens, on the device, (rows,); and on the host, float64 (rows, 1 + width): the
            token, and its log-probabilities under the prior and each component, zero where a law
            has fewer components than another.
        """
        points = sent(uniforms, logits.device)
        if len(self._laws) == 1:
            ids, terms = self._laws[0].draw(logits, points, choices)
        else:
            ids, terms = self._drawn_apart(logits, points, choices, self._of_slot[slots])
        # one transfer a token: ids are exact in float64
        return ids, torch.cat([ids[:, None].double(), terms], dim=1).cpu().numpy()

    def said(self, slot: int, parent: Trajectory, sums: np.ndarray) -> dict[str, Any]:
        """Say to `Trajectory.child` what a slot's step is worth.

        Args:
            slot: its number.
            parent: what was written before it.
            sums: the step's log-probabilities, in nats, as `draw` gives them for each token.
        """
        law = self._laws[self._of_slot[slot]]
        log_p, *log_q = sums[: 1 + len(components(law.proposal))].tolist()
        return {"logprob": log_p, **weighed(law.proposal, parent, log_q)}

    def _drawn_apart(
        self, logits: torch.Tensor, points: torch.Tensor, choices: np.ndarray, laws: np.ndarray
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw the rows of each law by themselves."""
        ids = torch.empty(len(laws), dtype=torch.int64, device=logits.device)
        terms = torch.zeros(len(laws), self.width, dtype=torch.float64, device=logits.device)
        for number in np.unique(laws):
            own = np.flatnonzero(laws == number)
            rows = sent(own, logits.device)
            drawn, found = self._laws[number].draw(logits[rows], points[rows], choices[own])
            ids[rows] = drawn
            terms[rows, : found.shape[1]] = found
        return ids, terms
