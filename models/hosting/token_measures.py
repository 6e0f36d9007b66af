"""Figures of every token of given continuations: its log-probability, or how sure the model was."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import torch

from ..confidence import Top
from ..sampling import Sampling
from .draws import log_probs
from .kv import Rows
from .tree_cache import Tokens, TreeCache

# columns a forward pass when scoring continuations: bounds the logits held at a time
SCORED_COLUMNS = 64

Measure: TypeAlias = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Maps logits (rows, columns, vocabulary) and the ids drawn from them (rows, columns) to figures
(rows, columns)."""


def measured(
    tree: TreeCache,
    logits: torch.Tensor,
    rows: Rows,
    continuations: Sequence[tuple[int, ...]],
    measures: Sequence[Measure],
) -> list[np.ndarray]:
    """Return for each measure its figure at every token.

    Args:
        tree: reads the tokens.
        logits: behind each row's context, shape (rows, vocabulary).
        rows: the contexts.
        continuations: the tokens that follow each, at least one.
        measures: of logits and ids.

    Returns:
        Float64, shape (rows, tokens of the longest), 0 behind a row's last.
    """
    width = max(map(len, continuations))
    ids = torch.tensor(
        [[*continuation, *[0] * (width - len(continuation))] for continuation in continuations],
        device=logits.device,
    )
    counts = torch.tensor(
        [len(continuation) for continuation in continuations], device=logits.device
    )
    blocks = [[_inside(measure(logits[:, None], ids[:, :1]), counts) for measure in measures]]
    # the last token of all is scored, but need not be read
    for first in range(0, width - 1, SCORED_COLUMNS):
        block = ids[:, first : min(first + SCORED_COLUMNS, width - 1)]
        inside = (counts - 1 - first).clamp(0, block.shape[1])
        logits = tree.forward(rows, block, inside, Tokens(0, 0, int(inside.sum())), keep=0)
        following = ids[:, first + 1 : first + 1 + block.shape[1]]
        blocks.append([_inside(measure(logits, following), inside) for measure in measures])
    return [torch.cat(parts, dim=1).cpu().numpy() for parts in zip(*blocks, strict=True)]


def chosen(logits: torch.Tensor, ids: torch.Tensor, *, law: Sampling) -> torch.Tensor:
    """Return the log-probability of each id under the law that is made of its logits, nats."""
    return log_probs(logits, law).gather(2, ids[:, :, None]).squeeze(2).double()


def confident(logits: torch.Tensor, ids: torch.Tensor, *, top: Top) -> torch.Tensor:
    """Return how sure the model was at each place, nats; see `motes.models.confidence`.

    Args:
        logits: shape (rows, columns, vocabulary).
        ids: not asked: what was drawn does not matter.
        top: how many of the likeliest tokens count; None for all that are possible; "entropy" for
            these by their probability.
    """
    law = log_probs(logits, Sampling()).double()
    if top == "entropy":
        return (law.exp() * torch.where(torch.isneginf(law), 0.0, law)).sum(dim=-1)
    if top is not None:
        law = law.topk(min(top, law.shape[-1]), dim=-1).values
    possible = ~torch.isneginf(law)
    number = possible.sum(dim=-1)
    mean = -torch.where(possible, law, 0.0).sum(dim=-1) / number
    return mean if top is not None else mean - torch.log(number.double())


def _inside(values: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
    """Return each row's first inside[i] figures, and 0 behind them."""
    places = torch.arange(values.shape[1], device=values.device)
    return torch.where(places < inside[:, None], values, 0.0)
