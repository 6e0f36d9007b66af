"""Where weights go, and as what: one type, one device or several, no copy on the way, unpacked."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import jax
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM

from motes.cli import main
from motes.models import TorchLM, Trajectory, load_implicit_prm, load_lm, load_prm
from motes.models.pocket import LM_FOLDER

QUESTION = "Ana has 7 pears. Ben has 5 more than Ana. How many pears does Ben have?"
BLOCK = 32  # rows and columns that share a scale
LARGEST = 448.0  # of an 8-bit float with four bits of exponent


def drawn(lm: TorchLM, rows: int = 4) -> list[Trajectory]:
    """Two steps of a question."""
    first = lm.extend([lm.start(QUESTION)] * rows, jax.random.split(jax.random.key(0), rows))
    going = [x for x in first if x.open]
    return lm.extend(going, jax.random.split(jax.random.key(1), len(going)))


@pytest.mark.parametrize("dtype", ["bfloat16", "float32", "float64"])
def test_one_type_for_all_kinds_of_models(dtype: str) -> None:
    expected = {getattr(torch, dtype)}
    lm, prm = load_lm("pocket", dtype=dtype), load_prm("pocket", dtype=dtype)
    judge = load_prm("judge:pocket", dtype=dtype)
    implicit = load_implicit_prm("pocket", "pocket", dtype=dtype)
    for model in (lm.model, prm.model, judge.model, implicit.policy.model):
        assert {weight.dtype for weight in model.parameters()} == expected
        assert {weight.device.type for weight in model.parameters()} == {"cpu"}
    [step, *_] = drawn(lm)
    assert prm.score([step]).shape == (1,) and step.logprob < 0


def test_the_command_line_says_it_of_both_models(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, dict[str, Any]] = {}

    def noted(name: str) -> Any:
        def load(source: str, **options: Any) -> Any:
            asked[name] = options
            raise ValueError("enough")

        return load

    monkeypatch.setattr("motes.models.load_prm", noted("prm"))
    assert main(["solve", QUESTION, "--dtype", "bfloat16", "--device", "cpu"]) != 0
    assert asked["prm"]["dtype"] == "bfloat16" and asked["prm"]["device"] == "cpu"


def peak_bytes() -> int:
    """The most memory that this process has had since `forget_peak`."""
    status = Path("/proc/self/status").read_text().splitlines()
    [line] = [line for line in status if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


def forget_peak() -> None:
    """What is in use now becomes the peak."""
    Path("/proc/self/clear_refs").write_text("5")


def test_half_precision_is_loaded_without_another_copy(tmp_path: Path) -> None:
    """A copy in float32 would take twice the file besides; the file itself is mapped once."""
    config = LlamaConfig(
        vocab_size=373,
        hidden_size=1024,
        intermediate_size=4096,
        num_hidden_layers=4,
        num_attention_heads=8,
        dtype="bfloat16",
    )
    with torch.device("meta"):
        empty = LlamaForCausalLM(config)
    weights = {
        name: torch.zeros(w.shape, dtype=torch.bfloat16) for name, w in empty.state_dict().items()
    }
    size = sum(weight.nbytes for weight in weights.values())
    shutil.copytree(LM_FOLDER, tmp_path / "large", ignore=shutil.ignore_patterns("*.safetensors"))
    save_file(weights, tmp_path / "large" / "model.safetensors", metadata={"format": "pt"})
    config.save_pretrained(tmp_path / "large")
    del weights
    forget_peak()
    before = peak_bytes()
    lm = load_lm(tmp_path / "large", dtype="bfloat16", probe=False)
    assert peak_bytes() - before < 1.5 * size
    assert {weight.dtype for weight in lm.model.parameters()} == {torch.bfloat16}


def test_layers_on_several_places_draw_the_same_tokens() -> None:
    names = ["embed_tokens", "layers.0", "layers.2", "norm", "rotary_emb"]
    places = {f"model.{name}": "cpu" for name in names} | {"lm_head": "cpu"}
    places |= {"model.layers.1": "disk", "model.layers.3": "disk"}
    expected = drawn(load_lm("pocket"))
    spread = load_lm("pocket", device_map=places)
    assert [x.token_ids for x in drawn(spread)] == [x.token_ids for x in expected]
    assert load_prm("pocket", device_map="auto").score(expected[:1]) == pytest.approx(
        load_prm("pocket").score(expected[:1])
    )


def test_what_places_layers_itself_takes_no_map() -> None:
    with pytest.raises(ValueError, match="device_map must be left out for 'vllm:pocket'"):
        load_lm("vllm:pocket", device_map="auto")
    with pytest.raises(ValueError, match="device must be left at 'auto' beside device_map"):
        load_lm("pocket", device="cpu", device_map="auto")


def quantised(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """8-bit floats and a scale for each block, as DeepSeek's checkpoints hold a weight."""
    rows, columns = weight.shape
    blocks = weight.float().view(rows // BLOCK, BLOCK, columns // BLOCK, BLOCK)
    scales = blocks.abs().amax(dim=(1, 3)) / LARGEST
    small = (blocks / scales[:, None, :, None]).view(rows, columns)
    return small.to(torch.float8_e4m3fn), scales


def test_a_quantised_checkpoint_is_what_its_scales_say(tmp_path: Path) -> None:
    folder = tmp_path / "fp8"
    shutil.copytree(LM_FOLDER, folder)
    stored, expected = {}, {}
    for name, weight in load_file(LM_FOLDER / "model.safetensors").items():
        stored[name], expected[name] = weight, weight.float()
        if "proj" in name:
            stored[name], scales = quantised(weight)
            stored[f"{name}_scale_inv"] = scales
            unpacked = scales.repeat_interleave(BLOCK, 0).repeat_interleave(BLOCK, 1)
            expected[name] = stored[name].float() * unpacked
    save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "fp8", "weight_block_size": [BLOCK, BLOCK]}
    (folder / "config.json").write_text(json.dumps(config))
    lm = load_lm(folder)
    for name, weight in lm.model.named_parameters():
        assert weight.dtype == torch.float32
        torch.testing.assert_close(weight, expected[name], atol=1e-7, rtol=1e-6)
    assert all(x.logprob < 0 for x in drawn(lm))


def test_a_quantiser_that_is_not_installed_is_one_sentence(tmp_path: Path) -> None:
    folder = tmp_path / "gptq"
    shutil.copytree(LM_FOLDER, folder)
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "gptq", "bits": 4, "group_size": 32}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="no model could be loaded from .*gptq.*") as caught:
        load_lm(folder)
    assert "\n" not in str(caught.value)
