"""From a name to a model: what ships with motes, a folder, a GGUF file, or the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .language.torch_lm import TorchLM
from .pocket import LM_FOLDER, PRM_FOLDER
from .reward.readers import Reader, SeparatorReader, TokenPairReader
from .reward.torch_prm import TorchPRM
from .step_rule import StepRule

SHIPPED = "pocket"
WEIGHTS = ("*.safetensors", "*.bin", "*.gguf")


def load_lm(
    source: str | Path,
    *,
    device: str = "auto",
    dtype: str = "auto",
    step: StepRule | None = None,
    prompt: Callable[[str], str] | None = None,
    cache_bytes: int = 2 << 30,
) -> TorchLM:
    """Load a causal language model.

    Args:
        source: "pocket", a folder, a GGUF file, or a Hugging Face id with its owner ("owner/name").
        device: "auto" (CUDA if there is one, else the CPU), or a torch device.
        dtype: "auto" (the checkpoint's on CUDA, float32 on the CPU), or the name of a torch type.
        step: when a step ends; at a blank line by default.
        prompt: makes the prompt's text of a question, in place of the tokenizer's chat template.
        cache_bytes: the most bytes of keys and values to keep.

    Raises:
        ValueError: the name, device or dtype is unknown, or the model cannot be hosted.
        FileNotFoundError: the folder or file is missing, or holds no weights.
    """
    from transformers import AutoModelForCausalLM

    place, gguf = _locate(source, shipped=LM_FOLDER)
    model, tokenizer = _load(AutoModelForCausalLM, place, gguf, device, dtype)
    return TorchLM(model, tokenizer, step=step, prompt=prompt, name=str(source), cache_bytes=cache_bytes)


def load_prm(
    source: str | Path,
    *,
    device: str = "auto",
    dtype: str = "auto",
    reader: Callable[[Any], Reader] | None = None,
    cache_bytes: int = 2 << 30,
) -> TorchPRM:
    """Load a process reward model.

    A token classifier is read at a separator behind each step: the one that its configuration names
    (``step_separator``), else ``<extra_0>`` if that is a token, else a line break. A causal language model is read by its
    answers "+" and "-": in turns if its tokenizer has a chat template, else behind the marker of Math-Shepherd.

    Args:
        source: "pocket", a folder, a GGUF file, or a Hugging Face id with its owner ("owner/name").
        device: as for `load_lm`.
        dtype: as for `load_lm`.
        reader: makes the reader of the tokenizer, in place of the above.
        cache_bytes: the most bytes of keys and values to keep.

    Raises:
        ValueError: the name, device or dtype is unknown, the labels are not two, or the model cannot be hosted.
        FileNotFoundError: the folder or file is missing, or holds no weights.
    """
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForTokenClassification

    place, gguf = _locate(source, shipped=PRM_FOLDER)
    with _one_sentence(place):
        config = AutoConfig.from_pretrained(place, **({"gguf_file": gguf} if gguf else {}))
    classifies = any("TokenClassification" in name for name in config.architectures or ())
    if classifies and config.num_labels != 2:
        raise ValueError(f"a process reward model needs two labels, wrong and right, and {str(source)!r} has {config.num_labels}")
    model, tokenizer = _load(AutoModelForTokenClassification if classifies else AutoModelForCausalLM, place, gguf, device, dtype)
    return TorchPRM(model, (reader or _reader(config, classifies))(tokenizer), name=str(source), cache_bytes=cache_bytes)


def check_source(source: str | Path) -> None:
    """Raise what `load_lm` and `load_prm` raise of a name or place where no model can be, without loading any."""
    _locate(source, shipped=LM_FOLDER)


def _reader(config: Any, classifies: bool) -> Callable[[Any], Reader]:
    def make(tokenizer: Any) -> Reader:
        if not classifies:
            return TokenPairReader(tokenizer, marker=None if tokenizer.chat_template else "ки")
        default = "<extra_0>" if "<extra_0>" in tokenizer.get_vocab() else "\n"
        return SeparatorReader(tokenizer, separator=getattr(config, "step_separator", default), chat=getattr(config, "step_chat", False))

    return make


def _locate(source: str | Path, *, shipped: Path) -> tuple[str, str | None]:
    """The folder or hub id to load from, and the GGUF file in it if that is what holds the weights."""
    path = shipped if str(source) == SHIPPED else Path(source)
    if path.is_file() and path.suffix == ".gguf":
        return str(path.parent), path.name
    if path.is_dir():
        files = [file for pattern in WEIGHTS for file in sorted(path.glob(pattern))]
        if not files:
            raise FileNotFoundError(f"the folder {str(path)!r} holds no weights ({', '.join(WEIGHTS)})")
        return str(path), files[0].name if files[0].suffix == ".gguf" else None
    name = str(source)
    if path.is_absolute() or path.suffix == ".gguf" or name.startswith((".", "~")):
        raise FileNotFoundError(f"there is no model at {str(path)!r}")
    if name.count("/") != 1:
        raise ValueError(f"unknown model {name!r}; known are {SHIPPED!r}, a folder, a GGUF file, or a Hugging Face id 'owner/name'")
    return name, None


def _load(kind: Any, place: str, gguf: str | None, device: str, dtype: str) -> tuple[Any, Any]:
    import torch
    from transformers import AutoTokenizer

    where = _device(device)
    if dtype != "auto" and not isinstance(getattr(torch, dtype, None), torch.dtype):
        raise ValueError(f"dtype must be 'auto' or the name of a torch type such as 'float32' or 'bfloat16', not {dtype!r}")
    if dtype == "auto" and where.type == "cpu":
        dtype = "float32"  # half precision is several times slower there
    options: dict[str, Any] = {"gguf_file": gguf} if gguf else {}
    with _one_sentence(place), _without_bars():
        tokenizer = AutoTokenizer.from_pretrained(place, **options)
        model, info = kind.from_pretrained(place, dtype=dtype, output_loading_info=True, **options, **_dequantized(gguf))
    if info["missing_keys"]:
        raise ValueError(f"{place!r} lacks weights of a {type(model).__name__}: {', '.join(sorted(info['missing_keys'])[:3])}")
    return model.to(where).eval(), tokenizer


def _dequantized(gguf: str | None) -> dict[str, Any]:
    """Unpack a GGUF file into a plain model; releases of transformers without the option always do."""
    if gguf is None:
        return {}
    try:
        from transformers import GgufConfig
    except ImportError:
        return {}
    return {"quantization_config": GgufConfig(dequantize=True)}


def _device(name: str) -> Any:
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(f"device must be 'auto' or a torch device such as 'cpu' or 'cuda:0', not {name!r}") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device {name!r} was asked for, but torch finds no CUDA device")
    return device


@contextmanager
def _one_sentence(place: str) -> Iterator[None]:
    """Turn what transformers says of a model it cannot find or read into one sentence."""
    try:
        yield
    except OSError as error:
        reason = str(error).strip().splitlines()[0]
        raise FileNotFoundError(f"no model could be loaded from {place!r}: {reason}") from error


@contextmanager
def _without_bars() -> Iterator[None]:
    """No progress bars for reading weights from disk, for as long as this lasts."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
