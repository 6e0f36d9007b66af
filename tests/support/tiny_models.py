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
    return type(config).from_dict(values)


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
