"""Initial weights in which attention can already look things up.

Looking up what somebody owns takes an *induction head* (Olsson et al. 2022, *In-context learning
and induction heads*): one layer's attention notes at every token which token stands before it, the
next layer's goes from a token to the place behind its earlier occurrence, and repeats what stands
there. Training finds the circuit by itself, but most of the training of a model as small as the
pocket is spent before it has. Here two heads of each of the first two layers begin as that circuit;
all weights are trained afterwards.
"""

from __future__ import annotations

from typing import Any

import torch

HEADS = 2  # of each of the two layers
CONSTANT = (
    0.2  # a coordinate that all embeddings share: what purely positional attention can hold on to
)
QUIET = 0.1  # by what everything else is scaled down at first
SLOW = 6  # the rotary pairs from this one on hardly turn over the length of a problem


@torch.no_grad()
def look_up_from_the_start(model: Any, seed: int = 0) -> None:
    """Set heads of the first two layers of a Llama, and one coordinate of its embeddings.

    Args:
        model: a `LlamaForCausalLM` with initial weights, without biases and with as many key heads
            as query heads.
        seed: of the random directions that tokens are compared and copied in.
    """
    config = model.config
    size, width = config.head_dim, config.hidden_size
    generator = torch.Generator().manual_seed(seed)
    read, noted, copied = (_orthogonal(width, generator) for _ in range(3))
    model.model.embed_tokens.weight[:, 0] = CONSTANT
    for layer in model.model.layers:  # at first the circuit is what is heard
        layer.self_attn.o_proj.weight *= QUIET
        layer.mlp.down_proj.weight *= QUIET
    first, second = (layer.self_attn for layer in model.model.layers[:2])
    speeds = model.model.rotary_emb.inv_freq[:4]
    for head in range(HEADS):
        rows = slice(head * size, (head + 1) * size)
        block = slice(head * size, (head + 1) * size)  # of the random directions
        # layer 1: cos(speed * (distance - 1)), summed over the fast pairs, is largest at distance 1
        for projection in (first.q_proj, first.k_proj):
            projection.weight[rows] = 0
        for pair, speed in enumerate(speeds):
            first.q_proj.weight[head * size + pair, 0] = 2.0
            first.k_proj.weight[head * size + pair, 0] = 2.0 * torch.cos(speed)
            first.k_proj.weight[head * size + size // 2 + pair, 0] = 2.0 * torch.sin(speed)
        first.v_proj.weight[rows] = read[block]
        first.o_proj.weight[:, rows] = 0.07 * noted[block].T
        # layer 2: the present token is compared with what layer 1 has noted, in the slow pairs
        for projection in (second.q_proj, second.k_proj):
            projection.weight[rows] = 0
        slow = torch.cat([torch.arange(SLOW, size // 2), torch.arange(size // 2 + SLOW, size)])
        directions = torch.randperm(HEADS * size, generator=generator)[: len(slow)]
        second.q_proj.weight[head * size + slow] = 2.0 * read[directions]
        second.k_proj.weight[head * size + slow] = 2.0 * noted[directions]
        second.v_proj.weight[rows] = copied[block]
        second.o_proj.weight[:, rows] = 0.3 * copied[block].T


def _orthogonal(width: int, generator: torch.Generator) -> torch.Tensor:
    """Draw random orthonormal rows, none of which reads the coordinate that all tokens share."""
    rows = torch.randn(width - 1, width - 1, generator=generator)
    directions = torch.zeros(width - 1, width)
    directions[:, 1:] = torch.linalg.qr(rows).Q
    return directions
