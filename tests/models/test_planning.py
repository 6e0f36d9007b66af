"""The memory plan: from configurations, against what loaded models really take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from motes.cli import main
from motes.models import load_lm, load_prm, memory_plan
from motes.models.hosting import memory_plan as plans
from motes.models.hosting.memory_plan import Footprint, MemoryPlan
from motes.models.pocket import LM_FOLDER


def taken(host: Any) -> tuple[int, int]:
    """What a loaded model takes: bytes of weights, and of a token's keys and values."""
    weights = [*host.model.parameters(), *host.model.buffers()]
    config = host.model.config
    width = config.num_key_value_heads * config.head_dim
    token = 2 * config.num_hidden_layers * width * host.model.dtype.itemsize
    return sum(weight.numel() * weight.element_size() for weight in weights), token


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_what_is_planned_is_what_loaded_models_take(dtype: str) -> None:
    plan = memory_plan("pocket", "pocket", dtype=dtype, free=10**9)
    lm, prm = load_lm("pocket", dtype=dtype), load_prm("pocket", dtype=dtype)
    for name, host in (("language model", lm), ("reward model", prm)):
        weights, token = taken(host)
        assert plan.models[name].token == token == host._tree.pool.token_bytes
        # tables of positions stay float32 in a model that is loaded
        assert plan.models[name].weights == pytest.approx(weights, abs=1000)
    assert plan.models["language model"].outputs == lm.model.config.vocab_size


def test_particles_are_what_is_left_by_what_one_takes() -> None:
    lm, prm = Footprint(20_000, 10, 50), Footprint(30_000, 40, 0)
    plan = MemoryPlan(1_000_000, {"lm": lm, "prm": prm}, 50_000, tokens=100)
    assert plan.left == 900_000
    assert lm.row(100) == 3 * (132 * 10 + 50 * 16) and prm.row(100) == 3 * 132 * 40
    assert plan.particle == 15_840 and plan.particles == 45  # 0.8 * 900,000 / 15,840 = 45.45
    assert plan._replace(free=90_000).particles == 0
    assert "particles in one batch  45" in plan.text


def test_more_memory_or_shorter_solutions_hold_more_particles() -> None:
    small, large = (memory_plan("pocket", free=free) for free in (4 * 10**9, 8 * 10**9))
    assert 0 < small.particles < large.particles
    assert memory_plan("pocket", tokens=100, free=4 * 10**9).particles > small.particles


def test_the_command_line_shows_the_plan(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["models", "--lm", "pocket", "--prm", "judge:pocket", "--memory", "8", "--tokens", "64"]
    assert main(asked) == 0
    shown = capsys.readouterr().out
    assert "free                    8.00 GB" in shown and "64 tokens of its own" in shown
    assert shown.count("4.1 kB of keys and values a token") == 2
    assert main(["models", "--prm", "pocket"]) != 0
    assert "prm must be left out" in capsys.readouterr().err
    assert main(["models", "--lm", "http://127.0.0.1:1"]) != 0
    assert "plans its own memory" in capsys.readouterr().err


def test_weights_that_cannot_fit_are_refused_before_they_are_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(plans, "free_bytes", lambda device: 2_000_000)
    monkeypatch.setattr("motes.models.hosting.pretrained.load_tokenizer", None)  # asked next
    said = r"the weights in .* need 0.00 GB, and 0.00 GB are free on 'cpu': choose a smaller model"
    with pytest.raises(MemoryError, match=said):
        load_lm("pocket")
    plans.check_room(LM_FOLDER, "float16", torch.device("cpu"))  # half of it fits
    with pytest.raises(MemoryError):
        plans.check_room(LM_FOLDER, "float64", torch.device("cpu"))


def test_folders_without_safetensors_are_left_to_the_loader(tmp_path: Path) -> None:
    plans.check_room(tmp_path, "float32", torch.device("cpu"))
