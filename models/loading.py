"""From a name to a model: what ships with motes, a folder, a GGUF file, or the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import Any

from ..aliases import Config
from .engines.connection import checked_url
from .hosting.places import located
from .hosting.pretrained import (
    DeviceMap,
    Place,
    Placement,
    classes_of,
    load_checkpoint,
    model_class,
    read_config,
)
from .language.torch_lm import TorchLM
from .pairing import JUDGE
from .pocket import LM_FOLDER, PRM_FOLDER
from .prompt_forms import PromptForm
from .prompt_presets import chosen_form
from .reward.families import PLAIN, Signs, family_of, unknown
from .reward.heads import Head, read_head, with_head
from .reward.implicit import BETA, ImplicitReward, NumberedSteps
from .reward.readers import Reader
from .reward.torch_prm import TorchPRM
from .step_rule import StepRule

VLLM = "vllm:"
CAUSAL, CLASSIFIER = "causal language model", "token classifier"


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
        engine: of a server, the arguments of `motes.models.engines.servers.load_server`; of a model
            in vLLM those of `motes.models.engines.vllm_lm.load_vllm`.

    Returns:
        A `TorchLM`; for a server a `ServerLM` or `TextServerLM`, and a `VllmLM` in vLLM.

    Raises:
        TypeError: an argument is unknown.
        ServerError: the server cannot be used; one sentence.
        ValueError: the name, device or dtype is unknown, the checkpoint is not whole, or the model
            cannot be hosted.
        FileNotFoundError: the folder or file is missing, or holds no weights.
        MemoryError: the model does not fit into memory.

    Example:
        >>> lm = load_lm("pocket")
        >>> lm.name, lm.rendered("How many?").text
        ('pocket', '<|user|>How many?<|assistant|>')
    """
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING

    prompt = chosen_form(prompt)
    if device_map is not None and (is_address(source) or is_in_vllm(source)):
        raise ValueError(f"device_map must be left out for {source!r}, which places its own layers")
    if is_address(source):
        return _load_served(str(source), device, dtype, step=step, prompt=prompt, **engine)
    if is_in_vllm(source):
        return _load_into_vllm(str(source), device, dtype, step=step, prompt=prompt, **engine)
    if engine:
        raise TypeError(f"load_lm has the argument {min(engine)!r} for servers and vLLM alone")
    place = located(source, shipped=LM_FOLDER)
    where = _placement(device, dtype, device_map)
    _, found = model_class(place, read_config(place), {CAUSAL: MODEL_FOR_CAUSAL_LM_MAPPING})
    model, tokenizer = load_checkpoint(place, found, where)
    return TorchLM(
        model,
        tokenizer,
        step=step,
        prompt=prompt,
        name=str(source),
        cache_bytes=cache_bytes,
        probe=probe,
    )


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


def load_prm(
    source: str | Path,
    *,
    device: str = "auto",
    dtype: str = "auto",
    device_map: DeviceMap | None = None,
    family: str | None = None,
    reader: Callable[[Any], Reader] | None = None,
    cache_bytes: int = 2 << 30,
    probe: bool = True,
) -> TorchPRM:
    """Load a process reward model, and ask it as it was published to be asked.

    Its family is known by the architecture that it declares, by its head's tensors and by its name
    (see `motes.models.reward.families`); a token classifier of transformers with two labels is
    asked as TRL trains them. No code of a checkpoint is ever run.

    Args:
        source: "pocket", a folder, a GGUF file, or a Hugging Face id with its owner ("owner/name").
            "judge:" and the source of a language model ask that model whether the solution is right
            (see `motes.models.reward.judge_reader`), as family="judge" does.
        device: as for `load_lm`.
        dtype: as for `load_lm`.
        device_map: as for `load_lm`.
        family: the name of its family, where its own name does not say it: "math-shepherd", say.
        reader: makes the reader of the tokenizer, in place of the family's.
        cache_bytes: the most bytes of keys and values to keep.
        probe: as for `load_lm`.

    Raises:
        ValueError: the name, device, dtype or family is unknown, the checkpoint is not whole, its
            weights are not those of its family, or the model cannot be hosted.
        FileNotFoundError: the folder or file is missing, or holds no weights.
        MemoryError: the model does not fit into memory.

    Example:
        >>> load_prm("pocket").name
        'pocket'
        >>> load_prm("judge:pocket").name
        'judge:pocket'
    """
    name, family = str(source), _judging_family(source, family)
    source = name.removeprefix(JUDGE)
    place = located(source, shipped=LM_FOLDER if family == "judge" else PRM_FOLDER)
    where = _placement(device, dtype, device_map)
    config, head = read_config(place), read_head(place)
    signs = Signs(place.source, tuple(getattr(config, "architectures", None) or ()), head)
    known = family_of(signs, family)
    if known is None:
        kind = _declared_kind(place, config)
        if kind == CAUSAL and reader is None:
            raise unknown(signs)
        known = PLAIN if kind == CLASSIFIER else None
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


def load_implicit_prm(
    source: str | Path,
    reference: str | Path,
    *,
    beta: float = BETA,
    device: str = "auto",
    dtype: str = "auto",
) -> ImplicitReward:
    """Load an implicit reward model, such as EurusPRM: a language model and its reference.

    It is asked in EurusPRM's layout: the question in the chat template, then numbered steps. See
    `motes.models.reward.implicit` for the equation.

    Args:
        source: the trained language model, as `load_lm` takes it.
        reference: the language model that it was trained from.
        beta: the factor before the log ratio.
        device: as for `load_lm`.
        dtype: as for `load_lm`.

    Raises:
        ValueError, FileNotFoundError, MemoryError: as `load_lm`; or the two have not one
            vocabulary.

    Example:
        >>> load_implicit_prm("pocket", "pocket").name
        'pocket against pocket'
    """
    located(source, shipped=LM_FOLDER)
    located(reference, shipped=LM_FOLDER)
    policy: TorchLM = load_lm(source, device=device, dtype=dtype)
    base: TorchLM = load_lm(reference, device=device, dtype=dtype)
    if policy.tokenizer.get_vocab() != base.tokenizer.get_vocab():
        raise ValueError(
            f"reference must have the vocabulary of {str(source)!r}, and {str(reference)!r} has "
            "another"
        )
    return ImplicitReward(policy, base, encode=NumberedSteps(policy.tokenizer), beta=beta)


def _judging_family(source: str | Path, family: str | None) -> str | None:
    """Return the family that is asked for, also where "judge:" before the source says it."""
    if not str(source).startswith(JUDGE):
        return family
    if family not in (None, "judge"):
        raise ValueError(f"family must be left out beside {str(source)!r}, not {family!r}")
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
    if is_address(source):
        checked_url(str(source))
        return
    if is_in_vllm(source):
        source = str(source).removeprefix(VLLM)
    located(str(source).removeprefix(JUDGE), shipped=LM_FOLDER)


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


def _placement(device: str, dtype: str, device_map: DeviceMap | None) -> Placement:
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
