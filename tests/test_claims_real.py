"""The claims on published models, on tiny random ones of the same classes: every part that runs.

The checkpoints have the published layouts (architectures, tensors, marker tokens) and chat
templates of the published ones' shape; the data have MATH-500's and AIME's columns. Contexts are so
short that solutions meet their end. What is checked: that cost, results, table and last line
appear, that a replay gives the same records without weights, and that the arithmetic of table,
verdict and estimate is what it says.
"""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import real
import real_cost
import real_report
import real_setups
import torch
from safetensors.torch import load_file, save_file
from tokenizer_families import FAMILIES as TOKENIZERS
from tokenizers import AddedToken, Tokenizer
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from motes.evaluation import Evaluation, evaluate
from motes.models import FunctionReward, TableLM, load_prm
from motes.ppl.decisions import pool_of

H = 32
CHATML = (
    "{%- if messages[0]['role'] == 'system' %}"
    "{{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}"
    "{%- else %}{{- '<|im_start|>system\\nReason.<|im_end|>\\n' }}{%- endif %}"
    "{%- for m in messages %}{%- if m.role == 'user' or m.role == 'assistant' %}"
    "{{- '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{%- endif %}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)
LLAMA = (
    "{{- bos_token }}{%- if not date_string is defined %}"
    "{%- set date_string = strftime_now('%d %b %Y') %}{%- endif %}"
    "{%- if messages[0]['role'] == 'system' %}{%- set system = messages[0]['content'] | trim %}"
    "{%- set messages = messages[1:] %}{%- else %}{%- set system = '' %}{%- endif %}"
    "{{- '<|start_header_id|>system<|end_header_id|>\\n\\nToday Date: ' + date_string + '\\n\\n' }}"
    "{{- system + '<|eot_id|>' }}{%- for m in messages %}"
    "{{- '<|start_header_id|>' + m['role'] + '<|end_header_id|>\\n\\n' }}"
    "{{- m['content'] | trim + '<|eot_id|>' }}{%- endfor %}{%- if add_generation_prompt %}"
    "{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif %}"
)
TURNS = {
    "qwen2": ("<|endoftext|>", "<|im_end|>", ["<|im_start|>"], CHATML),
    "llama": (
        "<|begin_of_text|>",
        "<|eot_id|>",
        ["<|start_header_id|>", "<|end_header_id|>"],
        LLAMA,
    ),
}
CLASSES = {"qwen2": (Qwen2Config, Qwen2ForCausalLM), "llama": (LlamaConfig, LlamaForCausalLM)}
TWO_LAYERS = {"0.weight": (H, H), "0.bias": (H,), "2.weight": (2, H), "2.bias": (2,)}
ROWS = {
    "math500": [
        {
            "problem": r"Convert the point $(0,3)$ to polar coordinates. $\frac{1}{2}$?",
            "solution": r"It is \boxed{7}.",
            "answer": "7",
            "subject": "Precalculus",
            "level": 2,
            "unique_id": "test/precalculus/807.json",
        },
        {
            "problem": "How many?",
            "solution": r"So \boxed{\frac{14}{3}}.",
            "answer": r"\frac{14}{3}",
            "subject": "Algebra",
            "level": 5,
            "unique_id": "test/algebra/1.json",
        },
    ],
    "aime24": [
        {
            "id": 60,
            "problem": "Every morning Aya walks. Find the number of minutes.",
            "solution": r"Thus \boxed{204}.",
            "answer": "204",
            "url": "https://example.org/1",
            "year": "2024",
        },
        {
            "id": 61,
            "problem": "Find $k$.",
            "solution": r"$k = \boxed{025}$",
            "answer": "025",
            "url": "https://example.org/2",
            "year": "2024",
        },
    ],
}


def tokenizer(kind: str) -> Any:
    """Bytes, the tokens of turns, the marks of both families, and answers of one token each."""
    begin, end, turns, template = TURNS[kind]
    state = Tokenizer.from_str(TOKENIZERS["byte_level"]().backend_tokenizer.to_str())
    made = PreTrainedTokenizerFast(
        tokenizer_object=state, bos_token=begin, eos_token=end, pad_token="<pad>", unk_token="<unk>"
    )
    made.add_special_tokens({"additional_special_tokens": turns})
    made.add_tokens([AddedToken(sign, normalized=False) for sign in ("+", "-")])
    if kind == "qwen2":
        made.add_tokens([AddedToken("<extra_0>", normalized=False, special=True)])
    answers = [rf"\boxed{{{n}}}" for n in (7, 204, 25, 8, 9)]
    made.add_tokens([AddedToken(text, normalized=False) for text in ("\n\n", *answers)])
    made.chat_template = template
    return made


def checkpoint(place: Path, kind: str, *, context: int, reward: bool = False) -> str:
    """Write a tiny random checkpoint; a Qwen reward model as Qwen2ForProcessRewardModel's."""
    torch.manual_seed(1 if reward else 0)
    words = tokenizer(kind)
    of_config, of_model = CLASSES[kind]
    config = of_config(
        vocab_size=len(words),
        hidden_size=H,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=context,
        initializer_range=0.5,
        tie_word_embeddings=not reward,
        bos_token_id=words.bos_token_id,
        eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id,
    )
    of_model(config).to(torch.bfloat16).save_pretrained(place)
    words.save_pretrained(place)
    if reward and kind == "qwen2":
        written = json.loads((place / "config.json").read_text())
        written["architectures"] = ["Qwen2ForProcessRewardModel"]
        written["auto_map"] = {"AutoModel": "modeling_qwen2_rm.Qwen2ForProcessRewardModel"}
        (place / "config.json").write_text(json.dumps(written))
        tensors = load_file(place / "model.safetensors")
        del tensors["lm_head.weight"]
        tensors |= {f"score.{name}": torch.randn(shape) for name, shape in TWO_LAYERS.items()}
        save_file(tensors, place / "model.safetensors", metadata={"format": "pt"})
    return str(place)


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Folders of tiny models, under names that say nothing of a family."""
    folder = tmp_path_factory.mktemp("tiny")
    return {
        "qwen2 lm": checkpoint(folder / "a", "qwen2", context=220),
        "qwen2 prm": checkpoint(folder / "b", "qwen2", context=200, reward=True),
        "llama lm": checkpoint(folder / "c", "llama", context=1200),
        "llama prm": checkpoint(folder / "d", "llama", context=400, reward=True),
    }


def arguments(name: str, data: str, places: dict[str, str], folder: Path) -> list[str]:
    kind = "llama" if name.startswith("llama") else "qwen2"
    prm = "qwen2" if "qwen" in name else "llama"
    file = folder / f"{data}.jsonl"
    file.write_text("".join(f"{json.dumps(row)}\n" for row in ROWS[data]))
    said = f"--configuration {name} --data {data} --budgets 4,2 --step-tokens 24 --max-steps 4"
    more = ["--file", str(file), "--lm", places[f"{kind} lm"], "--prm", places[f"{prm} prm"]]
    return [*said.split(), *more, "--device", "cpu", "--yes"]


@pytest.mark.filterwarnings("ignore:no answer was read")
@pytest.mark.parametrize(
    ("name", "data"), [("qwen2.5-math-1.5b", "math500"), ("llama-3.2-1b", "aime24")]
)
def test_a_configuration_runs_from_its_cost_to_its_last_line_and_again_from_its_recording(
    name: str, data: str, places: dict[str, str], tmp_path: Path, capsys: Any
) -> None:
    given = arguments(name, data, places, tmp_path)
    first, second = tmp_path / "first", tmp_path / "second"
    kept = ["--results", str(first), "--record", str(tmp_path / "kept")]
    assert real.main([*given, *kept]) == 0
    said = capsys.readouterr().out
    for part in ("million written", "hours", "on one H100 at 10%", "particles in one batch"):
        assert part in said
    for method in ("one sample", "best of n", real_report.STOPPED, "puri2025", "particle filter"):
        assert f"\n| {method} |" in said
    line = said.strip().splitlines()[-1]
    assert line.startswith("claim: particle filtering")
    assert "published" in line
    assert "verdict: undecided at this size; 2 problems" in line
    evaluation = Evaluation.load(first / f"{name}-{data}.jsonl")
    assert evaluation.complete
    assert len(evaluation.records) == 2 * (1 + 3 * 2)
    pools = [pool_of(record) for record in evaluation.records if record.draws is not None]
    assert "truncated" in {end for pool in pools for end in pool.ends}
    assert all(record.cost["prm_tokens"] > 0 for record in evaluation.records)

    absent = ["--lm", "/nowhere/lm", "--prm", "/nowhere/prm"]  # a replay needs no weights
    again = ["--results", str(second), "--replay", str(tmp_path / "kept")]
    assert real.main([*given, *absent, *again]) == 0
    replayed = capsys.readouterr().out
    assert replayed.strip().splitlines()[-1].split("; estimate")[1] == line.split("; estimate")[1]
    found = Evaluation.load(second / f"{name}-{data}.jsonl").records
    for record, other in zip(evaluation.records, found, strict=True):
        assert (record.seed, record.answer, record.draws) == (other.seed, other.answer, other.draws)
        assert record.tokens == other.tokens
    # and the file of results goes on from where it is: nothing is left to be computed
    assert real.main([*given, *kept[:2]]) == 0
    assert capsys.readouterr().out.strip().splitlines()[-1] == line


def test_nothing_is_loaded_where_nobody_agrees(
    places: dict[str, str], tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", StringIO())
    given = arguments("qwen2.5-math-1.5b", "math500", places, tmp_path)[:-1]
    assert real.main([*given, "--results", str(tmp_path / "none")]) == 0
    assert capsys.readouterr().out.endswith("nothing was run: --yes goes on\n")
    assert not (tmp_path / "none").exists()


def test_models_that_do_not_fit_are_refused_before_they_are_loaded(
    places: dict[str, str], tmp_path: Path, capsys: Any
) -> None:
    given = arguments("qwen2.5-math-7b", "math500", places, tmp_path)
    both = ["--lm", real_setups.SETUPS["qwen2.5-math-7b"].lm, "--prm", real_setups.QWEN_PRM]
    assert real.main([*given, *both, "--gpu", "RTX 4090"]) == 1
    assert "do not fit" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "billions"),
    [
        ("Qwen/Qwen2.5-Math-1.5B-Instruct", 1.54),
        ("Qwen/Qwen2.5-Math-7B-Instruct", 7.62),
        ("meta-llama/Llama-3.2-1B-Instruct", 1.24),
        (real_setups.LLAMA_PRM, 8.03),
    ],
)
def test_sizes_that_are_written_down_give_the_published_numbers_of_parameters(
    name: str, billions: float
) -> None:
    count = sum(weight.numel() for weight in real_cost.network(name).parameters())
    assert count / 1e9 == pytest.approx(billions, abs=0.006)


def test_an_estimate_is_the_sum_written_out() -> None:
    """One budget of 4 on one problem: four arms, each of 4 solutions of 100 tokens."""
    gpu = real_cost.Gpu(flops=1e12, bandwidth=1e10, memory=80e9)
    lm, prm = "Qwen/Qwen2.5-Math-1.5B-Instruct", real_setups.QWEN_PRM
    found = real_cost.estimated(
        lm, prm, [4], problems=3, solution=100, gpu=gpu, utilisation=0.5, at_once=1
    )
    assert found.runs == 3 * 4
    assert found.lm_tokens == 3 * 4 * 4 * 100
    weights = 1.5437e9, 7.07e9 - 152064 * 3584  # multiplied with a token: tied, and without table
    linear = 2 * (weights[0] + weights[1]) * (real_cost.PROMPT + 400)
    # each of 100 tokens reads all weights once for 4 rows, the reward model once a step
    bytes_read = (
        100 * 3.0875e9 + 100 / real_cost.STEP_TOKENS * found.plan.models["reward model"].weights
    )
    assert found.flops == pytest.approx(12 * linear, rel=0.08)
    assert found.eflops - found.flops == pytest.approx(12 * 100 * bytes_read, rel=0.08)
    assert found.hours == pytest.approx(found.eflops / 0.5e12 / 3600)


@pytest.mark.slow
def test_without_a_configuration_it_prints_the_costs_that_the_page_has(capsys: Any) -> None:
    assert real.main([]) == 0
    page = (Path(__file__).parents[1] / "docs" / "claims.md").read_text(encoding="utf-8")
    *lines, last = capsys.readouterr().out.splitlines()
    assert last.startswith("nothing was run")
    assert len(lines) == 2 + 4 * 2
    for line in lines:
        assert line in page


def test_the_verdict_follows_the_protocol() -> None:
    assert real_report.verdict([1.0, 1.0, 1.0]) == "supported"
    assert real_report.verdict([1.0, -1.0, 1.0]) == "contradicted"
    assert real_report.verdict([1.0, 0.0, 1.0]) == "undecided at this size"


def test_the_line_compares_the_published_filter_with_each_rival() -> None:
    """40 problems: the filter is right on all, a rival on 28: 12 to 0 is sure after Holm."""
    right, some = np.ones(40), np.r_[np.ones(28), np.zeros(12)]
    rows = {
        (name, 64): real_report.Row(some, some, some)
        for name in (*real_report.RIVALS, real_setups.FILTER)
    }
    rows[real_setups.PUBLISHED_FILTER, 64] = real_report.Row(right, right, right)
    setup, samples = real_setups.SETUPS["qwen2.5-math-1.5b"], real_report.resampled(40)
    said = real_report.line(rows, 64, setup, "math500", samples)
    assert "estimate: 1.000 (1.000 to 1.000; published 0.854 at 64) with 64 particles" in said
    assert "minus DVTS +0.300 (" in said
    assert "published +0.020)" in said
    assert "verdict: supported; 40 problems" in said


def test_rules_over_one_pool_are_those_of_its_first_draws(tmp_path: Path) -> None:
    """On a table model: each rule is written out here from the draws of the records."""
    evaluation = evaluate(
        [("?", "0"), ("!", "1"), ("!?", "2")],
        samplers=real_setups.samplers([2, 8]),
        lm=TableLM(lambda prefix: [0.4, 0.3, 0.2, 0.1], eos=3),
        prm=FunctionReward(lambda x: 1.0 - x.token_ids[-1] + 0.3 * x.depth),
        answer=lambda x: str(x.token_ids[0]) if x.token_ids[0] < 3 else None,
        max_steps=3,
        results=tmp_path / "results.jsonl",
        progress=False,
    )
    rows = real_report.table(evaluation, [2, 8])
    records = [record for record in evaluation.records if record.sampler == real_setups.DRAWS]
    for i, record in enumerate(records):
        pool, right = pool_of(record), str(i)
        assert rows[real_report.SINGLE].right[i] == pytest.approx(
            np.mean([answer == right for answer in pool.answers])
        )
        assert rows[real_report.SINGLE].written[i] == pytest.approx(np.mean(pool.tokens))
        for n in (2, 8):
            answers, last = pool.answers[:n], np.array([odds[-1] for odds in pool.log_odds[:n]])
            counts = {answer: answers.count(answer) for answer in set(answers) if answer}
            shares = {a: float(np.sum(1 / (1 + np.exp(-last[[b == a for b in answers]]))))
                      for a in counts}  # fmt: skip
            best = [a for a, score in zip(answers, last, strict=True) if score == last.max()]
            first = {rule: rows[rule, n].right[i] for rule in real_report.RULES}
            leaders = [a for a, count in counts.items() if count == max(counts.values())]
            assert first["majority vote"] == pytest.approx((right in leaders) / len(leaders))
            assert first["weighted vote"] == float(max(shares, key=lambda a: shares[a]) == right)
            assert first["best of n"] in {float(answer == right) for answer in best}
            assert rows["majority vote", n].written[i] == sum(pool.tokens[:n])
            assert rows["majority vote", n].read[i] == 0
            read = record.cost["prm_tokens"] * n / 8
            assert rows["best of n", n].read[i] == pytest.approx(read)
            assert rows[real_report.STOPPED, n].written[i] <= sum(pool.tokens[:n])
    for record in evaluation.records:
        if record.sampler != real_setups.DRAWS:
            row = rows[record.sampler, record.settings["particles"]]
            assert row.right[record.problem] == record.right
            assert row.read[record.problem] == record.cost["prm_tokens"]


def test_the_reward_models_are_asked_as_published(places: dict[str, str]) -> None:
    for place, family in (("qwen2 prm", "qwen2.5-math-prm"), ("llama prm", "rlhflow")):
        assert family in {setup.family for setup in real_setups.SETUPS.values()}
        assert load_prm(places[place], family=family, device="cpu").name == places[place]
