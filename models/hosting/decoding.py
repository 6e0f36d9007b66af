"""The decode loop: a token a row and a forward pass, until every row's step has ended."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch

from ..progress import Drawn, Listener
from ..randomness import SlotUniforms
from ..trajectory import Trajectory
from .budgets import Budgets
from .detokenizer import Detokenizer
from .kv import Rows
from .row_laws import RowLaw, RowLaws
from .static_rows import StaticRows
from .transfers import sent

IDLE = 0.25  # the share of a batch that may idle before it is compacted


class StepEnding:
    """Where a step ends, and the child of its parent that it makes.

    Args:
        detokenizer: the tokenizer's decoder and the step rule.
        end_ids: the token ids that end a text.
    """

    def __init__(self, detokenizer: Detokenizer, end_ids: frozenset[int]) -> None:
        self.detokenizer, self.rule, self.end_ids = detokenizer, detokenizer.rule, end_ids
        self.longest = self.rule.longest
        self._budgets = Budgets(self.rule)
        self._lengths = [rule.most for rule in self.rule.rules]
        self._may_end = detokenizer.may_end()
        self._may_end[[token for token in end_ids if token < len(self._may_end)]] = True

    def may_be(self, tokens: np.ndarray, count: int) -> np.ndarray:
        """Say whether each of these tokens, as number `count` of its step, could be the last.

        Bool, same shape.
        """
        return self._may_end[tokens] | (count in self._lengths)

    def child(
        self,
        parent: Trajectory,
        tokens: Sequence[int],
        logprob: float,
        proposal_logprob: float,
        component_logprobs: tuple[float, ...] = (),
        *,
        full: bool,
    ) -> Trajectory | None:
        """Return the child of `parent`, if these tokens complete its step.

        `full` where they fill the model's context.
        """
        finished = tokens[-1] in self.end_ids
        text = self.detokenizer.text(parent, tokens, last=finished or full)
        step = self.rule.governing(text, thinks=self._budgets.of(parent).thinks)
        if not (finished or full or step.ends(len(tokens))):
            return None
        child = parent.child(
            text,
            tuple(tokens),
            logprob=logprob,
            proposal_logprob=proposal_logprob,
            component_logprobs=component_logprobs,
            finished=finished,
            truncated=full and not finished,
            delimited=step.delimited,
        )
        return child.close(truncated=True) if self._is_out(child) else child

    def _is_out(self, child: Trajectory) -> bool:
        """Say whether an open trajectory may not go on, its budget being spent."""
        return child.open and self._budgets.are_spent(child)


class Decoder:
    """Draws one step for each row of a batch.

    Args:
        forward: reads one token a row and gives the logits behind it: (rows, tokens, alive) ->
            (rows, vocabulary).
        store: keeps what rows have computed (see `TreeCache.store`).
        select: some of a batch's rows (see `Rows.select`).
        ending: where a step ends, and what it is then.
        laws: of each row's step.
        name: of the model, for errors.
        listener: told of every token of the batch; None for nobody.

    Attributes:
        idle_rows: rows of forward passes that were spent on steps already ended.
    """

    def __init__(
        self,
        *,
        forward: Callable[[Any, torch.Tensor, torch.Tensor], torch.Tensor],
        store: Callable[[Any, Iterable[tuple[int, Trajectory, int, int]]], None],
        select: Callable[[Any, Sequence[int]], Any],
        ending: StepEnding,
        laws: Sequence[RowLaw],
        name: str,
        listener: Listener | None = None,
    ) -> None:
        self.listener = listener
        self.forward, self.store, self.select, self.ending = forward, store, select, ending
        self.laws, self.name = RowLaws(laws), name
        self.idle_rows = 0

    def run(
        self,
        parents: Sequence[Trajectory],
        logits: torch.Tensor,
        rows: Rows | StaticRows,
        uniforms: SlotUniforms,
        room: np.ndarray,
    ) -> list[Trajectory]:
        """Draw a step behind each parent.

        Args:
            parents: N open trajectories.
            logits: behind each, (N, vocabulary).
            rows: their contexts, a row each; used up.
            uniforms: the slots' random numbers.
            room: how many more tokens each row's context holds, (N,); a row that fills it is
                truncated.

        Returns:
            N children.

        Raises:
            FloatingPointError: the model's output is NaN.
        """
        steps: list[Trajectory | None] = [None] * len(parents)
        slots = np.arange(len(parents))  # which slot each row of the batch belongs to
        going = np.ones(len(parents), dtype=bool)  # by row: its step goes on
        drawn = np.empty((len(parents), 0), dtype=np.int64)  # by slot: the tokens
        # by slot: which component its step is drawn from
        choices = self.laws.choices(parents, uniforms)
        # by slot: log-probability of the step under the prior, and under each component
        sums = np.zeros((len(parents), self.laws.width))
        first = rows.columns
        ended: list[tuple[int, Trajectory, int, int]] = []
        for count in range(1, self.ending.longest + 1):
            points = uniforms.at(count - 1)[slots]
            next_ids, host = self.laws.draw(logits, points, choices[slots], slots)
            tokens, terms = host[:, 0].astype(np.int64), host[:, 1:]
            bad = slots[going & np.isnan(terms).any(axis=1)]
            if len(bad):
                raise FloatingPointError(
                    f"the language model {self.name!r} gave logits that are not numbers after "
                    f"{parents[bad[0]]!r}"
                )
            if self.listener is not None:
                self.listener(Drawn(int(going.sum()), count, self.ending.longest, int(room.max())))
            live = slots[going]
            drawn = np.concatenate([drawn, np.zeros((len(parents), 1), np.int64)], axis=1)
            drawn[live, -1] = tokens[going]
            sums[live] += terms[going]
            full = count >= room[slots]
            for row in np.flatnonzero(going & (full | self.ending.may_be(tokens, count))):
                slot = slots[row]
                step = self.ending.child(
                    parents[slot],
                    drawn[slot].tolist(),
                    full=bool(full[row]),
                    **self.laws.said(slot, parents[slot], sums[slot]),
                )
                if step is not None:
                    steps[slot], going[row] = step, False
                    ended.append((int(row), step, first, count - 1))
            if not going.any():
                break
            left = int(going.sum())
            if len(slots) - left > IDLE * len(slots) and rows.compacts(left):
                self.store(rows, ended)
                ended = []
                keep = np.flatnonzero(going)
                rows = self.select(rows, keep.tolist())
                slots = slots[keep]
                going = going[keep]
                next_ids = next_ids[sent(keep, next_ids.device)]
            self.idle_rows += rows.height - left
            alive = sent(going.astype(np.int64), next_ids.device)
            logits = self.forward(rows, next_ids, alive)
        self.store(rows, ended)
        return [step for step in steps if step is not None]
