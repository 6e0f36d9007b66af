"""Implicit reward models against one plain forward pass of each model over the whole text."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import jax
import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from motes.cli import main
from motes.models import (
    ImplicitReward,
    TableLM,
    Trajectory,
    load_implicit_prm,
    load_lm,
    load_prm,
)
from motes.models.calls import can_read

QUESTION = "How many apples has Ben?"
STEPS = ["Ben has 7 + 3 = 10.\n\n", "Step 2: so 7.\n", "The answer is 7."]
WRITTEN = ["Step 1: Ben has 7 + 3 = 10.", "Step 2: so 7.", "Step 3: The answer is 7."]


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two random checkpoints with one tokenizer."""
    pocket = load_lm("pocket", probe=False)
    folders = []
    for seed, name in ((1, "EurusPRM-Stage2"), (2, "Instruct")):
        torch.manual_seed(seed)
        config = type(pocket.model.config).from_dict(
            pocket.model.config.to_dict() | {"initializer_range": 0.3, "num_hidden_layers": 2}
        )
        folder = tmp_path_factory.mktemp("models") / name
        AutoModelForCausalLM.from_config(config).save_pretrained(folder)
        pocket.tokenizer.save_pretrained(folder)
        folders.append(folder)
    return folders[0], folders[1]


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
