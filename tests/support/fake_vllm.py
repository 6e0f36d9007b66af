"""An engine with the interface of vLLM's that `VllmLM` uses, and its bad habits.

It has a prefix cache of blocks of 16 tokens; it reads a prompt in two parts, and shows the logits
of the first as well; it puts requests off and begins them again; it moves and exchanges rows of its
batch; it takes no more than four at a time.
"""

from __future__ import annotations

from enum import Enum
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from stub_servers import PrefixCache, TableModel

from motes.models import StepRule
from motes.models.engines.token_draws import TokenDraws
from motes.models.engines.vllm_lm import VllmLM

ROWS = 4


class Direction(Enum):
    UNIDIRECTIONAL = 0
    SWAP = 1


class FakeEngine:
    """The engine; its model is a table.

    Attributes:
        steps: how many it has taken.
        dies_after: after so many steps it fails; None for never.
    """

    dies_after: int | None = None

    def __init__(self, model: TableModel, draws: TokenDraws) -> None:
        self.model, self.draws = model, draws
        self.waiting: list[Any] = []
        self.rows: list[Any] = []
        self.rng = np.random.default_rng(0)
        self.steps, self.kept = 0, PrefixCache(block=16)

    def add_request(self, name: str, prompt: dict[str, list[int]], params: Any) -> str:
        ids = prompt["prompt_token_ids"]
        assert len(ids) + params.max_tokens <= self.model.context
        self.waiting.append(
            SimpleNamespace(name=name, prompt=ids, params=params, output=[], begun=False, cached=0)
        )
        return name

    def abort_request(self, names: list[str]) -> None:
        self.waiting = [request for request in self.waiting if request.name not in names]
        for request in [request for request in self.rows if request.name in names]:
            self._leave(request)

    def step(self) -> list[Any]:
        if self.steps == self.dies_after:
            raise RuntimeError("the engine is dead")
        self.steps += 1
        self._rearrange()
        logits = [self.model.logits([*row.prompt, *row.output]) for row in self.rows]
        drawn = self.draws.apply(torch.tensor(np.array(logits)))
        ids = drawn.argmax(dim=1).tolist()
        outputs = []
        for row, token in zip(list(self.rows), ids, strict=True):
            if not row.begun:  # only a part of the prompt was read: nothing is drawn yet
                row.begun, row.cached = True, self.kept.cached(row.prompt)
                continue
            row.output.append(token)
            finished = len(row.output) == row.params.max_tokens
            if finished:
                self._leave(row)
            outputs.append(
                SimpleNamespace(
                    request_id=row.name,
                    outputs=[SimpleNamespace(token_ids=list(row.output))],
                    num_cached_tokens=row.cached,
                    finished=finished,
                )
            )
        return outputs

    def _rearrange(self) -> None:
        if len(self.rows) > 1 and self.rng.random() < 0.3:  # the first is put off
            self.waiting.append(self.rows[0])
            self._leave(self.rows[0])
        while self.waiting and len(self.rows) < ROWS:
            request = self.waiting.pop(0)
            row = len(self.rows)
            self.rows.append(request)
            self.draws.update([], [(row, request.params, request.prompt, request.output)], [])
        if len(self.rows) > 1:
            self.rows[0], self.rows[-1] = self.rows[-1], self.rows[0]
            self.draws.update([], [], [(0, len(self.rows) - 1, Direction.SWAP)])

    def _leave(self, request: Any) -> None:
        """Empty a row, and move the last one there; nothing has read its last token."""
        self.kept.read([*request.prompt, *request.output][:-1])
        row, last = self.rows.index(request), len(self.rows) - 1
        moved = [] if row == last else [(last, row, Direction.UNIDIRECTIONAL)]
        self.draws.update([row], [], moved)
        self.rows[row] = self.rows[last]
        self.rows.pop()


def vllm_lm(model: TableModel, step: StepRule, context: int | None = None) -> VllmLM:
    """Make vLLM in process, with an engine that does what the real one does to its batches."""
    draws = TokenDraws()
    return VllmLM(
        FakeEngine(model, draws),
        draws,
        model.tokenizer,
        step=step,
        prompt=None,
        name="table",
        weights="",
        end_ids=frozenset([model.eos]),
        vocabulary=len(model.tokenizer),
        context=context or model.context,
    )
