"""From names to models, and what is said of names that lead nowhere."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

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
    assert json.loads((smollm_folder / "config.json").read_text())["architectures"] == ["LlamaForCausalLM"]


def test_unknown_names_and_places(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"unknown model 'pockte'; known are 'pocket', a folder, a GGUF file, or a Hugging Face id"):
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


def test_the_hub_is_asked_for_an_id_and_its_silence_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(FileNotFoundError, match="no model could be loaded from 'nobody/nothing': ") as caught:
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
    (headless / "config.json").write_text(json.dumps({**config, "architectures": ["LlamaForTokenClassification"], "num_labels": 2}))
    with pytest.raises(ValueError, match="lacks weights of a LlamaForTokenClassification: score"):
        load_prm(headless)
