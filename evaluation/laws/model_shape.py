"""What of a model's architecture decides what a token costs."""

from __future__ import annotations

from typing import Any, NamedTuple

EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts")


class ModelShape(NamedTuple):
    """The numbers on which the cost of a token depends.

    Attributes:
        parameters: weights that each token is multiplied with: all but the table of input
            embeddings; of a mixture of experts the active ones alone.
        query_width: heads times their size, summed over layers.
        key_width: key and value heads times their size, summed over layers.
        bytes_each: of a number in the cache of keys and values.

    Example:
        >>> from motes.evaluation.laws import ModelShape
        >>> small = ModelShape(parameters=1.24e9, query_width=16 * 2048, key_width=16 * 512)
        >>> small.bytes_each
        2
    """

    parameters: float
    query_width: int
    key_width: int
    bytes_each: int = 2


def model_shape(model: Any, bytes_each: int = 2) -> ModelShape:
    """Return the shape of a model of transformers that attends in every layer.

    Args:
        model: with a configuration and parameters; of a `motes` host its attribute `model`.
        bytes_each: of a number in the cache of keys and values.

    Raises:
        ValueError: it has experts, of which a token meets only some, or its configuration doesn't
            tell heads and layers: make a `ModelShape` of what its paper says.

    Example:
        >>> from motes.evaluation.laws import model_shape
        >>> from motes.models import load_lm
        >>> model_shape(load_lm("pocket", probe=False).model)
        ModelShape(parameters=851712, query_width=512, key_width=512, bytes_each=2)
    """
    config = model.config.get_text_config()
    named = [name for name in EXPERTS if (getattr(config, name, 0) or 0) > 1]
    if named:
        raise ValueError(
            f"a token meets only some of this model's experts ({named[0]} = "
            f"{getattr(config, named[0])}): make a ModelShape of its active parameters"
        )
    layers, heads = (
        getattr(config, name, None) for name in ("num_hidden_layers", "num_attention_heads")
    )
    if layers is None or heads is None:
        raise ValueError(
            f"the configuration of {type(model).__name__} has no num_hidden_layers or "
            "num_attention_heads: make a ModelShape by hand"
        )
    size = getattr(config, "head_dim", None) or config.hidden_size // heads
    key_heads = getattr(config, "num_key_value_heads", None) or heads
    return ModelShape(
        _multiplied(model), layers * heads * size, layers * key_heads * size, bytes_each
    )


def _multiplied(model: Any) -> int:
    """Return how many parameters a token is multiplied with.

    The table of input embeddings is looked up; it counts where it is the output's matrix as well.
    """
    count = sum(weight.numel() for weight in model.parameters())
    table, output = model.get_input_embeddings(), model.get_output_embeddings()
    if output is not None and output.weight is table.weight:
        return count
    return count - table.weight.numel()
