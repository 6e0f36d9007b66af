"""A hosted model is known by weights, tokenizer, prompt and steps, and not by what it has
computed."""

from __future__ import annotations

import copy
from functools import cache

import jax
import pytest
import torch

from motes import load_lm, load_prm
from motes.models import StepRule, TorchLM, TorchPRM
from motes.models.identity import identify, source_mark
from motes.models.pocket import LM_FOLDER, PRM_FOLDER
from motes.models.reward.readers import SeparatorReader


@cache
def pocket():
    return load_lm("pocket"), load_prm("pocket")


def fresh_lm(model=None, tokenizer=None, **settings):
    lm, _ = pocket()
    return TorchLM(model or lm.model, tokenizer or lm.tokenizer, name="pocket", **settings)


def test_what_has_been_computed_does_not_count():
    lm, prm = pocket()
    before = identify(lm), identify(prm)
    assert before[0].doubts == before[1].doubts == ()
    root = lm.start("Ann has 3 apples and buys 4. How many apples has Ann?")
    prm.score(lm.extend([root], jax.random.split(jax.random.key(0), 1)))
    assert (identify(lm), identify(prm)) == before
    assert lm.fingerprint == before[0].text and prm.fingerprint == before[1].text


def test_weights_count(monkeypatch):
    lm, prm = pocket()
    for host, make in (
        (lm, lambda m: fresh_lm(m)),
        (prm, lambda m: TorchPRM(m, prm.reader, name="pocket")),
    ):
        other = copy.deepcopy(host.model)
        assert identify(make(other)).text == identify(make(host.model)).text
        before = identify(make(other)).text
        with torch.no_grad():
            list(other.parameters())[-1].mul_(1.001)  # in place, in what was looked at before
        assert identify(make(other)).text != before
        half = copy.deepcopy(host.model).bfloat16()
        assert identify(make(half)).text != before


@pytest.mark.parametrize(
    "settings",
    [
        {"step": StepRule(delimiter=".")},
        {"step": StepRule(tokens=3)},
        {"step": StepRule(predicate=lambda text: text.endswith("!"))},
        {"prompt": lambda question: f"{question}\n"},
    ],
    ids=["delimiter", "tokens", "predicate", "prompt"],
)
def test_steps_and_prompts_count(settings):
    assert identify(fresh_lm(**settings)).text != identify(fresh_lm()).text


def test_tokenizers_count():
    lm, prm = pocket()
    other = copy.deepcopy(lm.tokenizer)
    assert identify(fresh_lm(tokenizer=other)).text == identify(fresh_lm()).text
    other.add_tokens(["<new>"])
    assert identify(fresh_lm(tokenizer=other)).text != identify(fresh_lm()).text
    readers = [SeparatorReader(prm.reader.tokenizer, separator=text) for text in ("\n", ".")]
    assert len({identify(TorchPRM(prm.model, reader)).text for reader in readers}) == 2


def test_files_have_marks_without_being_loaded(tmp_path):
    mark = source_mark("pocket", LM_FOLDER)
    assert (
        mark is not None
        and mark == source_mark("pocket", LM_FOLDER)
        and mark.text.startswith("pocket ")
    )
    assert mark.text != source_mark("pocket", PRM_FOLDER).text
    path = tmp_path / "model.gguf"
    path.write_bytes(bytes(2_000_000))
    first = source_mark(path, LM_FOLDER)
    content = bytearray(path.read_bytes())
    content[1_000_000:1_200_000] = b"x" * 200_000
    path.write_bytes(content)
    assert source_mark(path, LM_FOLDER) != first
