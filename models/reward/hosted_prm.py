"""From a reward model's checkpoint to a `TorchPRM`: its family, its head, and how it is asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...aliases import Config
from ..hosting.places import located
from ..hosting.pretrained import (
    DeviceMap,
    Place,
    Placement,
    classes_of,
    load_checkpoint,
    model_class,
    read_config,
)
from ..loading import CAUSAL, placement
from ..pairing import JUDGE
from ..pocket import LM_FOLDER, PRM_FOLDER
from .families import PLAIN, Family, Signs, family_of, unknown
from .heads import Head, read_head, with_head
from .readers import Reader
from .torch_prm import TorchPRM

CLASSIFIER = "token classifier"


def load_hosted(
    name: str,
    *,
    family: str | None,
    reader: Callable[[Any], Reader] | None,
    device: str,
    dtype: str,
    device_map: DeviceMap | None,
    cache_bytes: int,
    probe: bool,
) -> TorchPRM:
    """Load a checkpoint with torch and transformers; see `motes.load_prm`."""
    family = judging_family(name, family)
    source = name.removeprefix(JUDGE)
    place = located(source, shipped=LM_FOLDER if family == "judge" else PRM_FOLDER)
    where = placement(device, dtype, device_map)
    config, head = read_config(place), read_head(place)
    known = family_in(place, config, head, family, reader is not None)
    if known is None or not known.heads:
        model, tokenizer = _load_causal(place, config, where)
    else:
        model, tokenizer = _load_headed(place, config, head, where)
    if reader is not None:
        asked = reader(tokenizer)
    else:
        assert known is not None
        asked = known.reader(tokenizer, config)
    return TorchPRM(model, asked, name=name, cache_bytes=cache_bytes, probe=probe)


def family_in(
    place: Place, config: Config, head: Head, asked: str | None, has_reader: bool
) -> Family | None:
    """Return the family of a checkpoint; None for a causal model with a reader of the user's."""
    signs = Signs(place.source, tuple(getattr(config, "architectures", None) or ()), head)
    known = family_of(signs, asked)
    if known is not None:
        return known
    kind = _declared_kind(place, config)
    if kind == CAUSAL and not has_reader:
        raise unknown(signs)
    return PLAIN if kind == CLASSIFIER else None


def judging_family(source: str, family: str | None) -> str | None:
    """Return the family that is asked for, also where "judge:" before the source says it."""
    if not source.startswith(JUDGE):
        return family
    if family not in (None, "judge"):
        raise ValueError(f"family must be left out beside {source!r}, not {family!r}")
    return "judge"


def _declared_kind(place: Place, config: Config) -> str:
    """Return whether a reward model of no known family is a causal model or a token classifier."""
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING

    kinds = {
        CAUSAL: MODEL_FOR_CAUSAL_LM_MAPPING,
        CLASSIFIER: MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING,
    }
    kind, _ = model_class(place, config, kinds)
    if kind == CLASSIFIER and config.num_labels != 2:
        raise ValueError(
            f"a process reward model needs two labels, wrong and right, and {place.source!r} has "
            f"{config.num_labels}"
        )
    return kind


def _load_causal(place: Place, config: Config, where: Placement) -> tuple[Any, Any]:
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING

    _, found = model_class(place, config, {CAUSAL: MODEL_FOR_CAUSAL_LM_MAPPING})
    return load_checkpoint(place, found, where)


def _load_headed(place: Place, config: Config, head: Head, where: Placement) -> tuple[Any, Any]:
    """Load a backbone and the head that its checkpoint holds."""
    from transformers import MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING

    classes = classes_of(MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING, config)
    if not classes:
        raise ValueError(
            f"{place.source!r} is a model of type {config.model_type!r}, on which transformers "
            "puts no head for tokens: choose another checkpoint"
        )
    return load_checkpoint(
        place,
        with_head(classes[0], head) if head.prefix else classes[0],
        where,
        key_mapping=head.key_mapping,
        # a value head was trained beside the layer that predicts tokens, which is not asked
        spare="" if head.prefix == "score" else "lm_head",
    )
