"""Real vLLM against motes' own torch host, reward model by reward model.

Run by `make test-engines`, as test_real_engines.py is. Checkpoints are random and tiny, with the
published names of tensors and layouts.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prm_checkpoints import CASES, STEPS, checkpoint, grown, random_pocket
from real_engines import EAGER, serve, solution, vllm_here
from transformers import AutoTokenizer

from motes.models import load_implicit_prm, load_lm, load_prm
from motes.models.pocket import PRM_FOLDER
from motes.models.reward.families import named

pytestmark = pytest.mark.engines
FLOAT32 = 2e-4  # of log-odds up to 20
WIDE = 128  # hidden states: vLLM's heads of attention have 32 on a CPU


@pytest.mark.parametrize("use", ["", "judge:"])
def test_the_pocket_in_process(use: str) -> None:
    """Its reward model by its head, and its language model as a judge by two tokens."""
    ours = vllm_here(load_prm, f"{use}vllm:pocket", **EAGER)
    expected = load_prm(f"{use}pocket", probe=False).score(solution())
    assert ours.score(solution()) == pytest.approx(expected, abs=FLOAT32)
    again = solution()
    assert ours.score(again) == pytest.approx(expected, abs=FLOAT32)  # from the prefix cache


@pytest.mark.parametrize("name", [name for name in CASES if name != "judge"])
def test_a_family_in_process(name: str, tmp_path: Path) -> None:
    """At once, step by step, and from the prefix cache."""
    place = checkpoint(CASES[name], tmp_path, hidden=WIDE)
    expected = load_prm(place, probe=False).score(grown(STEPS))
    ours = vllm_here(load_prm, f"vllm:{place}", **EAGER)
    found = [ours.score(grown(STEPS))]
    first = ours.cost
    found.append(np.concatenate([ours.score([node]) for node in grown(STEPS)]))
    print(f"{name}: largest difference {np.abs(np.array(found) - expected).max():.1e}")
    assert found[0] == pytest.approx(expected, abs=FLOAT32)
    assert found[1] == pytest.approx(expected, abs=FLOAT32)
    again = ours.cost - first
    lengths = [len(ours.reader.conversation(node)) for node in grown(STEPS)]
    # by blocks of 32, of which the last token's is never taken
    kept = sum((length - 1) // 32 * 32 for length in lengths)
    assert again.prm_tokens == sum(lengths) - kept > 0
    assert named(name).outputs == 0 or kept > 0


def test_a_verifier_that_writes_in_process(tmp_path: Path) -> None:
    """Rationales are the same tokens as of the torch host, and so are their verdicts."""
    case = CASES["judge"]._replace(path="launch/ThinkPRM-1.5B")
    place = checkpoint(case, tmp_path, hidden=WIDE, context=1024)
    options: dict[str, Any] = {"rationales": 2, "max_tokens": 24}
    here = load_prm(place, probe=False, **options)  # known by its name
    ours = vllm_here(load_prm, f"vllm:{place}", **options, **EAGER)
    for node in grown(STEPS):
        one, other = ours.critiques(node), here.critiques(node)
        assert [x.token_ids for x in one] == [x.token_ids for x in other]
    assert ours.score(grown(STEPS)) == pytest.approx(here.score(grown(STEPS)), abs=FLOAT32)


def test_an_implicit_one_in_process(tmp_path: Path) -> None:
    """Both models in vLLM, or one of them, beside both in torch."""
    reference = random_pocket(tmp_path, seed=2)
    expected = load_implicit_prm("pocket", reference, beta=1.0).score(solution())
    policy = vllm_here(load_lm, "vllm:pocket", **EAGER)
    base = vllm_here(load_lm, f"vllm:{reference}", **EAGER)
    for pair in ((policy, reference), ("pocket", base), (policy, base)):
        ours = load_implicit_prm(*pair, beta=1.0)
        # sums over some fifty tokens
        assert ours.score(solution()) == pytest.approx(expected, abs=50 * FLOAT32)


def served(place: Path, pooler: dict[str, Any], *more: str) -> Any:
    command = ["-m", "vllm.entrypoints.openai.api_server", "--model", str(place)]
    command += ["--runner", "pooling", "--pooler-config", json.dumps(pooler), *more]
    command += ["--dtype", "float32", "--enforce-eager", "--block-size", "32", "--port"]
    return serve("vllm", *command)


def test_vllm_server_scores_as_torch_does() -> None:
    for url in served(PRM_FOLDER, {"task": "classify"}):
        expected = load_prm("pocket", probe=False).score(solution())
        assert load_prm(url).score(solution()) == pytest.approx(expected, abs=FLOAT32)


def compared(name: str, url: str, place: Path) -> None:
    expected = load_prm(place, probe=False).score(grown(STEPS))
    ours = load_prm(url)  # known by the folder that it says it was loaded from
    found = [ours.score(grown(STEPS))]
    found.append(np.concatenate([ours.score([node]) for node in grown(STEPS)]))
    print(f"{name}: largest difference {np.abs(np.array(found) - expected).max():.1e}")
    assert found[0] == pytest.approx(expected, abs=FLOAT32)
    assert found[1] == pytest.approx(expected, abs=FLOAT32)


def test_vllm_server_gives_hidden_states_for_a_head_that_it_has_no_class_for(
    tmp_path: Path,
) -> None:
    name = "skywork-o1-open-prm"
    place = checkpoint(CASES[name], tmp_path, hidden=WIDE)
    overrides = json.dumps({"architectures": ["Qwen2ForCausalLM"]})
    flags = ["--convert", "embed", "--load-format", "motes", "--hf-overrides", overrides]
    for url in served(place, {"task": "embed"}, *flags):
        compared(name, url, place)


def test_vllm_server_gives_logits_by_its_own_class(tmp_path: Path) -> None:
    """Qwen2.5-Math-PRM's pools a row a step, and probabilities where nothing is said."""
    name = "qwen2.5-math-prm"
    place = checkpoint(CASES[name], tmp_path, hidden=WIDE)
    mark = AutoTokenizer.from_pretrained(place).convert_tokens_to_ids("<extra_0>")
    for url in served(place, {"step_tag_id": mark}):
        compared(name, url, place)
