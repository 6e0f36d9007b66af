"""A small twin of a model: the same class and kind of configuration, everything costly made small.

The twin has random weights, so it says nothing about what a model writes. It computes by the same
code, so it shows how the model treats padding, positions, caches and windows. Lengths that the
configuration names (a window of 4,096 tokens, say) are shrunk as well, which lets a few dozen
tokens stand on both sides of each.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import torch

from ...aliases import Config, Network

WIDTH, HEAD, HEADS, VOCABULARY, EXPERTS = 64, 16, 4, 64, 8
WINDOW, CHUNK, ORIGINAL, CONTEXT = 5, 8, 12, 40  # tokens
MOST_LAYERS = 8
MOST_WEIGHTS = 4_000_000

# Names of a configuration's numbers, and the most that the twin has of each. The first pattern that
# matches decides.
_MOST: tuple[tuple[re.Pattern[str], int], ...] = tuple(
    (re.compile(pattern), most)
    for pattern, most in [
        (r"original_max_position_embeddings$", ORIGINAL),
        (
            r"(max_position_embeddings|n_positions|n_ctx|max_seq_len|max_sequence_length|seq_length)$",
            CONTEXT,
        ),
        (
            r"(attention_chunk_size|floor_scale|log_scaling_n_floor|index_topk|index_block_size|rel_extent)$",
            CHUNK,
        ),
        (
            r"(sliding_window|sliding_window_size|window_size|local_attention|keep_window_size)$",
            WINDOW,
        ),
        (r"vocab_size(_per_layer_input)?$", VOCABULARY),
        (r"qk_head_dim$", 2 * HEAD),
        (r"(head_dim|head_size|kv_channels|d_kv|dim_head|rotary_dim)$", HEAD),
        (r"(head_kv|kv_heads|key_value_heads|kv_n_heads|query_groups|group_num)$", 2),
        (r"(attention_heads|n_heads?|num_heads)$", HEADS),
        (r"_rank$", 2 * HEAD),
        (
            r"(hidden_size|d_model|n_embd|n_embed|emb_dim|embedding_size|embed_proj_dim|hidden_size_per_layer_input)$",
            WIDTH,
        ),
        (
            r"(intermediate_size|ffn_dim|d_ff|dff|dim_ff|n_inner|ffn_hidden_size|intermediate_size_mlp)$",
            WIDTH,
        ),
        (r"(num_experts|num_local_experts|n_routed_experts|moe_num_experts)$", EXPERTS),
        (r"(num_experts_per_tok(en)?|moe_topk|moe_top_k|moe_k|n_group|num_expert_group)$", 2),
        (r"topk_group$", 1),
        (r"(n_shared_experts|moe_num_shared_experts|num_shared_experts)$", 1),
        (r"(first_k_dense_replace|num_dense_layers)$", 1),
    ]
)
_NAMED = tuple(pattern for pattern, most in _MOST if most in (WINDOW, CHUNK, ORIGINAL))
_LAYERS = re.compile(
    r"(num_hidden_layers|n_layers?|num_layers|decoder_layers|encoder_layers|num_(de|en)coder_layers)$"
)


def small_twin(model: Network) -> Any:
    """Return a small model of the same class as `model`: float32, on the CPU, random weights.

    Args:
        model: a transformers model.

    Raises:
        Exception: whatever the model's class raises of a configuration that cannot be shrunk this
            way.
    """
    config = model.config
    small = type(config).from_dict(_shrunk(config.to_dict(), _depth(config)))
    small._attn_implementation = config._attn_implementation
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        twin = type(model)(small).float().eval()
        with torch.no_grad():
            for weight in twin.parameters():
                if weight.dim() > 1:
                    weight.normal_(std=_scale(weight, twin))
    if sum(weight.numel() for weight in twin.parameters()) > MOST_WEIGHTS:
        raise ValueError(
            f"a configuration of {type(model).__name__} that is not known how to shrink"
        )
    return twin


def named_lengths(config: Config, small: Config) -> list[tuple[int, int]]:
    """Return the lengths at which a configuration says that the model's law may change.

    Each comes with its twin's, longest first.
    """
    pairs: set[tuple[int, int]] = set()

    def walk(values: Mapping[str, Any], shrunk: Mapping[str, Any]) -> None:
        for name, value in values.items():
            other = shrunk.get(name)
            if isinstance(value, Mapping) and isinstance(other, Mapping):
                walk(value, other)
            elif (
                type(value) is int
                and type(other) is int
                and value > 0
                and any(pattern.search(name) for pattern in _NAMED)
            ):
                pairs.add((value, other))

    walk(config.to_dict(), small.to_dict())
    return sorted(pairs, reverse=True)


def _scale(weight: torch.Tensor, twin: Network) -> float:
    """Return a standard deviation that keeps activations of order 1.

    Then no part of the model is without effect.
    """
    embedding = twin.get_input_embeddings()
    if embedding is not None and weight is getattr(embedding, "weight", None):
        return 1.0
    return 1.5 / math.sqrt(weight.shape[-1])


def _depth(config: Config) -> int:
    """Return how many layers the twin has: a prefix in which every kind of layer occurs."""
    text = config.get_text_config()
    layers = int(getattr(text, "num_hidden_layers", None) or 2)
    depth = min(2, layers)
    for value in text.to_dict().values():
        if isinstance(value, list) and len(value) == layers:
            kinds = [str(kind) for kind in value]
            firsts = [kinds.index(kind) for kind in dict.fromkeys(kinds)]
            depth = max(depth, 1 + max(first for first in firsts if first < MOST_LAYERS))
    return depth


def _shrunk(values: Mapping[str, Any], depth: int) -> dict[str, Any]:
    """Return a configuration's values, or those of a part of it, made small."""
    layers = next(
        (value for name, value in values.items() if _LAYERS.match(name) and isinstance(value, int)),
        None,
    )
    heads = [
        value
        for name, value in values.items()
        if re.search(r"(^|_)(attention_heads|n_heads?|num_heads)$", name)
    ]
    small: dict[str, Any] = {}
    for name, value in values.items():
        if name in ("id2label", "label2id"):
            small[name] = value
        elif name == "per_layer_config":
            small[name] = {index: part for index, part in value.items() if int(index) < depth}
        elif isinstance(value, Mapping):
            small[name] = _shrunk(value, depth)
        elif isinstance(value, list) and layers is not None and len(value) == layers:
            small[name] = [_small(name, item, depth, heads) for item in value[:depth]]
        elif isinstance(value, list) and name in ("long_factor", "short_factor"):
            small[name] = value[: int(HEAD * float(values.get("partial_rotary_factor") or 1)) // 2]
        elif isinstance(value, list):
            small[name] = [_small(name, item, depth, heads) for item in value]
        else:
            small[name] = _small(name, value, depth, heads)
    return small


def _small(name: str, value: object, depth: int, heads: list[Any]) -> Any:
    if isinstance(value, bool) or not isinstance(value, int):
        return value
    if name.endswith(("token_id", "token_ids", "token_index", "padding_idx")):
        return value if value < VOCABULARY else VOCABULARY - 1 - value % 7
    if _LAYERS.search(name):
        return min(value, depth)
    for pattern, most in _MOST:
        if pattern.search(name):
            # as many key-value heads as heads stay as many
            if most == 2 and value in heads and "head" in name:
                return min(value, HEADS)
            return min(value, most)
    return value
