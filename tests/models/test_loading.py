"""From names to models, and what is said of names that lead nowhere."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
    LlamaForTokenClassification,
    LlamaModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    RobertaConfig,
    RobertaForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)

from motes.models import TorchLM, TorchPRM, load_lm, load_prm
from motes.models.pocket import LM_FOLDER, PRM_FOLDER


def test_what_ships(tmp_path: Path) -> None:
    lm, prm = load_lm("pocket"), load_prm("pocket")
    assert isinstance(lm, TorchLM) and isinstance(prm, TorchPRM)
    assert lm.model.dtype == prm.model.dtype == torch.float32
    for host in (lm, prm):
        assert sum(weight.numel() for weight in host.model.parameters()) <= 2_700_000
    folder = tmp_path / "copy"
    shutil.copytree(LM_FOLDER, folder)
    assert load_lm(folder, dtype="float64").model.dtype == torch.float64


def test_a_gguf_file(smollm_folder: Path) -> None:
    """The unpacked copy came through `load_lm` from the package's GGUF file."""
    assert json.loads((smollm_folder / "config.json").read_text())["architectures"] == [
        "LlamaForCausalLM"
    ]


def test_unknown_names_and_places(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError,
        match=(
            r"unknown model 'pockte'; known are 'pocket', a folder, a GGUF file, or a Hugging "
            r"Face id"
        ),
    ):
        load_lm("pockte")
    with pytest.raises(FileNotFoundError, match="no model at"):
        load_lm(tmp_path / "missing")
    with pytest.raises(FileNotFoundError, match="no model at"):
        load_lm("missing.gguf")
    with pytest.raises(FileNotFoundError, match="holds no weights"):
        load_prm(tmp_path)
    with pytest.raises(ValueError, match="device must be 'auto' or a torch device"):
        load_lm("pocket", device="gpu")
    with pytest.raises(ValueError, match="dtype must be 'auto' or the name of a torch type"):
        load_lm("pocket", dtype="half-ish")


def test_the_hub_is_asked_for_an_id_and_its_silence_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(
        FileNotFoundError, match="no model could be loaded from 'nobody/nothing': "
    ) as caught:
        load_lm("nobody/nothing")
    assert "\n" not in str(caught.value)


def test_a_reward_model_needs_two_labels_and_all_its_weights(tmp_path: Path) -> None:
    three = tmp_path / "three"
    shutil.copytree(PRM_FOLDER, three)
    config = json.loads((three / "config.json").read_text())
    config["id2label"] = {"0": "a", "1": "b", "2": "c"}
    config["label2id"] = {"a": 0, "b": 1, "c": 2}
    (three / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="needs two labels, wrong and right, and .* has 3"):
        load_prm(three)
    headless = tmp_path / "headless"
    shutil.copytree(LM_FOLDER, headless)
    config = json.loads((headless / "config.json").read_text())
    (headless / "config.json").write_text(
        json.dumps({**config, "architectures": ["LlamaForTokenClassification"], "num_labels": 2})
    )
    with pytest.raises(ValueError, match="lacks weights of a LlamaForTokenClassification: score"):
        load_prm(headless)


SMALL = {
    "vocab_size": 450,
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "bos_token_id": None,
    "eos_token_id": 3,
    "pad_token_id": 0,
}


def saved(folder: Path, model: Any, *, tokenizer: Any = None) -> Path:
    """A checkpoint with the pocket's tokenizer, or another."""
    model.save_pretrained(folder)
    (tokenizer or AutoTokenizer.from_pretrained(LM_FOLDER)).save_pretrained(folder)
    return folder


def edited(folder: Path, **changes: Any) -> Path:
    """The checkpoint with other values in its configuration."""
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))
    return folder


def with_weights(folder: Path, **shapes: tuple[int, ...]) -> Path:
    """The checkpoint with more weights; two underlines in a name stand for a full stop."""
    file = folder / "model.safetensors"
    more = {name.replace("__", "."): torch.randn(shape) for name, shape in shapes.items()}
    save_file(load_file(file) | more, file, metadata={"format": "pt"})
    return folder


def refusal(load: Any, folder: Path, **options: Any) -> str:
    """What is said of a folder that must not be loaded: one sentence that names it."""
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        load(folder, **options)
    said = str(caught.value)
    assert str(folder) in said and "\n" not in said and len(said) < 480, said
    return said


@pytest.mark.parametrize("load", [load_lm, load_prm])
@pytest.mark.parametrize("tied", [False, True])
def test_a_trained_part_that_finds_no_place_is_refused(
    load: Any, tied: bool, tmp_path: Path
) -> None:
    """A value head (TRL, Skywork), the head of Qwen2.5-Math-PRM, a score head: each would be
    dropped without a word."""
    heads: dict[str, dict[str, tuple[int, ...]]] = {
        "value": {"v_head__summary__weight": (1, 32), "v_head__summary__bias": (1,)},
        "two layers": {"score__0__weight": (32, 32), "score__2__weight": (2, 32)},
        "linear": {"score__weight": (2, 32)},
    }
    for name, shapes in heads.items():
        model = LlamaForCausalLM(LlamaConfig(**SMALL, tie_word_embeddings=tied))
        folder = with_weights(saved(tmp_path / name, model), **shapes)
        first = sorted(shapes)[0].replace("__", ".")
        said = refusal(load, folder)
        if load is load_lm:
            assert f"no place for: {first}" in said
        else:
            assert "is of no family of reward models that is known" in said
    process = edited(tmp_path / "two layers", architectures=["Qwen2ForProcessRewardModel"])
    said = refusal(load, process)
    if load is load_lm:
        assert "holds a Qwen2ForProcessRewardModel, which is not a causal language model" in said
    else:  # a head of the family must have biases
        assert "a head of the tensors score.0.weight, score.2.weight is of no layout" in said


def test_a_model_of_another_kind_is_refused(tmp_path: Path) -> None:
    """A classifier whose embeddings are tied has all the weights of a language model, and a bare
    model as well."""
    config = LlamaConfig(**SMALL, tie_word_embeddings=True, num_labels=2)
    tokens = saved(tmp_path / "tokens", LlamaForTokenClassification(config))
    assert "holds a LlamaForTokenClassification" in refusal(load_lm, tokens)
    assert isinstance(load_prm(tokens), TorchPRM)
    undeclared = edited(tokens, architectures=None)
    assert "no place for: score" in refusal(load_lm, undeclared)
    assert "is of no family of reward models that is known" in refusal(load_prm, undeclared)
    texts = saved(tmp_path / "texts", LlamaForSequenceClassification(config))
    for load in (load_lm, load_prm):
        assert "holds a LlamaForSequenceClassification" in refusal(load, texts)
    bare = saved(tmp_path / "bare", LlamaModel(config))
    assert "holds a LlamaModel" in refusal(load_lm, bare)
    t5 = T5ForConditionalGeneration(
        T5Config(vocab_size=450, d_model=16, d_ff=16, d_kv=8, num_layers=1, num_heads=2)
    )
    seq2seq = saved(tmp_path / "t5", t5)
    assert "a model of type 't5', of which transformers makes no causal language model" in refusal(
        load_lm, seq2seq
    )
    assert "holds a T5ForConditionalGeneration" in refusal(load_prm, seq2seq)
    unknown = edited(saved(tmp_path / "unknown", LlamaForCausalLM(config)), model_type="made_up")
    for load in (load_lm, load_prm):
        assert "made_up" in refusal(load, unknown)


def test_weights_that_are_missing_or_of_another_shape_are_refused(tmp_path: Path) -> None:
    folder = saved(tmp_path / "model", LlamaForCausalLM(LlamaConfig(**SMALL)))
    file = folder / "model.safetensors"
    whole = load_file(file)
    layers = {name: weight for name, weight in whole.items() if ".layers.1." not in name}
    save_file(layers, file, metadata={"format": "pt"})
    assert "lacks weights of a LlamaForCausalLM: model.layers.1." in (
        said := refusal(load_lm, folder)
    )
    assert "and 6 more would be random" in said
    save_file(whole | {"lm_head.weight": torch.zeros(449, 32)}, file, metadata={"format": "pt"})
    refusal(load_lm, folder)
    file.write_bytes(file.read_bytes()[:1000])
    assert "no model could be loaded from" in refusal(load_lm, folder)
    file.write_bytes(b"not a checkpoint")
    refusal(load_prm, folder)
    (folder / "config.json").write_text("{")
    refusal(load_lm, folder)
    (folder / "config.json").unlink()
    refusal(load_prm, folder)


def test_trained_parts_in_files_of_their_own_are_refused(tmp_path: Path) -> None:
    """TRL keeps a value head beside the model, PEFT an adapter; transformers reads neither."""
    for name in (
        "value_head.safetensors",
        "adapter_model.safetensors",
        "v_head.bin",
        "adapter_config.json",
    ):
        folder = saved(tmp_path / name, LlamaForCausalLM(LlamaConfig(**SMALL)))
        (folder / name).write_text("{}")
        assert f"holds '{name}'" in refusal(load_lm, folder)
    folder = saved(tmp_path / "clutter", LlamaForCausalLM(LlamaConfig(**SMALL)))
    for name in ("training_args.bin", "optimizer.pt", "rng_state.pth"):
        (folder / name).write_text("")
    assert isinstance(load_lm(folder), TorchLM)


@pytest.mark.parametrize(
    "model",
    [
        GPT2LMHeadModel(GPT2Config(vocab_size=450, n_embd=32, n_layer=1, n_head=2)),
        Qwen2ForCausalLM(Qwen2Config(**SMALL, num_key_value_heads=2)),
        LlamaForCausalLM(LlamaConfig(**SMALL)),
    ],
    ids=["GPT-2", "Qwen 2", "Llama"],
)
def test_a_folder_without_tokenizer_files_is_refused(model: Any, tmp_path: Path) -> None:
    """transformers makes an empty tokenizer of some families, with which every question is the same
    empty prompt."""
    model.save_pretrained(tmp_path)
    for load in (load_lm, load_prm):
        refusal(load, tmp_path)
    if not isinstance(model, LlamaForCausalLM):
        assert "has an empty tokenizer: copy the tokenizer's files" in refusal(load_lm, tmp_path)


def test_a_tokenizer_of_another_model_is_refused(tmp_path: Path) -> None:
    last = len(AutoTokenizer.from_pretrained(LM_FOLDER)) - 1
    small = saved(tmp_path / "small", LlamaForCausalLM(LlamaConfig(**SMALL | {"vocab_size": last})))
    for load in (load_lm, partial(load_prm, family="rlhflow")):
        said = refusal(load, small)
        assert f"has the id {last}, and the model's vocabulary has {last} ids" in said
    grown = AutoTokenizer.from_pretrained(LM_FOLDER)
    grown.add_special_tokens({"additional_special_tokens": ["<|thought|>"]})
    fitting = LlamaForCausalLM(LlamaConfig(**SMALL | {"vocab_size": last + 1}))
    folder = saved(tmp_path / "grown", fitting, tokenizer=grown)
    assert f"its token '<|thought|>' has the id {last + 1}" in refusal(load_lm, folder)
    large = saved(tmp_path / "large", LlamaForCausalLM(LlamaConfig(**SMALL | {"vocab_size": 512})))
    assert isinstance(load_lm(large), TorchLM)  # rows that no token uses are usual


def test_gguf_files_that_cannot_be_loaded_are_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "a.gguf").write_bytes(b"GGUF, but not really")
    for load in (load_lm, load_prm):
        refusal(load, tmp_path / "a.gguf")
    (tmp_path / "b.gguf").write_bytes(b"")
    assert "holds 2 GGUF files: choose one" in refusal(load_lm, tmp_path)


def test_the_probe_can_be_switched_off(tmp_path: Path) -> None:
    config = RobertaConfig(**SMALL, is_decoder=True, max_position_embeddings=90)
    folder = saved(tmp_path, RobertaForCausalLM(config))
    assert "cannot be hosted" in refusal(load_lm, folder)
    assert isinstance(load_lm(folder, probe=False), TorchLM)
