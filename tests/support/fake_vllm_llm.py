"""Stands for vllm.LLM: the model really loaded, by the loader that was registered, and its habits.

It refuses tensors that its class has no place for, gives hidden states of unit length where an
activation is not left out, and answers no task but the one that it was started for.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file

LOADERS: dict[str, type] = {}
CACHED = 3  # tokens that it says it had read of every conversation


@dataclass
class LoadConfig:
    load_format: str


class DefaultModelLoader:
    def __init__(self, load_config: LoadConfig) -> None:
        assert load_config.load_format == "auto", "it knows no other"

    def get_all_weights(self, model_config: Any, model: Any) -> Iterator[tuple[str, torch.Tensor]]:
        for path in sorted(Path(model_config.model).glob("*.safetensors")):
            yield from load_file(path).items()


class FakeLLM:
    """See the module.

    Attributes:
        made: what it was given.
    """

    made: dict[str, Any] = {}

    def __init__(self, **given: Any) -> None:
        FakeLLM.made = given
        pooler = given.get("pooler_config")
        self.config = SimpleNamespace(model=given["model"], max_model_len=512, pooler_config=pooler)
        self.llm_engine = SimpleNamespace(model_config=self.config)
        plain = transformers.AutoConfig.from_pretrained(given["model"])
        overrides = given.get("hf_overrides", {})
        [architecture] = overrides.get("architectures", plain.architectures)
        self.network = getattr(transformers, architecture)(plain).eval()
        self.load_weights(given.get("load_format", "auto"))

    def load_weights(self, load_format: str) -> None:
        loader = {"auto": DefaultModelLoader, **LOADERS}[load_format](LoadConfig(load_format))
        own = self.network.state_dict()
        found = dict(loader.get_all_weights(self.config, self.network))
        if self.config.pooler_config is not None:  # one that pools has no use for this layer
            found.pop("lm_head.weight", None)
        for name in found:
            if name not in own:
                raise ValueError(f"There is no module or parameter named {name!r}")
        self.network.load_state_dict(found, strict=False)

    @torch.no_grad()
    def encode(
        self, prompts: Any, *, pooling_params: Any, pooling_task: str, use_tqdm: bool
    ) -> list[Any]:
        pooler = self.config.pooler_config
        assert pooling_task == pooler.task == "embed" and pooler.seq_pooling_type == "LAST"
        results = []
        for prompt in prompts:
            ids = torch.tensor([prompt["prompt_token_ids"]])
            data = self.network.base_model(input_ids=ids).last_hidden_state[0, -1]
            if pooling_params.use_activation is not False:
                data = data / data.norm()
            output = SimpleNamespace(data=data)
            results.append(SimpleNamespace(outputs=output, num_cached_tokens=CACHED))
        return results

    @torch.no_grad()
    def generate(self, prompts: Any, *, sampling_params: Any, use_tqdm: bool) -> list[Any]:
        tokens = sampling_params.logprob_token_ids
        assert sampling_params.max_tokens == 1 and sampling_params.logprobs == len(tokens) == 2
        results = []
        for prompt in prompts:
            ids = torch.tensor([prompt["prompt_token_ids"]])
            law = self.network(input_ids=ids).logits[0, -1].log_softmax(0)
            row = {token: SimpleNamespace(logprob=float(law[token])) for token in tokens}
            results.append(
                SimpleNamespace(outputs=[SimpleNamespace(logprobs=[row])], num_cached_tokens=0)
            )
        return results


def install(monkeypatch: pytest.MonkeyPatch) -> type[FakeLLM]:
    """Put it where `import vllm` finds it."""

    def plain(**given: Any) -> SimpleNamespace:
        return SimpleNamespace(**given)

    def register_model_loader(load_format: str) -> Any:
        return lambda loader: LOADERS.setdefault(load_format, loader)

    parts: dict[str, dict[str, Any]] = {
        "vllm": {"LLM": FakeLLM, "PoolingParams": plain, "SamplingParams": plain},
        "vllm.config": {"PoolerConfig": plain},
        "vllm.platforms": {"current_platform": SimpleNamespace(is_cpu=lambda: True)},
        "vllm.model_executor": {},
        "vllm.model_executor.model_loader": {
            "DefaultModelLoader": DefaultModelLoader,
            "register_model_loader": register_model_loader,
        },
    }
    for name, held in parts.items():
        module = ModuleType(name)
        vars(module).update(held)
        monkeypatch.setitem(sys.modules, name, module)
    return FakeLLM
