"""From a name to a model: what ships with motes, a folder, a GGUF file, or the Hugging Face hub."""

from __future__ import annotations

from inspect import signature
from pathlib import Path
from typing import Any

from .engines.connection import checked_url
from .hosting.places import located
from .hosting.pretrained import DeviceMap, Placement, load_checkpoint, model_class, read_config
from .hosting.speculative_drafts import Draft
from .hosting.speculative_model import ModelDraft
from .hosting.static_decoding import PLAIN, check_decoding
from .language.torch_lm import TorchLM
from .pairing import OF_THE_LM, without_use
from .pocket import LM_FOLDER
from .prompt_forms import PromptForm
from .prompt_presets import chosen_form
from .step_rule import StepRule

VLLM = "vllm:"
CAUSAL = "causal language model"


def load_lm(
    source: str | Path,
    *,
    device: str = "auto",
    dtype: str = "auto",
    device_map: DeviceMap | None = None,
    step: StepRule | None = None,
    prompt: PromptForm | None = None,
    cache_bytes: int = 2 << 30,
    probe: bool = True,
    draft: str | Path | Draft | None = None,
    decoding: str = PLAIN,
    **engine: Any,
) -> Any:
    """Load a causal language model, or find one behind a server.

    What the checkpoint contains is what is used: weights that find no place in the model, or are
    missing, and a tokenizer that is empty or another model's are errors.

    Args:
        source: "pocket", a folder, a GGUF file, or a Hugging Face id with its owner ("owner/name");
            or a server's address, "http://HOST:PORT"; or "vllm:" and one of the first, but no GGUF
            file, to run it in vLLM.
        device: "auto" (CUDA if there is one, else the CPU), or a torch device; a server has its
            own.
        dtype: "auto" (the checkpoint's on CUDA, float32 on the CPU), or the name of a torch type.
        device_map: how a model too large for one device is spread: "auto", "balanced", or a device
            ("cuda:1", "cpu", "disk") for each of some modules, as transformers takes it; all on
            `device` where None.
        step: when a step ends; at a blank line by default.
        prompt: what the model reads before it writes: a `ChatPrompt` (system prompt, examples,
            arguments of the chat template, prefill), the name of one of `motes.prompts.PRESETS`, a
            text with {question} in it, or a function from a question to a text; the chat template
            with the question alone where None.
        cache_bytes: the most bytes of keys and values to keep.
        probe: whether to find out that the model's law does not depend on what else is in a batch
            (see `motes.models.hosting.probe`); it takes a fraction of a second.
        draft: what proposes tokens, of which the model reads several in one forward pass: a smaller
            model with the same vocabulary, by its name or as `load_draft` gives it, or an
            `NGramDraft`. Steps have the model's own law all the same; a seed draws others than
            without it. A server, and a model in vLLM, drafts as it was started.
        decoding: "plain", or in fixed shapes: "static" (as they are), "compiled" (by
            `torch.compile`, which takes seconds to minutes a shape) or "graphs" (CUDA graphs). The
            same seed draws the same, up to rounding. A server, and a model in vLLM, has its own
            way.
        engine: of a server, the arguments of `motes.models.engines.servers.load_server`; of a model
            in vLLM those of `motes.models.engines.vllm_lm.load_vllm`.

    Returns:
        A `TorchLM`; for a server a `ServerLM` or `TextServerLM`, and a `VllmLM` in vLLM.

    Raises:
        TypeError: an argument is unknown.
        ServerError: the server cannot be used; one sentence.
        ValueError: the name, device or dtype is unknown, the checkpoint is not whole, the model
            cannot be hosted, the draft has another vocabulary, or the model cannot be decoded in
            the way that was asked for.
        FileNotFoundError: the folder or file is missing, or holds no weights.
        MemoryError: the model does not fit into memory.

    Example:
        >>> lm = load_lm("pocket")
        >>> lm.name, lm.rendered("How many?").text
        ('pocket', '<|user|>How many?<|assistant|>')
    """
    prompt = chosen_form(prompt)
    if device_map is not None and (is_address(source) or is_in_vllm(source)):
        raise ValueError(f"device_map must be left out for {source!r}, which places its own layers")
    if draft is not None and (is_address(source) or is_in_vllm(source)):
        raise ValueError(_OWN_DRAFT.format(source=source))
    if check_decoding(decoding) != PLAIN and (is_address(source) or is_in_vllm(source)):
        raise ValueError(f"decoding must be 'plain' for {source!r}, which decodes in its own way")
    if is_address(source):
        return _load_served(str(source), device, dtype, step=step, prompt=prompt, **engine)
    if is_in_vllm(source):
        return _load_into_vllm(str(source), device, dtype, step=step, prompt=prompt, **engine)
    if engine:
        raise TypeError(f"load_lm has the argument {min(engine)!r} for servers and vLLM alone")
    if isinstance(draft, str | Path):
        draft = load_draft(draft, device=device, dtype=dtype)
    model, tokenizer = _load_causal(source, placement(device, dtype, device_map))
    return TorchLM(
        model,
        tokenizer,
        step=step,
        prompt=prompt,
        name=str(source),
        cache_bytes=cache_bytes,
        probe=probe,
        draft=draft,
        decoding=decoding,
    )


_OWN_DRAFT = (
    "draft must be left out for {source!r}, since engines draft by settings of their own: "
    "speculative_config of vLLM, --speculative-algorithm of SGLang, --model-draft of llama.cpp"
)


def load_draft(
    source: str | Path, *, device: str = "auto", dtype: str = "auto", tokens: int = 4
) -> ModelDraft:
    """Load a language model that proposes tokens for another one.

    Args:
        source: "pocket", a folder, a GGUF file, or a Hugging Face id with its owner.
        device: as for `load_lm`; one close to the target's saves copies.
        dtype: as for `load_lm`.
        tokens: how many tokens to propose at a time. More are worth it where most are accepted.

    Returns:
        What `load_lm` takes as its argument `draft`.

    Raises:
        ValueError: as `load_lm`; or it is a server, or in vLLM.
        FileNotFoundError: the folder or file is missing, or holds no weights.
        MemoryError: the model does not fit into memory.

    Example:
        >>> lm = load_lm("pocket", draft=load_draft("pocket", tokens=3))
        >>> lm.draft.name, lm.draft.tokens
        ('pocket', 3)
    """
    if is_address(source) or is_in_vllm(source):
        raise ValueError(f"draft must be a model that torch hosts, not {source!r}")
    model, tokenizer = _load_causal(source, placement(device, dtype, None))
    return ModelDraft(model, tokenizer, name=str(source), tokens=tokens)


def _load_causal(source: str | Path, where: Placement) -> Any:
    """Return a checkpoint's causal language model and its tokenizer."""
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING

    place = located(source, shipped=LM_FOLDER)
    _, found = model_class(place, read_config(place), {CAUSAL: MODEL_FOR_CAUSAL_LM_MAPPING})
    return load_checkpoint(place, found, where)


def _load_served(address: str, device: str, dtype: str, **options: Any) -> Any:
    from .engines.servers import load_server

    for name, value in (("device", device), ("dtype", dtype)):
        if value != "auto":
            raise ValueError(
                f"{name} must be 'auto' for a server, which has its own, not {value!r}"
            )
    known = signature(load_server).parameters
    for name in options:
        if name not in known:
            raise TypeError(
                f"load_lm has no argument {name!r} for servers; it has {', '.join(sorted(known))}"
            )
    return load_server(address, **options)


def _load_into_vllm(source: str, device: str, dtype: str, **options: Any) -> Any:
    from .engines.vllm_lm import load_vllm

    if device != "auto":
        raise ValueError(f"device must be 'auto' for a model in vLLM, not {device!r}")
    return load_vllm(source.removeprefix(VLLM), dtype=dtype, **options)


def check_source(source: str | Path) -> None:
    """Raise what `load_lm` and `load_prm` raise of a name or place where no model can be.

    Nothing is loaded.

    Example:
        >>> check_source("pocket")
        >>> try:
        ...     check_source("magic")
        ... except ValueError as error:
        ...     print(str(error)[:21])
        unknown model 'magic'
    """
    name = without_use(str(source))
    if name in OF_THE_LM:
        return
    if is_address(name):
        checked_url(name)
        return
    located(name.removeprefix(VLLM), shipped=LM_FOLDER)


def is_in_vllm(source: str | Path) -> bool:
    """Return whether a model's name says that it is to run in vLLM.

    Example:
        >>> is_in_vllm("vllm:pocket"), is_in_vllm("pocket")
        (True, False)
    """
    return isinstance(source, str) and source.startswith(VLLM)


def is_address(source: str | Path) -> bool:
    """Return whether a model's name is the address of a server.

    Example:
        >>> is_address("http://127.0.0.1:8000"), is_address("pocket")
        (True, False)
    """
    return isinstance(source, str) and source.startswith(("http://", "https://"))


def placement(device: str, dtype: str, device_map: DeviceMap | None) -> Placement:
    """Return where weights go, and as what."""
    import torch

    if device_map is not None and device != "auto":
        raise ValueError(f"device must be left at 'auto' beside device_map, not {device!r}")
    where = _device(device)
    layers = {"": where} if device_map is None else device_map
    if dtype == "auto":
        # half precision is several times slower on the CPU
        return Placement(layers, "float32" if where.type == "cpu" else "auto")
    named = getattr(torch, dtype, None) if isinstance(dtype, str) else None
    if not isinstance(named, torch.dtype) or not named.is_floating_point:
        raise ValueError(
            "dtype must be 'auto' or the name of a torch type such as 'float32' or 'bfloat16', "
            f"not {dtype!r}"
        )
    return Placement(layers, dtype)


def _device(name: str) -> Any:
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(
            f"device must be 'auto' or a torch device such as 'cpu' or 'cuda:0', not {name!r}"
        ) from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device {name!r} was asked for, but torch finds no CUDA device")
    return device
