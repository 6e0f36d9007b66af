"""Drawing tokens on the device.

`Sampling` for tensors, and the inverse of a cumulative distribution.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ..sampling import COLD, Sampling
from .transfers import sent

LEAST = 1e-30  # temperature that float32 can still divide by, and top_p that is above 0 in it


def log_probs(logits: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """Return normalised log-probabilities of next tokens, as `Sampling.log_probs` has them.

    Args:
        logits: (..., vocabulary), any floating type.
        sampling: the distribution to make of them.

    Returns:
        The same shape; float32, or float64 if the logits are; minus infinity where a token cannot
        be drawn.
    """
    logits = logits if logits.dtype == torch.float64 else logits.float()
    # where a quotient may overflow, only differences from the likeliest token count
    if sampling.temperature < COLD:
        logits = (logits - logits.amax(dim=-1, keepdim=True)) / max(sampling.temperature, LEAST)
    elif sampling.temperature != 1:
        logits = logits / min(sampling.temperature, 1 / LEAST)
    if sampling.truncates:
        logits = _truncated(logits, sampling)
    return torch.log_softmax(logits, dim=-1)


def draw(log_q: torch.Tensor, uniforms: torch.Tensor) -> torch.Tensor:
    """Draw a token a row by inverting the cumulative distribution, in vocabulary order and float64.

    Args:
        log_q: normalised log-probabilities (rows, vocabulary).
        uniforms: float64 (rows,), in [0, 1).

    Returns:
        int64 (rows,); tokens of probability zero are never drawn.
    """
    return draw_of(log_q.exp(), uniforms)


def draw_of(probs: torch.Tensor, uniforms: torch.Tensor) -> torch.Tensor:
    """Draw a token a row as `draw` does, from probabilities that need not add up to 1."""
    cumulative = probs.cumsum(dim=-1, dtype=torch.float64)
    points = uniforms[:, None] * cumulative[:, -1:]
    return (
        torch.searchsorted(cumulative, points, right=True)
        .squeeze(1)
        .clamp_(max=probs.shape[-1] - 1)
    )


def draw_from(
    tables: Sequence[torch.Tensor], uniforms: torch.Tensor, choices: np.ndarray
) -> torch.Tensor:
    """Draw a token a row, each from one of several laws, as `draw` does.

    Args:
        tables: of each law, normalised log-probabilities (rows, vocabulary).
        uniforms: float64 (rows,), in [0, 1).
        choices: the number of each row's law, (rows,).

    Returns:
        int64 (rows,).
    """
    if len(tables) == 1:
        return draw(tables[0], uniforms)
    ids = torch.empty(len(choices), dtype=torch.int64, device=uniforms.device)
    for number, table in enumerate(tables):
        rows = sent(np.flatnonzero(choices == number), uniforms.device)
        ids[rows] = draw(table[rows], uniforms[rows])
    return ids


def _truncated(logits: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    ranked, order = torch.sort(logits, dim=-1, descending=True, stable=True)
    if sampling.top_k is not None:
        ranked[..., sampling.top_k :] = -torch.inf
    if sampling.top_p < 1:
        probs = torch.softmax(ranked, dim=-1)
        least = max(sampling.top_p, LEAST)  # at 0 the likeliest token would go, too
        ranked = ranked.masked_fill(probs.cumsum(dim=-1) - probs >= least, -torch.inf)
    return torch.empty_like(logits).scatter_(-1, order, ranked)
