"""Tiny random models of any architecture, whose named lengths a few dozen tokens reach."""

from __future__ import annotations

from typing import Any

import torch
from transformers import CONFIG_MAPPING, AutoModelForCausalLM

# tokens with which no prompt of the tests ends
SPECIAL = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 3}
LENGTHS = {
    "original_max_position_embeddings": 30,
    "sliding_window": 7,
    "attention_chunk_size": 11,
    "max_position_embeddings": 96,
}
BY_KIND = ["sliding_attention", "full_attention"]
MAMBA = {"mamba_n_heads": 4, "mamba_d_head": 32, "mamba_d_state": 16}
ZAMBA = {"attention_hidden_size": 128, "attention_head_dim": 32}
# what a small configuration needs to be one that transformers can run, by its type: sizes that
# depend on each other, one layer of each kind, and what has no default
NEEDED: dict[str, dict[str, Any]] = {
    "bamba": {**MAMBA, "attn_layer_indices": [1]},
    "cohere_compass_text": {
        "layer_types": BY_KIND,
        "rope_parameters": {kind: {"rope_type": "default", "rope_theta": 1e4} for kind in BY_KIND},
    },
    "dbrx": {"attn_config": {"kv_n_heads": 1, "rope_theta": 1e4, "clip_qkv": 8.0}},
    "deepseek_v2": {"num_experts_per_tok": 2},
    "dots1": {"n_routed_experts": 4, "n_shared_experts": 1, "num_experts_per_tok": 2},
    "falcon_h1": {**MAMBA, "mamba_d_ssm": 128},
    "gemma3n_text": {"num_kv_shared_layers": 0},
    "granitemoehybrid": {**MAMBA, "layer_types": ["linear_attention", "full_attention"]},
    "hrm_text": {"num_layers_per_stack": 1, "num_hidden_layers": 8},
    "hunyuan_v1_dense": {"head_dim": 16},
    "hunyuan_v1_moe": {"head_dim": 16},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"]},
    "mamba2": {"num_heads": 8, "n_groups": 2},
    "ministral": {"head_dim": 16},
    "nemotron": {"num_key_value_heads": 2},
    "nemotron_h": {"n_groups": 2, "mamba_num_heads": 8},
    "qwen4_exp_text": {
        "indexer_n_heads": 4,
        "indexer_kv_heads": 1,
        "indexer_head_dim": 16,
        "indexer_budget": 16,
        "indexer_compress_ratio": 4,
        "ngram_vocab_size_base": 100,
        "make_ngram_vocab_size_divisible_by": 1,
        "split_ngram_parts": 1,
        "hc_lowrank": 16,
        "output_gate_type": "sigmoid",
    },
    "recurrent_gemma": {"num_hidden_layers": 3, "lru_width": 64},
    "reformer": {"is_decoder": True, "axial_pos_embds": False},
    "xlnet": {"d_head": 16, "d_inner": 64},
    "xlstm": {"embedding_dim": 64, "num_blocks": 2, "qk_dim_factor": 1.0},
    "xmod": {"default_language": "en_XX", "is_decoder": True},
    "zamba": {
        **ZAMBA,
        "num_hidden_layers": 4,
        "layers_block_type": ["linear_attention", "hybrid"] * 2,
        "layer_types": ["linear_attention", "hybrid"] * 2,
    },
    "zamba2": {**ZAMBA, "mamba_headdim": 16},
}


def tiny_config(architecture: str, vocabulary: int) -> Any:
    """Return a small configuration of an architecture, from its default one.

    Its named lengths are not those that the package probes at, so that what the probe found is
    checked elsewhere.
    """
    from motes.models.hosting import twin

    config = CONFIG_MAPPING[architecture]()
    classes = AutoModelForCausalLM._model_mapping[type(config)]
    if classes.config_class is not type(config):
        config = config.get_text_config(decoder=True)
    values = twin._shrunk(config.to_dict(), twin._depth(config))
    for name, length in LENGTHS.items():
        if isinstance(values.get(name), int):
            values[name] = length
    for part in (values, *(value for value in values.values() if isinstance(value, dict))):
        for name, number in {"vocab_size": vocabulary, **SPECIAL}.items():
            if isinstance(part.get(name), int):
                part[name] = number
    return type(config).from_dict(values | NEEDED.get(config.model_type, {}))


def tiny_model(
    config: Any,
    *,
    seed: int = 0,
    auto: Any = AutoModelForCausalLM,
    dtype: torch.dtype = torch.float64,
) -> Any:
    """Return a model of this configuration, with random weights large enough for all of its parts
    to matter."""
    torch.manual_seed(seed)
    # the grouped product of experts knows no float64
    model = auto.from_config(config, experts_implementation="eager").to(dtype).eval()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.normal_(std=1.2 / weight.shape[-1] ** 0.5)
    return model
