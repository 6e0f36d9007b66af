"""A checkpoint's model and tokenizer, with the promise that what it contains is what is used.

transformers loads whatever it can place: a trained head that its class has no room for is dropped,
weights that are missing are drawn at random, and a folder without tokenizer files gets a tokenizer
without tokens. Each of these gives numbers that look right. Here each is an error of one sentence
that names the place and says what to do, and so is every other failure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from ...aliases import Config, Tokenizer
from .memory import out_of_memory
from .memory_plan import check_room

LONGEST_REASON = 200  # characters of another library's error that ours quotes
NAMED = 3  # weights that an error names
# Weights in files of their own, which transformers does not read: TRL's value heads, PEFT's
# adapters, other trained heads.
_PARTS_ASIDE = re.compile(
    r"(^|[._-])(adapter|v_?head|value_?head|score|classifier|reward_?head)", re.IGNORECASE
)
# Tokens that stand for pictures or sound: a text model's tokenizer may have one that the model
# itself has not.
_OTHER_SENSES = re.compile(r"image|video|audio|vision|img|boi|eoi", re.IGNORECASE)


# "auto" or "balanced", or a device for each of some modules.
DeviceMap = str | Mapping[str, Any]


class Placement(NamedTuple):
    """Where a model's weights go.

    Attributes:
        layers: which modules go to which devices, as transformers takes it.
        dtype: the name of a torch type, or "auto" for the checkpoint's.
    """

    layers: DeviceMap
    dtype: str


class Place(NamedTuple):
    """Where a checkpoint is.

    Attributes:
        source: what the user called it.
        path: the folder, or the Hugging Face id.
        gguf: the name of the GGUF file in the folder that holds the weights; None for another
            format.
    """

    source: str
    path: str
    gguf: str | None = None

    @property
    def options(self) -> dict[str, Any]:
        """What transformers is told besides the path. Code that a checkpoint ships is never run."""
        return {"trust_remote_code": False, **({"gguf_file": self.gguf} if self.gguf else {})}


def read_config(place: Place) -> Any:
    """Return a checkpoint's configuration.

    Raises:
        FileNotFoundError, ValueError: there is none, or no release of transformers knows it; one
            sentence.
    """
    from transformers import AutoConfig

    with one_sentence(place), _quiet():
        return AutoConfig.from_pretrained(place.path, **place.options)


def model_class(place: Place, config: Config, kinds: Mapping[str, Any]) -> tuple[str, Any]:
    """Return which kind of model a checkpoint is, and transformers' class for it.

    Args:
        place: of the checkpoint.
        config: its configuration.
        kinds: what would do: names of kinds, each with transformers' mapping from configurations to
            classes; the first is taken where the configuration does not name its class.

    Raises:
        ValueError: the configuration names a class of another kind, or transformers has no class of
            the kind.
    """
    declared = list(getattr(config, "architectures", None) or [])
    offered = {kind: classes_of(mapping, config) for kind, mapping in kinds.items()}
    if not any(offered.values()):
        raise ValueError(
            f"{place.source!r} is a model of type {config.model_type!r}, of which transformers "
            f"makes no {' or '.join(kinds)}: "
            "choose another checkpoint"
        )
    for kind, classes in offered.items():
        for found in classes:
            if not declared or any(_ending(name) == _ending(found.__name__) for name in declared):
                return kind, found
    raise ValueError(
        f"{place.source!r} holds a {declared[0]}, which is not a {' or '.join(kinds)} that motes "
        "can load as what it is: "
        "choose a checkpoint of a "
        f"{' or '.join(sorted({found.__name__ for group in offered.values() for found in group}))}"
    )


def load_checkpoint(
    place: Place,
    found: Any,
    where: Placement,
    *,
    key_mapping: Mapping[str, str] | None = None,
    spare: str = "",
) -> tuple[Any, Any]:
    """Return a checkpoint's model, on its device and in evaluation mode, and its tokenizer.

    Each tensor goes from the file to its device in its final type: no other copy of the weights is
    made on the host. What a checkpoint declares as quantised is loaded by transformers' quantiser.

    Args:
        place: of the checkpoint.
        found: the class of the model.
        where: its weights go, and as what.
        key_mapping: how weights are called in the class, by patterns of what the checkpoint calls
            them; None where the names are the same.
        spare: what the names of weights begin with that the model has no use for; "" for none.

    Raises:
        FileNotFoundError: something is missing.
        ValueError: not all weights find their place, or the tokenizer is empty or another model's;
            or transformers cannot load it.
        MemoryError: it does not fit into memory.
    """
    _check_files(place)
    if isinstance(where.layers, dict) and list(where.layers) == [""] and place.gguf is None:
        check_room(Path(place.path), where.dtype, where.layers[""])
    tokenizer = load_tokenizer(place)
    options = {key: value for key, value in place.options.items() if key != "trust_remote_code"}
    with one_sentence(place), _quiet():
        model, info = found.from_pretrained(
            place.path,
            dtype=where.dtype,
            device_map=where.layers,
            output_loading_info=True,
            **({} if key_mapping is None else {"key_mapping": dict(key_mapping)}),
            **options,
            **_dequantized(place.gguf),
        )
        _check_weights(place, found, info, spare)
        _check_vocabulary(place, tokenizer, model)
        if getattr(read_config(place), "quantization_config", None) is not None:
            _even(model, where.dtype)
        return model.eval(), tokenizer


def _even(model: Any, dtype: str) -> None:
    """Give all weights of a quantised checkpoint one type, if transformers has unpacked them.

    It does where no hardware runs them as they are; what was not quantised keeps its own type then.
    """
    import torch

    weights = [weight for weight in model.parameters() if weight.is_floating_point()]
    unpacked = getattr(model, "hf_quantizer", None) is None
    if dtype == "auto" or not unpacked:
        return
    for weight in weights:
        weight.data = weight.data.to(getattr(torch, dtype))


def load_tokenizer(place: Place) -> Any:
    """Return a checkpoint's tokenizer.

    Raises:
        FileNotFoundError, ValueError: there is none, or it is empty; one sentence.
    """
    from transformers import AutoTokenizer

    with one_sentence(place), _quiet():
        tokenizer = AutoTokenizer.from_pretrained(place.path, **place.options)
    _check_tokens(place, tokenizer)
    return tokenizer


@contextmanager
def one_sentence(place: Place) -> Iterator[None]:
    """Turn what other libraries say of a checkpoint into one sentence that names it."""
    try:
        yield
    except _Refused:
        raise
    except (MemoryError, RuntimeError) as error:
        if out_of_memory(error):
            raise MemoryError(
                f"{place.source!r} does not fit into memory: choose a smaller model or a smaller "
                "dtype"
            ) from error
        raise _Refused(_sentence(place, error)) from error
    except OSError as error:
        raise FileNotFoundError(_sentence(place, error)) from error
    except ImportError as error:
        extra = " (GGUF files need pip install 'motes[gguf]')" if place.gguf else ""
        raise _Refused(_sentence(place, error) + extra) from error
    except Exception as error:
        raise _Refused(_sentence(place, error)) from error


class _Refused(ValueError):
    """An error whose one sentence is ours already."""


def _sentence(place: Place, error: BaseException) -> str:
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    reason = lines[0] if lines else type(error).__name__
    # the first sentence is the reason, the others are advice about that library
    reason = reason.split(". ")[0]
    if len(reason) > LONGEST_REASON:
        reason = reason[:LONGEST_REASON].rsplit(" ", 1)[0] + " ..."
    return f"no model could be loaded from {place.source!r}: {reason}"


def classes_of(mapping: Any, config: Config) -> list[Any]:
    """Return transformers' classes of one kind for a configuration."""
    try:
        found = mapping[type(config)]
    except KeyError:
        return []
    return list(found) if isinstance(found, tuple) else [found]


def _ending(name: str) -> str:
    """Return the part of a class's name that says what kind of model it is."""
    found = re.search(r"(For[A-Z]\w*|LMHead\w*|Decoder)$", name)
    return found.group() if found else name


def _check_files(place: Place) -> None:
    """Raise ValueError where a folder holds trained parts that transformers would not read."""
    folder = Path(place.path)
    if not folder.is_dir():
        return
    aside = sorted(file.name for file in folder.iterdir() if _is_aside(file))
    if aside:
        raise _Refused(
            f"{place.source!r} holds {aside[0]!r}, which is no part of the model that would be "
            "loaded: "
            "merge it into the model and save that, or move the file away"
        )


def _is_aside(file: Path) -> bool:
    weights = file.suffix in (".safetensors", ".bin", ".pt", ".pth")
    return file.name == "adapter_config.json" or (
        weights and _PARTS_ASIDE.search(file.stem) is not None
    )


def _check_weights(place: Place, found: Any, info: Mapping[str, Any], spare: str) -> None:
    """Raise ValueError where weights are missing, left over, or of another shape."""
    name = found.__name__
    lacking = set(info["missing_keys"]) | {
        mismatched[0] for mismatched in info.get("mismatched_keys", ())
    }
    if lacking:
        raise _Refused(
            f"{place.source!r} lacks weights of a {name}: {_some(lacking)} would be random; "
            "choose a complete checkpoint"
        )
    left = {key for key in info["unexpected_keys"] if not (spare and key.startswith(spare))}
    if left:
        raise _Refused(
            f"{place.source!r} holds weights that a {name} has no place for: "
            f"{_some(left)} would be ignored; "
            "load it as the model that it is, or save it without them"
        )
    if info.get("error_msgs"):
        raise _Refused(_sentence(place, ValueError(str(info["error_msgs"][0]))))


def _some(names: Iterable[str]) -> str:
    """Return a few names, and how many more there are."""
    ordered = sorted(names)
    more = len(ordered) - NAMED
    return ", ".join(ordered[:NAMED]) + (f" and {more} more" if more > 0 else "")


def _check_tokens(place: Place, tokenizer: Tokenizer) -> None:
    """Raise ValueError where a tokenizer has no tokens but special ones: its files are missing."""
    special = set(tokenizer.all_special_ids)
    texts = [text for text, number in tokenizer.get_vocab().items() if number not in special]
    if not any(text.strip("\u2581\u0120 \n") for text in texts):
        raise _Refused(
            f"{place.source!r} has an empty tokenizer: copy the tokenizer's files "
            "(tokenizer.json, tokenizer_config.json) "
            "of the model that it was trained from into it"
        )


def _check_vocabulary(place: Place, tokenizer: Tokenizer, model: Any) -> None:
    """Raise ValueError where a tokenizer has ids that the model has no row for."""
    rows = model.get_input_embeddings().weight.shape[0]
    beyond = {text: number for text, number in tokenizer.get_vocab().items() if number >= rows}
    beyond = {text: number for text, number in beyond.items() if not _OTHER_SENSES.search(text)}
    if beyond:
        text, number = max(beyond.items(), key=lambda item: item[1])
        raise _Refused(
            f"the tokenizer of {place.source!r} is another model's: its token {text!r} has the id "
            f"{number}, and the model's "
            f"vocabulary has {rows} ids; copy the tokenizer's files of this model into it, or "
            "resize the model's embeddings"
        )


def _dequantized(gguf: str | None) -> dict[str, Any]:
    """Unpack a GGUF file into a plain model.

    Releases of transformers without the option always do.
    """
    if gguf is None:
        return {}
    try:
        from transformers import GgufConfig
    except ImportError:
        return {}
    return {"quantization_config": GgufConfig(dequantize=True)}


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence progress bars and reports of transformers, for as long as this lasts.

    What they say is raised here.
    """
    from transformers.utils import logging

    shown, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if shown:
            logging.enable_progress_bar()
