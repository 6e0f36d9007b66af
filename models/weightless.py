"""A checkpoint's model without its weights, for what its configuration alone tells of it."""

from __future__ import annotations

from typing import Any

from .hosting.places import located
from .hosting.pretrained import one_sentence, read_config
from .pairing import use_of, without_use
from .pocket import LM_FOLDER, PRM_FOLDER

CAUSAL = ("ForCausalLM", "LMHeadModel")  # how classes end that give each token's next one


def weightless_model(source: str, *, prm: bool = False) -> Any:
    """Return a checkpoint's model on the device "meta", where weights have a shape and no values.

    Args:
        source: "pocket", a folder, a GGUF file or a Hugging Face id; of a judge
            "judge:" or "votes:" before it.
        prm: whether it is a reward model. One that has a head of its own gets a token classifier's,
            which is as small.

    Returns:
        A model of transformers.

    Raises:
        FileNotFoundError, ValueError: there is no such checkpoint, or none of a kind that
            transformers knows.

    Example:
        >>> from motes.models.weightless import weightless_model
        >>> weightless_model("pocket").lm_head.weight.device
        device(type='meta')
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForTokenClassification

    shipped = PRM_FOLDER if prm and not use_of(source) else LM_FOLDER
    place = located(without_use(source), shipped=shipped)
    config: Any = read_config(place)
    declared = getattr(config, "architectures", None) or ["ForCausalLM"]
    maker: Any = AutoModelForCausalLM
    if not declared[0].endswith(CAUSAL):
        maker = AutoModelForTokenClassification
    with one_sentence(place), torch.device("meta"):
        return maker.from_config(config)
