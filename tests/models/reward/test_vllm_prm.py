"""Reward models in vLLM, with a stand-in for it: every head, by its backbone's hidden state.

vLLM itself is in tests/models/engines/test_real_engines.py.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from fake_vllm_llm import CACHED, FakeLLM, install
from prm_checkpoints import CASES, CONFIGS, STEPS, checkpoint, grown

from motes.models import load_prm
from motes.models.reward.families import named

HEADED = [name for name in CASES if named(name).heads]


@pytest.fixture(autouse=True)
def vllm(monkeypatch: pytest.MonkeyPatch) -> type[FakeLLM]:
    return install(monkeypatch)


@pytest.mark.parametrize("name", CASES)
def test_every_family_has_the_scores_of_the_torch_host(name: str, tmp_path: Path) -> None:
    """Heads are left out where the backbone is loaded, and applied to its hidden states."""
    case = CASES[name]
    place = checkpoint(case, tmp_path)
    expected = load_prm(place, family=case.family, probe=False).score(grown(STEPS))
    prm = load_prm(f"vllm:{place}", family=case.family, max_model_len=256)
    assert prm.score(grown(STEPS)) == pytest.approx(expected, abs=1e-4)
    made = FakeLLM.made
    assert made["dtype"] == "float32" and made["max_model_len"] == 256
    assert made["enable_prefix_caching"] is True and prm.context == 512
    if name in HEADED:
        [architecture] = made["hf_overrides"]["architectures"]
        assert architecture == CONFIGS[case.backbone][1].__name__
        lengths = sum(len(prm.reader.conversation(node)) for node in grown(STEPS))
        assert prm.cost.prm_tokens == lengths - CACHED * len(STEPS)
    else:
        assert "runner" not in made and "load_format" not in made


def test_a_backbone_is_refused_where_the_head_is_not_left_out(tmp_path: Path) -> None:
    """The stand-in does as vLLM does, so that the test above shows something."""
    place = checkpoint(CASES["skywork-o1-open-prm"], tmp_path)
    pooled = {"hf_overrides": {"architectures": ["Qwen2ForCausalLM"]}}
    with pytest.raises(ValueError, match="no module or parameter named 'v_head"):
        FakeLLM(model=str(place), **pooled)


def test_the_pocket_in_vllm() -> None:
    prm = load_prm("vllm:pocket")
    expected = load_prm("pocket", probe=False).score(grown(STEPS))
    assert prm.score(grown(STEPS)) == pytest.approx(expected, abs=1e-4)
    assert prm.name == "vllm:pocket" and prm.weights
    judge = load_prm("judge:vllm:pocket")
    expected = load_prm("judge:pocket", probe=False).score(grown(STEPS))
    assert judge.score(grown(STEPS)) == pytest.approx(expected, abs=1e-4)


def test_what_vllm_cannot_do_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="device must be left out for 'vllm:pocket'"):
        load_prm("vllm:pocket", device="cpu")
    given: dict[str, Any] = {"runner": "generate", "load_format": "dummy", "hf_overrides": {}}
    for option, value in given.items():
        with pytest.raises(ValueError, match=f"{option} cannot be chosen"):
            load_prm("vllm:pocket", **{option: value})
    place = checkpoint(CASES["trl"]._replace(head=("classifier", {"weight": (2, 32)})), tmp_path)
    with pytest.raises(ValueError, match="its weights hold no head that is known"):
        load_prm(f"vllm:{place}")
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(ImportError, match=r"pip install 'motes\[vllm\]'"):
        load_prm("vllm:pocket")
