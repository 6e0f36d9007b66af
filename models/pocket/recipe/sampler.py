"""A bare sampler for rollouts: whole continuations of many beginnings, and nothing kept afterwards.

`TorchLM` keeps keys and values of every step, for trees that grow from anywhere. Rollouts need none
of that: here rows decode side by side in one block of keys and values, and those that have ended
are dropped. On the pocket this is several times as fast.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch.nn.functional import scaled_dot_product_attention, silu

ROWS = 512  # rows a batch
BLOCK = 64  # columns by which the keys and values grow


class Continuation(NamedTuple):
    """What was written behind a beginning.

    Attributes:
        tokens: the new tokens, the end of text included.
        log_probs: the log-probability of each, nats.
    """

    tokens: list[int]
    log_probs: list[float]

    def ended(self, end: int) -> bool:
        """Say whether the text has ended."""
        return bool(self.tokens) and self.tokens[-1] == end


class Sampler:
    """Samples from a Llama of transformers.

    Args:
        model: the model, on its device, without biases, with as many key heads as query heads.
        end: the id that ends a text.
        limit: the most new tokens of a continuation.
    """

    def __init__(self, model: Any, *, end: int, limit: int = 256) -> None:
        self.model, self.end, self.limit = model, end, limit
        self.heads, self.size = model.config.num_attention_heads, model.config.head_dim
        self.device = model.device

    @torch.inference_mode()
    def complete(
        self,
        beginnings: Sequence[Sequence[int]],
        generator: torch.Generator,
        *,
        temperature: float = 1.0,
    ) -> list[Continuation]:
        """Go on from each beginning to an end of text, or until the limit.

        Args:
            beginnings: token ids; equal ones are read once.
            generator: of the random numbers, on the CPU.
            temperature: of the softmax.

        Returns:
            What follows each.
        """
        done = [Continuation([], []) for _ in beginnings]
        by_length = sorted(range(len(beginnings)), key=lambda i: len(beginnings[i]))
        for first in range(0, len(by_length), ROWS):
            places = by_length[first : first + ROWS]
            self._run([tuple(beginnings[i]) for i in places], places, done, generator, temperature)
        return done

    def _run(
        self,
        rows: Sequence[tuple[int, ...]],
        places: Sequence[int],
        done: list[Continuation],
        generator: torch.Generator,
        temperature: float,
    ) -> None:
        distinct = {row: i for i, row in enumerate(dict.fromkeys(rows))}
        width = max(map(len, rows))
        ids = torch.tensor(
            [[0] * (width - len(row)) + list(row) for row in distinct], device=self.device
        )
        pads = torch.tensor([width - len(row) for row in distinct], device=self.device)
        cache = torch.zeros(
            len(self.model.model.layers),
            2,
            len(ids),
            self.heads,
            width,
            self.size,
            device=self.device,
        )
        logits = self._forward(ids, pads, cache, 0)
        index = torch.tensor([distinct[row] for row in rows], device=self.device)
        logits, pads, cache = logits[index], pads[index], cache[:, :, index]
        alive, filled = list(places), width
        for _ in range(self.limit):
            probabilities = torch.softmax(logits.float() / temperature, dim=-1).cpu()
            drawn = torch.multinomial(probabilities, 1, generator=generator).squeeze(1)
            log_p = probabilities.gather(1, drawn[:, None]).squeeze(1).log()
            for place, token, term in zip(alive, drawn.tolist(), log_p.tolist(), strict=True):
                if not done[place].ended(self.end):
                    done[place].tokens.append(token)
                    done[place].log_probs.append(term)
            going = torch.tensor([not done[place].ended(self.end) for place in alive])
            if not going.any():
                return
            if going.float().mean() < 0.8:  # rather a copy now and then than rows that idle
                kept = going.nonzero().squeeze(1).to(self.device)
                cache, pads, drawn = cache[:, :, kept], pads[kept], drawn[going]
                alive = [place for place, goes in zip(alive, going.tolist(), strict=True) if goes]
            if filled == cache.shape[4]:
                cache = torch.nn.functional.pad(cache, (0, 0, 0, BLOCK))
            logits = self._forward(drawn[:, None].to(self.device), pads, cache, filled)
            filled += 1

    def _forward(
        self, ids: torch.Tensor, pads: torch.Tensor, cache: torch.Tensor, filled: int
    ) -> torch.Tensor:
        """Read ids (rows, columns) into the columns from `filled` on; return the last logits."""
        model, (rows, columns) = self.model.model, ids.shape
        columns_read = torch.arange(filled, filled + columns, device=self.device)
        positions = (columns_read[None] - pads[:, None]).clamp(min=0)
        before = torch.arange(filled + columns, device=self.device)
        seen = (before <= columns_read[:, None])[None] & (before >= pads[:, None, None])
        # a column of padding sees itself: a softmax over nothing would not be a number
        seen = (seen | (before == columns_read[:, None])[None])[:, None]
        x = model.embed_tokens(ids)
        cos, sin = model.rotary_emb(x, positions)
        cos, sin = cos[:, None], sin[:, None]
        for layer, (keys, values) in zip(model.layers, cache, strict=True):
            attention, y = layer.self_attn, layer.input_layernorm(x)
            q, k, v = (
                project(y).view(rows, columns, self.heads, self.size).transpose(1, 2)
                for project in (attention.q_proj, attention.k_proj, attention.v_proj)
            )
            keys[:, :, filled : filled + columns] = _rotated(k, cos, sin)
            values[:, :, filled : filled + columns] = v
            mixed = scaled_dot_product_attention(
                _rotated(q, cos, sin),
                keys[:, :, : filled + columns],
                values[:, :, : filled + columns],
                attn_mask=seen,
            )
            x = x + attention.o_proj(mixed.transpose(1, 2).reshape(rows, columns, -1))
            y = layer.post_attention_layernorm(x)
            x = x + layer.mlp.down_proj(silu(layer.mlp.gate_proj(y)) * layer.mlp.up_proj(y))
        return self.model.lm_head(model.norm(x[:, -1]))


def _rotated(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotate by position, in halves as transformers lays them out."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin
