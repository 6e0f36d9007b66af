"""A reward model's backbone in vLLM: its checkpoint, loaded without its head.

vLLM's classes refuse a checkpoint that holds tensors of a head that they do not have, such as
`v_head.summary`. Of a load format vLLM lets others say what it does, so this one, "motes", leaves
out what `heads` knows as a head's tensors. The class is that of a causal language model, which
vLLM turns into one that gives the last token's hidden state ("embed"), as it is: no activation.

motes names `register` as a plugin of vLLM, so that its servers and workers, processes of their own,
have the load format too wherever motes is installed beside vLLM.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from importlib import import_module
from typing import Any

from ...aliases import Config
from ..hosting.pretrained import classes_of
from .heads import is_of_head

LOAD_FORMAT = "motes"
TASK = "embed"


@cache  # as a plugin it is called again by every engine of a process
def register() -> None:
    """Tell vLLM in this process of the load format."""
    loaders = import_module("vllm.model_executor.model_loader")
    default = loaders.DefaultModelLoader

    class BackboneLoader(default):
        """Loads a checkpoint without its head."""

        def __init__(self, load_config: Any) -> None:
            super().__init__(replace(load_config, load_format="auto"))

        def get_all_weights(self, model_config: Any, model: Any) -> Iterator[tuple[str, Any]]:
            """Yield the names and tensors that are of no head."""
            for name, tensor in super().get_all_weights(model_config, model):
                if not is_of_head(name):
                    yield name, tensor

    loaders.register_model_loader(LOAD_FORMAT)(BackboneLoader)


def backbone_options(source: str, config: Config) -> dict[str, Any]:
    """Return what tells vLLM to give the last token's hidden state of a checkpoint with a head.

    Args:
        source: what the checkpoint is called.
        config: its configuration.

    Raises:
        ValueError: transformers has no causal language model of its type.
    """
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING

    classes = classes_of(MODEL_FOR_CAUSAL_LM_MAPPING, config)
    if not classes:
        raise ValueError(
            f"{source!r} is a model of type {config.model_type!r}, of which there is no causal "
            "language model: load it without 'vllm:'"
        )
    pooler = import_module("vllm.config").PoolerConfig
    return {
        "runner": "pooling",
        "convert": TASK,
        "load_format": LOAD_FORMAT,
        "hf_overrides": {"architectures": [classes[0].__name__]},
        "pooler_config": pooler(task=TASK, seq_pooling_type="LAST", use_activation=False),
    }
