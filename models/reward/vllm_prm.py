"""Reward models in vLLM, in this process.

A head of transformers' token classifiers is pooled at a conversation's last token, which leaves
vLLM's prefix cache usable; Qwen2.5-Math-PRM's has a class of its own there, of which all tokens
that were not cached are pooled and the last is read. A causal model draws one token, and the
log-probabilities of those that its reader compares are asked for beside it. Heads of other names
(`v_head`, `score_head`) have no class in vLLM.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from typing import Any

from ...aliases import Config
from ..engines.vllm_lm import SETTINGS
from ..hosting.places import located
from ..hosting.pretrained import load_tokenizer, read_config
from ..identity.marks import source_mark
from ..loading import VLLM
from ..pairing import JUDGE
from ..pocket import LM_FOLDER, PRM_FOLDER
from .engine_prm import EnginePRM, Reply, compared_tokens
from .heads import read_head
from .hosted_prm import family_in, judging_family
from .readers import Reader

TWO_LAYERS, CLASSIFIER = "Qwen2ForProcessRewardModel", "ForTokenClassification"
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
        ValueError: vLLM has no class for its head, or an option cannot be chosen.
    """
    for option in options:
        if option in FIXED:
            raise ValueError(f"{option} cannot be chosen for a reward model in vLLM")
    asked = judging_family(name, family)
    shipped = LM_FOLDER if asked == "judge" else PRM_FOLDER
    source = name.removeprefix(JUDGE).removeprefix(VLLM)
    place = located(source, shipped=shipped)
    if place.gguf:
        raise ValueError(f"{place.source!r} is a GGUF file: vLLM needs a folder or an id")
    config = read_config(place)
    known = family_in(place, config, read_head(place), asked, reader is not None)
    causal = known is None or not known.heads
    pooling = {} if causal else _pooling(place.source, config)
    for setting, value in SETTINGS.items():
        os.environ.setdefault(setting, value)
    vllm = _vllm()
    tokenizer = load_tokenizer(place)
    if reader is not None:
        asks = reader(tokenizer)
    else:
        assert known is not None
        asks = known.reader(tokenizer, config)
    pooler = pooling.pop("pooler_config", None)
    if pooler is not None:
        pooling["pooler_config"] = import_module("vllm.config").PoolerConfig(**pooler)
    on_cpu = import_module("vllm.platforms").current_platform.is_cpu()
    llm = vllm.LLM(
        model=place.path,
        dtype="float32" if dtype == "auto" and on_cpu else dtype,
        enable_prefix_caching=True,
        **pooling,
        **({"disable_log_stats": True} | options),
    )
    answer = partial(_next_tokens, llm, compared_tokens(asks)) if causal else partial(_pooled, llm)
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


def _pooling(source: str, config: Config) -> dict[str, Any]:
    """Return how vLLM is told to run a head.

    Raises:
        ValueError: it has no class for it.
    """
    declared = (getattr(config, "architectures", None) or [""])[0]
    if declared == TWO_LAYERS:
        return {"runner": "pooling", "pooler_config": {"tok_pooling_type": "ALL"}}
    if declared.endswith(CLASSIFIER):
        return {"runner": "pooling", "pooler_config": {"task": "classify"}}
    raise ValueError(
        f"{source!r} declares the architecture {declared!r}, and vLLM has classes for the heads of "
        f"{TWO_LAYERS} and of ...{CLASSIFIER} alone: load it without 'vllm:'"
    )


def _prompts(conversations: Sequence[tuple[int, ...]]) -> list[dict[str, list[int]]]:
    return [{"prompt_token_ids": list(ids)} for ids in conversations]


def _pooled(llm: Any, conversations: Sequence[tuple[int, ...]]) -> list[Reply]:
    """Return the head's outputs at the last token of each conversation."""
    vllm = import_module("vllm")
    task = "classify"
    params = vllm.PoolingParams(use_activation=False)
    if llm.llm_engine.model_config.pooler_config.task != task:
        task = "token_classify"
        params = vllm.PoolingParams(use_activation=False, skip_reading_prefix_cache=False)
    outputs = llm.encode(
        _prompts(conversations), pooling_params=params, pooling_task=task, use_tqdm=False
    )
    replies = []
    for ids, output in zip(conversations, outputs, strict=True):
        data = output.outputs.data
        row = data if data.ndim == 1 else data[-1]
        replies.append(Reply(row.tolist(), len(ids) - (output.num_cached_tokens or 0)))
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
