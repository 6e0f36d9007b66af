"""The memory plan of a language model and a reward model that are given by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from .hosting.memory import free_bytes
from .hosting.memory_plan import Footprint, MemoryPlan, footprint_of
from .hosting.places import located
from .hosting.pretrained import Place, classes_of, read_config
from .hosting.static_decoding import PLAIN, check_decoding
from .loading import is_address, is_in_vllm, placement
from .pairing import JUDGE
from .pocket import LM_FOLDER, PRM_FOLDER

CACHE = 2 << 30  # bytes that a model keeps between calls where nothing else is asked for


def memory_plan(
    lm: str | Path,
    prm: str | Path | None = None,
    *,
    device: str = "auto",
    dtype: str = "auto",
    tokens: int = 1024,
    free: int | None = None,
    decoding: str = PLAIN,
) -> MemoryPlan:
    """Return how a device's memory is shared out before anything is loaded.

    See `motes.models.hosting.memory_plan` for the sums. Only configurations are read.

    Args:
        lm: the language model, as `load_lm` takes it; not a server, nor a model in vLLM, which plan
            their own memory.
        prm: the reward model, as `load_prm` takes it; None for none.
        device: as for `load_lm`.
        dtype: as for `load_lm`.
        tokens: how many tokens a particle has of its own, besides the prompt.
        free: bytes of memory; what the device has free where None.
        decoding: as for `load_lm`; fixed shapes take more.

    Raises:
        ValueError: a name, the device, the dtype or the decoding is unknown, or a model cannot be
            hosted; or how much memory is free cannot be known.
        FileNotFoundError: there is no such model.

    Example:
        >>> plan = memory_plan("pocket", "pocket", free=8_000_000_000)
        >>> plan.models["language model"].token, plan.particles > 100
        (4096, True)
    """
    padded = check_decoding(decoding) != PLAIN
    where = placement(device, dtype, None)
    [target] = where.layers.values() if isinstance(where.layers, dict) else [torch.device("cpu")]
    sources = {"language model": (lm, LM_FOLDER, True)}
    if prm is not None:
        source = str(prm).removeprefix(JUDGE)
        shipped = LM_FOLDER if source != str(prm) else PRM_FOLDER
        sources["reward model"] = (source, shipped, False)
    models = {
        name: _footprint(source, shipped, where.dtype, outputs=outputs)
        for name, (source, shipped, outputs) in sources.items()
    }
    free = free_bytes(target) if free is None else free
    if free is None:
        raise ValueError(f"free must be given: what {str(target)!r} has free cannot be known")
    return MemoryPlan(free, models, CACHE * len(models), tokens, padded)


def _footprint(source: str | Path, shipped: Path, dtype: str, *, outputs: bool) -> Footprint:
    if is_address(source) or is_in_vllm(source):
        raise ValueError(f"{str(source)!r} plans its own memory")
    place = located(source, shipped=shipped)
    return footprint_of(_without_weights(place, dtype), outputs=outputs)


def _without_weights(place: Place, dtype: str) -> Any:
    """Return a checkpoint's model on the device "meta"."""
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING

    config = read_config(place)
    mappings = (MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING)
    offered = [found for mapping in mappings for found in classes_of(mapping, config)]
    declared = list(getattr(config, "architectures", None) or [])
    named = [found for found in offered if found.__name__ in declared]
    if not offered:
        raise ValueError(f"{place.source!r} is a model of type {config.model_type!r}: none to host")
    wanted = config.dtype if dtype == "auto" else getattr(torch, dtype)
    with torch.device("meta"):
        model = (named or offered)[0](config)
    return model.to(wanted or torch.float32)
