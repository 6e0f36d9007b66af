"""Implicit reward models against one plain forward pass of each model over the whole text."""

from __future__ import annotations

import json
import sys
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import pytest
import torch
from fake_vllm import vllm_lm
from prm_checkpoints import random_pocket
from stub_servers import TableModel, TextStub, VllmStub, serving
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from motes.cli import main
from motes.models import (
    ImplicitReward,
    Sampling,
    StepRule,
    TableLM,
    Trajectory,
    load_implicit_prm,
    load_lm,
    load_prm,
)
from motes.models.calls import can_read
from motes.models.reward.implicit import NumberedSteps

QUESTION = "How many apples has Ben?"
STEPS = ["Ben has 7 + 3 = 10.\n\n", "Step 2: so 7.\n", "The answer is 7."]
WRITTEN = ["Step 1: Ben has 7 + 3 = 10.", "Step 2: so 7.", "Step 3: The answer is 7."]


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two random checkpoints with one tokenizer."""
    folder = tmp_path_factory.mktemp("models")
    return (
        random_pocket(folder / "EurusPRM-Stage2", seed=1),
        random_pocket(folder / "Instruct", seed=2),
    )


def path(finished: bool) -> list[Trajectory]:
    nodes = [Trajectory(question=QUESTION)]
    for number, step in enumerate(STEPS, start=1):
        law = {"logprob": 0.0, "proposal_logprob": 0.0}
        ends = finished and number == len(STEPS)
        nodes.append(nodes[-1].child(step, (number,), finished=ends, **law))
    return nodes[1:]


def by_hand(places: tuple[Path, Path], count: int, finished: bool) -> float:
    """The sum of log ratios of all tokens of the answer, from two whole forward passes."""
    tokenizer: PreTrainedTokenizerFast = AutoTokenizer.from_pretrained(places[0])
    begin = tokenizer.apply_chat_template(
        [{"role": "user", "content": QUESTION}], tokenize=False, add_generation_prompt=True
    )
    end = "" if finished and count == len(STEPS) else "\n\n"
    text = begin + "\n\n".join(WRITTEN[:count]) + end
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    prompt = len(tokenizer(begin, add_special_tokens=False)["input_ids"])
    sums = []
    for place in places:
        model = AutoModelForCausalLM.from_pretrained(place, dtype=torch.float32).eval()
        with torch.no_grad():
            law = model(input_ids=torch.tensor([ids])).logits[0].double().log_softmax(dim=-1)
        terms = [float(law[i - 1, ids[i]]) for i in range(prompt, len(ids))]
        sums.append(sum(terms))
    return sums[0] - sums[1]


@pytest.mark.parametrize("finished", [False, True])
def test_scores_are_those_of_two_whole_passes(places: tuple[Path, Path], finished: bool) -> None:
    expected = [by_hand(places, count, finished) for count in (1, 2, 3)]
    assert min(abs(a - b) for a, b in pairwise(expected)) > 0.1
    prm = load_implicit_prm(*places, beta=0.5)
    nodes = path(finished)
    step_by_step = [float(prm.score([node])[0]) for node in nodes]
    # float32 sums of some hundred terms of about 6 nats
    assert step_by_step == pytest.approx([0.5 * value for value in expected], abs=2e-3)
    whole = load_implicit_prm(*places, beta=0.5)
    at_once = whole.score(list(reversed(path(finished))))
    assert at_once == pytest.approx(step_by_step[::-1], abs=1e-4)
    assert load_implicit_prm(*places).score(path(finished)[-1:]) == pytest.approx(
        0.001 * expected[-1], abs=1e-5
    )


def test_a_further_step_costs_its_own_tokens(places: tuple[Path, Path]) -> None:
    prm = load_implicit_prm(*places)
    nodes = path(finished=False)
    prm.score(nodes[:2])
    before = prm.cost
    prm.score(nodes)
    last = prm.cost - before
    assert before.prm_forward_passes > 0
    # each of two models reads the step once to score it, and what it ends the step before with
    assert 0 < last.prm_tokens < before.prm_tokens / 2
    again = prm.cost
    prm.score(nodes)
    assert prm.cost == again


def test_tables_give_the_sum_of_log_ratios() -> None:
    policy = TableLM(lambda prefix: [0.5, 0.3, 0.2] if len(prefix) % 2 else [0.1, 0.2, 0.7])
    reference = TableLM(lambda prefix: [0.25, 0.25, 0.5])
    prm = ImplicitReward(policy, reference, beta=2.0)
    root = policy.start("?")
    trajectory, expected = root, []
    for key in jax.random.split(jax.random.key(3), 5):
        [trajectory] = policy.extend([trajectory], key[None])
        ids = trajectory.token_ids
        laws = [[0.1, 0.2, 0.7], [0.5, 0.3, 0.2]]
        terms = [
            np.log(laws[i % 2][token] / [0.25, 0.25, 0.5][token]) for i, token in enumerate(ids)
        ]
        expected.append(2.0 * sum(terms))
    assert prm.score(trajectory.path[1:]) == pytest.approx(expected, abs=1e-12)


def test_the_two_may_run_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server and vLLM (stand-ins for both) against each other, and beside the torch host."""
    monkeypatch.setitem(sys.modules, "vllm", SimpleNamespace(SamplingParams=SimpleNamespace))
    table, other = TableModel(), TableModel(seed=1)
    nodes = path(finished=False)
    policy, reference = vllm_lm(table, StepRule()), vllm_lm(other, StepRule())
    ids = NumberedSteps(table.tokenizer)(nodes[-1])
    before = list(policy.rendered(QUESTION).token_ids)
    ratio, torch_ratio = 0.0, 0.0
    pocket = load_lm("pocket")
    with torch.no_grad():
        law = pocket.model(torch.tensor([[*before, *ids]])).logits[0].double().log_softmax(-1)
    for place, token in enumerate(ids):
        context = [*before, *ids[:place]]
        term = table.log_prob(context, token, Sampling())
        ratio += term - other.log_prob(context, token, Sampling())
        torch_ratio += term - float(law[len(context) - 1, token])
    with serving(VllmStub(table)) as one, serving(VllmStub(other)) as two:
        cases: list[tuple[Any, Any, float]] = [
            (one.url, two.url, ratio),
            (policy, two.url, ratio),
            (one.url, reference, ratio),
            (one.url, "pocket", torch_ratio),
            (policy, pocket, torch_ratio),
        ]
        for source, base, expected in cases:
            prm = load_implicit_prm(source, base, beta=1.0)
            assert prm.score(path(finished=False))[-1] == pytest.approx(expected, abs=2e-3)
        with pytest.raises(TypeError, match="policy must be a language model with a method logpr"):
            load_implicit_prm(load_lm(one.url, probabilities=False), "pocket")
    with serving(TextStub(table)) as texts, pytest.raises(ValueError, match="shows no tokens"):
        load_implicit_prm(texts.url, "pocket")


def test_what_does_not_fit_is_not_read(places: tuple[Path, Path]) -> None:
    prm = load_implicit_prm(*places)
    root = Trajectory(question=QUESTION)
    long = root.child("7 " * 5000, (1,), logprob=0.0, proposal_logprob=0.0)
    assert can_read(prm, root)
    assert not can_read(prm, long)


def test_bad_input_is_named(places: tuple[Path, Path], tmp_path: Path) -> None:
    lm = TableLM(lambda prefix: [1.0])
    with pytest.raises(ValueError, match="beta must be above 0, not 0"):
        ImplicitReward(lm, lm, beta=0)
    with pytest.raises(TypeError, match="reference must be a language model with a method logprob"):
        ImplicitReward(lm, "pocket")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="must have at least one step"):
        ImplicitReward(lm, lm).score([lm.start("?")])
    with pytest.raises(ValueError, match="load_implicit_prm"):
        load_prm(places[0])
    never = TableLM(lambda prefix: [1.0, 0.0])
    wrong = never.start("?").child("1", (1,), logprob=0.0, proposal_logprob=0.0)
    with pytest.raises(FloatingPointError, match="NaN for"):
        ImplicitReward(never, never).score([wrong])
    tokenizer = AutoTokenizer.from_pretrained(places[1])
    tokenizer.add_tokens(["another"])
    model = AutoModelForCausalLM.from_pretrained(places[1])
    model.resize_token_embeddings(len(tokenizer))
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="reference must have the vocabulary of"):
        load_implicit_prm(places[0], tmp_path)


def test_the_reference_is_an_option(
    places: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    question = ["solve", "How many?", "--particles", "2", "--max-steps", "1", "--json"]
    given = ["--prm", str(places[0]), "--prm-reference", str(places[1])]
    assert main([*question, *given]) == 0
    assert json.loads(capsys.readouterr().out)["cost"]["prm_tokens"] > 0
    assert main([*question, "--prm", "none", "--prm-reference", str(places[1])]) == 2
    assert "prm-reference must be left out where there is no" in capsys.readouterr().err
    assert main([*question, *given, "--prm-family", "judge"]) == 2
    assert "prm-family must be left out beside prm-reference" in capsys.readouterr().err
