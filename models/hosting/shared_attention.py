"""Attention over a prefix that all rows of a batch share, and that is held once.

Particles of one question share its prompt, and mostly more. What they share is not copied into
their rows: with keys and values K_p, V_p of the shared prefix and K_i, V_i of row i's own tokens,

    softmax(q_i [K_p, K_i]') [V_p, V_i] = a_p V_p + a_i V_i,
    (a_p, a_i) = softmax([q_i K_p', q_i K_i']),

where the products with K_p and V_p are one matrix product for all rows together, so that the prefix
is read once a token and not once a row (Juravsky et al. 2024, "Hydragen", arXiv:2402.05099). It is
exact: only the order of sums is another.

It takes the place of transformers' "sdpa" while a forward pass of `Rows` lasts. Masks are the same;
but to learn whether one is needed for a single token, "sdpa" asks the device for a truth, for which
the host would wait at every token. Here there is always one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from ...aliases import Network

NAME, PLAIN = "motes_shared", "sdpa"


class Shares(Protocol):
    """What is known of the prefix while a layer attends."""

    def shared_keys_and_values(self) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Return those of the layer that has just been updated: two [heads, columns, dim]."""
        ...


_attending: ContextVar[Shares | None] = ContextVar("attending", default=None)


def can_share(model: Network) -> bool:
    """Return whether a model's layers can attend in this way: by what transformers can exchange."""
    exchangeable = bool(getattr(model, "_supports_attention_backend", False))
    return exchangeable and getattr(model.config, "_attn_implementation", None) == PLAIN


@contextmanager
def attending(model: Network, rows: Shares) -> Iterator[None]:
    """Let a model that `can_share` attend to the rows' shared prefix while this lasts."""
    token = _attending.set(rows)
    try:
        with attention_named(model, NAME):
            yield
    finally:
        _attending.reset(token)


@contextmanager
def attention_named(model: Network, name: str) -> Iterator[None]:
    """Let a model that `can_share` attend by the function of this name while this lasts."""
    model.config._attn_implementation = name
    try:
        yield
    finally:
        model.config._attn_implementation = PLAIN


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Attend, as transformers asks: query (rows, heads, tokens, dim), mask of all columns."""
    rows = _attending.get()
    shared = None if rows is None else rows.shared_keys_and_values()
    if shared is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    if query.shape[2] == 1 and attention_mask is not None and attention_mask.dtype == torch.bool:
        return of_one_token(query, key, value, shared, attention_mask, options.get("scaling")), None
    # several tokens a row: the prefix is copied for this layer alone, and no longer than it takes
    key, value = (
        torch.cat([side.expand(len(query), -1, -1, -1), own], dim=2)
        for side, own in zip(shared, (key, value), strict=True)
    )
    return sdpa_attention_forward(module, query, key, value, attention_mask, **options)


def of_one_token(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    shared: tuple[torch.Tensor, torch.Tensor],
    mask: torch.Tensor,
    scaling: float | None,
) -> torch.Tensor:
    """Return the attention of a token a row: (rows, 1, heads, dim).

    Args:
        query: (rows, heads, 1, dim).
        key, value: the rows' own, (rows, key-value heads, columns, dim).
        shared: of the prefix, (key-value heads, columns, dim).
        mask: bool (rows, 1, 1, all columns), of the prefix first.
        scaling: of the scores; 1 / sqrt(dim) where None.
    """
    rows, heads, _, dim = query.shape
    kv_heads, columns, _ = shared[0].shape
    grouped = query.view(rows, kv_heads, heads // kv_heads, dim)
    scores = torch.cat(
        [_with_all(grouped, shared[0].transpose(1, 2)), grouped @ key.transpose(2, 3)], dim=-1
    )
    scores = scores * (dim**-0.5 if scaling is None else scaling)
    exact = torch.promote_types(scores.dtype, torch.float32)
    weights = scores.masked_fill(~mask, -torch.inf).softmax(dim=-1, dtype=exact).to(value.dtype)
    mixed = _with_all(weights[..., :columns], shared[1]) + weights[..., columns:] @ value
    return mixed.reshape(rows, 1, heads, -1)


def _with_all(rows: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
    """Multiply (rows, heads, group, a) with (heads, a, b) in one product a head, for all rows."""
    count, heads, group, size = rows.shape
    together = rows.transpose(0, 1).reshape(heads, count * group, size) @ matrix
    return together.view(heads, count, group, -1).transpose(0, 1)


def mask_of(*args: Any, q_length: int, allow_is_causal_skip: bool = True, **options: Any) -> Any:
    """Make a mask as for "sdpa", of a single token without asking whether it is needed."""
    skip = allow_is_causal_skip and q_length > 1
    return sdpa_mask(*args, q_length=q_length, allow_is_causal_skip=skip, **options)


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, mask_of)
