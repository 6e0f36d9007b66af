"""Reward models in vLLM, in this process.

Of one with a trained head vLLM runs the backbone and gives the hidden state of a conversation's
last token, which leaves its prefix cache usable; the head is applied here, the same layers in
float32 as in `TorchPRM`, whatever it is called (see `vllm_backbone`). A causal model draws one
token, and the log-probabilities of those that its reader compares are asked for beside it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Container, Iterable, Sequence
from functools import partial
from importlib import import_module
from typing import Any

import torch

from ..engines.vllm_lm import SETTINGS
from ..hosting.places import located
from ..hosting.pretrained import load_tokenizer, read_config
from ..identity.marks import source_mark
from ..loading import VLLM
from ..pairing import JUDGE
from ..pocket import LM_FOLDER, PRM_FOLDER
from .engine_prm import EnginePRM, Reply, compared_tokens
from .heads import loaded_head, read_head
from .hosted_prm import family_in, judging_family
from .readers import Reader
from .vllm_backbone import TASK, backbone_options, register

FIXED = ("model", "tokenizer", "runner", "pooler_config", "enable_prefix_caching", "dtype")


def load_vllm_prm(
    name: str,
    *,
    family: str | None = None,
    reader: Callable[[Any], Reader] | None = None,
    dtype: str = "auto",
    **options: Any,
) -> EnginePRM:
    """Load a reward model into vLLM, in this process.

    Args:
        name: "vllm:" and a folder or a Hugging Face id; "judge:" before it for a judge.
        family: as `motes.load_prm` takes it.
        reader: as `motes.load_prm` takes it.
        dtype: "auto" (float32 on the CPU, else the checkpoint's), or the name of a type.
        options: any other argument of `vllm.LLM`, such as `max_model_len`.

    Raises:
        ImportError: vLLM is not installed.
        ValueError: it has no head that is known and is no causal model, or an option cannot be
            chosen.
    """
    _check_options(options, FIXED)
    asked = judging_family(name, family)
    shipped = LM_FOLDER if asked == "judge" else PRM_FOLDER
    source = name.removeprefix(JUDGE).removeprefix(VLLM)
    place = located(source, shipped=shipped)
    if place.gguf:
        raise ValueError(f"{place.source!r} is a GGUF file: vLLM needs a folder or an id")
    config, head = read_config(place), read_head(place)
    known = family_in(place, config, head, asked, reader is not None)
    causal = known is None or not known.heads
    for setting, value in SETTINGS.items():
        os.environ.setdefault(setting, value)
    vllm = _vllm()
    tokenizer = load_tokenizer(place)
    if reader is not None:
        asks = reader(tokenizer)
    else:
        assert known is not None
        asks = known.reader(tokenizer, config)
    on_cpu = import_module("vllm.platforms").current_platform.is_cpu()
    start = partial(
        vllm.LLM,
        model=place.path,
        dtype="float32" if dtype == "auto" and on_cpu else dtype,
        enable_prefix_caching=True,
        disable_log_stats=options.pop("disable_log_stats", True),
    )
    if causal:
        tokens = compared_tokens(asks)
        llm = start(**options)
        answer = partial(_next_tokens, llm, tokens)
    else:
        layers = loaded_head(place, head, config.hidden_size)
        register()
        backbone = backbone_options(place.source, config)
        _check_options(options, backbone)
        llm = start(**backbone, **options)
        answer = partial(_pooled, llm, layers)
    mark = source_mark(source, shipped)
    return EnginePRM(
        answer,
        asks,
        causal=causal,
        name=name,
        weights="" if mark is None else str(mark.text),
        context=llm.llm_engine.model_config.max_model_len,
    )


def _vllm() -> Any:
    try:
        return import_module("vllm")
    except ImportError as error:
        raise ImportError(
            f"a model in vLLM needs vLLM: pip install 'motes[vllm]' ({error})"
        ) from error


def _check_options(options: Iterable[str], fixed: Container[str]) -> None:
    for option in options:
        if option in fixed:
            raise ValueError(f"{option} cannot be chosen for a reward model in vLLM")


def _prompts(conversations: Sequence[tuple[int, ...]]) -> list[dict[str, list[int]]]:
    return [{"prompt_token_ids": list(ids)} for ids in conversations]


@torch.inference_mode()
def _pooled(
    llm: Any, head: torch.nn.Module, conversations: Sequence[tuple[int, ...]]
) -> list[Reply]:
    """Return the head's outputs at the last token of each conversation."""
    params = import_module("vllm").PoolingParams(use_activation=False)
    outputs = llm.encode(
        _prompts(conversations), pooling_params=params, pooling_task=TASK, use_tqdm=False
    )
    replies = []
    for ids, output in zip(conversations, outputs, strict=True):
        values = head(output.outputs.data.cpu())
        replies.append(Reply(values.tolist(), len(ids) - (output.num_cached_tokens or 0)))
    return replies


def _next_tokens(
    llm: Any, tokens: tuple[int, ...], conversations: Sequence[tuple[int, ...]]
) -> list[Reply]:
    """Return the log-probabilities of these tokens behind each conversation."""
    vllm = import_module("vllm")
    params = vllm.SamplingParams(
        temperature=0.0,
        max_tokens=1,
        logprobs=len(tokens),
        logprob_token_ids=list(tokens),
        detokenize=False,
    )
    outputs = llm.generate(_prompts(conversations), sampling_params=params, use_tqdm=False)
    replies = []
    for ids, output in zip(conversations, outputs, strict=True):
        [values] = output.outputs[0].logprobs
        found = [values[token].logprob for token in tokens]
        replies.append(Reply(found, len(ids) - (output.num_cached_tokens or 0)))
    return replies
