"""One contract for every host of a language model: tables, torch, and servers of each dialect.

The servers are stubs on a real socket whose model is a table; real engines are tried against the
same contract by `make test-engines`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from fake_vllm import vllm_lm
from lm_contract import CHECKS, Host, check_blocks, check_context, check_filter, check_steps
from stub_servers import (
    LlamaCppStub,
    SGLangStub,
    Stub,
    TableModel,
    TextStub,
    VllmStub,
    serving,
)

from motes.models import (
    ModelDraft,
    NGramDraft,
    Sampling,
    StepRule,
    TableLM,
    TorchLM,
    Trajectory,
    load_lm,
)
from motes.models.engines.vllm_lm import VllmLM

STUBS: dict[str, Callable[[TableModel], Stub]] = {
    "vllm": VllmStub,
    "vllm-processed": lambda model: VllmStub(model, processed=True),
    "llama.cpp": LlamaCppStub,
    "sglang": SGLangStub,
    "sglang-original": lambda model: SGLangStub(model, original=True),
    "sglang-unseeded": lambda model: SGLangStub(model, deterministic=False),
    "text": TextStub,
}


@pytest.fixture(scope="module")
def table_model() -> TableModel:
    return TableModel()


TORCH = ("torch", "torch-draft", "torch-ngrams", "torch-static")


@pytest.fixture(scope="module")
def torch_hosts(pocket64: Any, sliding64: Any, tokenizer: Any) -> dict[str, Host]:
    drafts = {"draft": ModelDraft(sliding64, tokenizer)}, {"draft": NGramDraft()}
    ways = {}, *drafts, {"decoding": "static"}
    hosts = [torch_host(pocket64, tokenizer, way) for way in ways]
    return dict(zip(TORCH, hosts, strict=True))


def torch_host(pocket64: Any, tokenizer: Any, way: dict[str, Any]) -> Host:
    def make(rule: StepRule, context: int | None) -> TorchLM:
        lm = TorchLM(pocket64, tokenizer, step=rule, probe=False, **way)
        lm.context = context or lm.context
        return lm

    whole = make(StepRule(), None)

    def prompt(question: str) -> tuple[int, ...]:
        return whole.rendered(question).token_ids

    def reference(x: Trajectory) -> np.ndarray:
        before = prompt(x.question)
        with torch.no_grad():
            logits = pocket64(torch.tensor([[*before, *x.token_ids]])).logits[0]
        return Sampling().log_probs(logits[len(before) - 1 : -1].numpy())

    decode = lambda ids: tokenizer.decode(ids, skip_special_tokens=True)
    return Host(make, reference, prompt, decode)


def table_host() -> Host:
    probs = lambda prefix: np.array([4, 3, 2, 1, 1])[(np.arange(5) + len(prefix)) % 5]
    reference = lambda x: np.log([probs(x.token_ids[:i]) / 11 for i in range(len(x.token_ids))])
    make = lambda rule, context: TableLM(probs, eos=4)
    return Host(make, reference, lambda question: (), lambda ids: "".join(f"{i} " for i in ids))


def server_host(stub: Stub) -> Host:
    model = stub.model

    def make(rule: StepRule, context: int | None) -> Any:
        return load_lm(stub.url, step=rule, retries=0, **({"context": context} if context else {}))

    def prompt(question: str) -> tuple[int, ...]:
        return make(StepRule(), None).rendered(question).token_ids

    if isinstance(stub, TextStub):
        decode = lambda ids: "".join(map(chr, ids))
        return Host(make, lambda x: np.empty(0), lambda question: (), decode)
    reference = lambda x: model.log_probs(prompt(x.question), x)
    decode = lambda ids: model.tokenizer.decode(ids, skip_special_tokens=True)
    return Host(make, reference, prompt, decode, warm=isinstance(stub, SGLangStub | VllmStub))


def vllm_host(model: TableModel) -> Host:
    def make(rule: StepRule, context: int | None) -> VllmLM:
        return vllm_lm(model, rule, context)

    prompt = lambda question: make(StepRule(), None).rendered(question).token_ids
    reference = lambda x: model.log_probs(prompt(x.question), x)
    decode = lambda ids: model.tokenizer.decode(ids, skip_special_tokens=True)
    return Host(make, reference, prompt, decode)


@pytest.fixture(params=["table", *TORCH, "vllm-in-process", *STUBS])
def host(
    request: pytest.FixtureRequest,
    table_model: TableModel,
    torch_hosts: dict[str, Host],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Host]:
    if request.param == "table":
        yield table_host()
    elif request.param in torch_hosts:
        yield torch_hosts[request.param]
    elif request.param == "vllm-in-process":
        monkeypatch.setitem(sys.modules, "vllm", SimpleNamespace(SamplingParams=SimpleNamespace))
        yield vllm_host(table_model)
    else:
        with serving(STUBS[request.param](table_model)) as stub:
            yield server_host(stub)


NOT_ASKED = {
    "table": {check_steps, check_context},  # one token a step, and no context
    "text": {check_context},  # it does not show one
}


# one host of each kind in every run, and the others when there is time; a whole filter takes
# seconds, so that one host of all is run in every run
KINDS = ("table", "torch", "torch-draft", "vllm-in-process", "vllm", "llama.cpp", "sglang", "text")


@pytest.mark.long(
    quick=[
        f"{kind}-{check.__name__}" for kind in KINDS for check in CHECKS if check != check_filter
    ]
    + ["vllm-check_filter"],
    rest="slow",
)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_contract(
    host: Host, check: Callable[[Host], None], request: pytest.FixtureRequest
) -> None:
    name = request.node.callspec.params["host"]
    if check not in NOT_ASKED.get(name, ()):
        check(host)


@pytest.mark.parametrize("host", ["vllm-in-process", "vllm"], indirect=True)
def test_what_an_engine_reads_again_is_counted(host: Host) -> None:
    check_blocks(host, 16)
