"""The command line's way to one's own model: prompts, steps, answers, constraints, votes and
evaluations."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import motes
from motes.cli import main
from motes.commands.rules_by_name import answer_rule, constraint_rule
from motes.models import ChatPrompt, FunctionReward, StepRule, TableLM, Thinking, Trajectory
from motes.models.prompts import PRESETS

TEXTS = ("Ben has 7 + 3 = 10.\n\n", "So, 17", "So, 18")


class Talker(TableLM):
    """Adds, or ends with 17 or 18; keeps how it was loaded."""

    def __init__(self) -> None:
        super().__init__(lambda prefix: [0.4, 0.35, 0.25], name="talker")

    def extend(
        self, trajectories: Any, keys: Any, *, sampling: Any = None, prior: Any = None
    ) -> list[Trajectory]:
        drawn = super().extend(trajectories, keys, sampling=sampling, prior=prior)
        return [
            x.child(
                TEXTS[y.token_ids[-1]],
                y.step_token_ids,
                logprob=y.step_logprob,
                proposal_logprob=y.step_proposal_logprob,
                finished=y.token_ids[-1] > 0,
            )
            for x, y in zip(trajectories, drawn, strict=True)
        ]


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """How the language model was loaded, call by call."""
    calls: list[dict[str, Any]] = []

    def load_lm(source: str, **options: Any) -> Talker:
        calls.append({"source": source, **options})
        return Talker()

    def load_prm(source: str, device: str) -> FunctionReward:
        return FunctionReward(lambda x: -2.0 if "18" in x.text else 2.0, name="judge")

    monkeypatch.setattr(motes.models, "load_lm", load_lm)
    monkeypatch.setattr(motes.models, "load_prm", load_prm)
    return calls


def solved(capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, Any]:
    assert main(["solve", "How many?", "--json", "--answer", "last_number", *options]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_whole_path(
    loads: list[dict[str, Any]], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "system.txt").write_text("Think, é.\n", encoding="utf-8")
    rows = [{"question": "1 + 1?", "solution": "So, 2"}, {"problem": "2 + 2?", "answer": "4"}]
    (tmp_path / "shots.jsonl").write_text("\n".join(map(json.dumps, rows)))
    told = solved(
        capsys,
        *("--lm", "owner/name", "--prm", "none", "--device", "cpu", "--dtype", "float32"),
        *("--system", f"@{tmp_path / 'system.txt'}", "--examples", str(tmp_path / "shots.jsonl")),
        *("--template", "enable_thinking=false", "--template", "style=short"),
        *("--delimiter", r"\n\n", "--step-cap", "64", "--max-steps", "6"),
        *("--temperature", "0.7", "--top-p", "0.9", "--top-k", "2"),
    )
    examples = [("1 + 1?", "So, 2"), ("2 + 2?", "4")]
    template = {"enable_thinking": False, "style": "short"}
    assert loads == [
        {
            "source": "owner/name",
            "device": "cpu",
            "dtype": "float32",
            "step": StepRule(delimiter="\n\n", cap=64),
            "prompt": ChatPrompt(
                system="Think, é.\n", examples=examples, template_arguments=template
            ),
        }
    ]
    solved(
        capsys, "--prompt", "qwen2.5-math", "--prefill", r"## Step 1:\n", "--user", "{question}."
    )
    boxed = PRESETS["qwen2.5-math"].form
    assert loads[1]["prompt"] == replace(boxed, prefill="## Step 1:\n", user="{question}.")
    assert told["settings"]["prior"] == {"temperature": 0.7, "top_p": 0.9, "top_k": 2}
    assert told["target"] == "prior" and told["settings"]["max_steps"] == 6


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        (["--step-tokens", "5"], StepRule(delimiter=None, tokens=5)),
        (["--step-tokens", "5", "--delimiter", "\\n"], StepRule(delimiter="\n", tokens=5)),
        (["--delimiter", "none", "--step-cap", "9"], StepRule(delimiter=None, cap=9)),
        (["--delimiter", "é"], StepRule(delimiter="é")),
        (["--delimiter", "é", "--delimiter", "\\n"], StepRule(delimiter=["é", "\n"])),
        (["--thinking"], StepRule(thinking=Thinking())),
        (
            ["--thinking-tokens", "64", "--answer-tokens", "9", "--step-cap", "5"],
            StepRule(cap=5, thinking=Thinking(max_tokens=64, max_answer_tokens=9)),
        ),
    ],
)
def test_rules_for_steps(
    options: list[str], rule: StepRule, loads: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    solved(capsys, *options)
    assert loads == [{"source": "pocket", "device": "auto", "step": rule}]


def test_a_prompt_in_place_of_the_template(
    loads: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "prompt.txt").write_text("Q: {question}\nA:")
    for text in ("Q: {question}\nA:", f"@{tmp_path / 'prompt.txt'}"):
        solved(capsys, "--prompt", text)
        assert loads.pop() == {"source": "pocket", "device": "auto", "prompt": "Q: {question}\nA:"}


def test_the_pocket_is_a_pair_under_options_too(
    loads: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert solved(capsys, "--step-cap", "9")["settings"]["prm"] == "judge"


def test_answers_and_constraints_are_those_of_the_library(
    loads: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("own_rules.py").write_text(
        "def sign(x):\n    return 'seventeen' if '17' in x.text else None\n"
    )
    expected = motes.solve(
        "How many?",
        lm=Talker(),
        prm=FunctionReward(lambda x: -2.0 if "18" in x.text else 2.0),
        answer=answer_rule("last_number"),
    )
    assert {
        row["answer"]: row["probability"] for row in solved(capsys)["answers"]
    } == expected.answers
    told = solved(capsys, "--answer", "regex:So, (1.)")
    assert {row["answer"]: row["probability"] for row in told["answers"]} == expected.answers
    assert solved(capsys, "--answer", "own_rules:sign")["answer"] == "seventeen"
    only = solved(capsys, "--constraint", r"So, 1[89]$")
    assert {row["answer"] for row in only["answers"] if row["probability"] > 0} == {"18"}
    assert "constrained" in only["target"]


def test_rules_that_a_text_names() -> None:
    root = Trajectory(question="?")
    written = root.child("It is 1,234.5 of 7/8\nyes \n", (1,), logprob=0.0, proposal_logprob=0.0)
    done = written.close(finished=True)
    for rule, answer in (
        ("last_number", "7/8"),
        ("last_line", "yes"),
        ("regex:\\d+", "8"),
        ("regex:is ([\\d,]+)", "1,234"),
    ):
        assert answer_rule(rule)(done) == answer
    assert answer_rule("last_number")(written) is None
    assert answer_rule("regex:never")(done) is answer_rule("regex:(x)?$")(done) is None
    assert constraint_rule("1,2.4")(done) and not constraint_rule("^yes")(done)


def test_a_vote(loads: Any, capsys: pytest.CaptureFixture[str]) -> None:
    told = solved(capsys, "--sampler", "majority_vote", "--set", "samples=40")
    assert told["target"] == "prior" and told["trajectories"] == 40
    shares = [row["probability"] for row in told["answers"]]
    assert np.allclose(np.array(shares) * 40, np.round(np.array(shares) * 40))
    assert main(["samplers"]) == 0
    assert "majority_vote" in capsys.readouterr().out


@pytest.fixture
def problems_file(tmp_path: Path) -> Path:
    rows = [{"question": f"How many, {k}?", "answer": 17} for k in range(3)] + [
        {"problem": "And?", "solution": "#### 18"}
    ]
    file = tmp_path / "problems.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)) + "\n")
    return file


def test_evaluate(
    loads: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path, problems_file: Path
) -> None:
    results = tmp_path / "results.jsonl"
    command = [
        "evaluate",
        str(problems_file),
        "--answer",
        "last_number",
        "--results",
        str(results),
        "--budgets",
        "1,4",
    ]
    command += ["--sampler", "particle_filter", "--sampler", "majority_vote", "--lm", "pocket"]
    assert main([*command, "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["sampler"] for row in rows] == ["particle_filter"] * 2 + ["majority_vote"] * 2
    assert all(row["problems"] == 4 for row in rows)
    assert len(loads) == 1 and len(results.read_text().splitlines()) == 1 + 16
    assert main(command) == 0  # all is there
    out = capsys.readouterr().out
    assert "particle_filter" in out and "majority_vote" in out and "accuracy" in out


def test_evaluate_takes_settings_and_loads_with_options(
    loads: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path, problems_file: Path
) -> None:
    command = [
        "evaluate",
        str(problems_file),
        "--answer",
        "last_number",
        "--results",
        str(tmp_path / "r.jsonl"),
        "--quiet",
        "--json",
    ]
    settings = "parallel_tempering:betas=[1,0.5],iterations=4,warmup=0"
    assert (
        main(
            [
                *command,
                "--count",
                "2",
                "--sampler",
                settings,
                "--step-cap",
                "7",
                "--temperature",
                "0.9",
            ]
        )
        == 0
    )
    [row] = map(json.loads, capsys.readouterr().out.splitlines())
    assert row["problems"] == 2 and row["sampler"] == "parallel_tempering"
    assert loads == [{"source": "pocket", "device": "auto", "step": StepRule(cap=7)}]


BAD: dict[str, list[str]] = {
    "prompt must have {question} in its text": ["--prompt", "Q:"],
    "prompt must be left out beside --system": ["--prompt", "{question}", "--system", "x"],
    "prompt must be left out beside --template": ["--prompt", "gsm8k", "--template", "x=1"],
    "or be one of qwen2.5-math, ": ["--prompt", "qwen"],
    "user must have {question} in its text": ["--user", "Solve:"],
    "system: '/nowhere.txt' cannot be read": ["--system", "@/nowhere.txt"],
    "template must be NAME=VALUE": ["--template", "thinking"],
    "template_arguments cannot give 'tokenize'": ["--template", "tokenize=true"],
    "examples: line 1 of": ["--examples", "BROKEN"],
    "tokens must be": ["--step-tokens", "0"],
    "cap must be": ["--step-cap", "0"],
    "delimiter must be": ["--delimiter", ""],
    "max_tokens must be": ["--thinking-tokens", "0"],
    "top_p must": ["--top-p", "2"],
    "top_k must": ["--top-k", "0"],
    "answer must be one of stated, last_number, last_line, regex:PATTERN or module:function": [
        "--answer",
        "first",
    ],
    "answer must be a regular expression, and '(' is none": ["--answer", "regex:("],
    "constraint must be a regular expression": ["--constraint", "["],
    "answer cannot be had from the module 'no_such_module'": ["--answer", "no_such_module:f"],
    "answer needs a function 'nothing' in the module 'json'": ["--answer", "json:nothing"],
    "prm must be given beside the language model 'owner/name'": ["--lm", "owner/name"],
    "samples is not a setting of 'particle_filter'": ["--set", "samples=3"],
}


@pytest.mark.parametrize("piece", BAD)
def test_bad_options_are_one_sentence_before_a_model_is_loaded(
    piece: str, loads: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path, problems_file: Path
) -> None:
    (tmp_path / "broken.jsonl").write_text('{"question": 3}\n')
    options = [
        str(tmp_path / "broken.jsonl") if option == "BROKEN" else option for option in BAD[piece]
    ]
    commands = [
        ["solve", "How many?"],
        ["evaluate", str(problems_file), "--results", str(tmp_path / "r.jsonl")],
    ]
    for command in commands[: 1 if "--set" in options else 2]:
        assert main([*command, *options]) == 2
        out, err = capsys.readouterr()
        assert (
            out == "" and err.startswith("motes: error: ") and piece in err and err.count("\n") == 1
        )
    assert loads == []


@pytest.mark.parametrize(
    ("content", "options", "said"),
    [
        (b'{"question": "?", "answer": 1}\n[3]\n', [], "problems: line 2 of"),
        (b"question,answer\n?,1\n", [], "is not a JSON object: question,answer"),
        (b"", [], "has no row"),
        (b"\xff\xfe", [], "is not a text in UTF-8"),
        (b'{"question": "?"}\n', [], "problems[0] must have an answer"),
        (b'{"question": "?", "answer": 1}\n', ["--budgets", "1,x"], "budgets must be integers"),
        (b'{"question": "?", "answer": 1}\n', ["--budgets", "0"], "particles must be"),
        (
            b'{"question": "?", "answer": 1}\n',
            ["--sampler", "magic"],
            "sampler must be one of particle_filter",
        ),
        (
            b'{"question": "?", "answer": 1}\n',
            ["--sampler", "particle_filter:particles"],
            "sampler must be NAME=VALUE",
        ),
        (
            b'{"question": "?", "answer": 1}\n',
            ["--sampler", "particle_filter:particles=2", "--budgets", "1"],
            "budgets must be left out",
        ),
        (
            b'{"question": "?", "answer": 1}\n',
            ["--results", "/nowhere/r.jsonl"],
            "results needs a folder that exists",
        ),
    ],
)
def test_bad_files_of_problems(
    content: bytes,
    options: list[str],
    said: str,
    loads: Any,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    (tmp_path / "problems.jsonl").write_bytes(content)
    command = [
        "evaluate",
        str(tmp_path / "problems.jsonl"),
        "--results",
        str(tmp_path / "r.jsonl"),
        *options,
    ]
    assert main(command) == 2
    err = capsys.readouterr().err
    assert said in err and err.count("\n") == 1 and loads == []


def test_a_long_run_is_announced(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SEEN", "LONG"):
        monkeypatch.setattr(f"motes.samplers.forecast.{name}", 0.0)
    question = "Ann has 3 eggs. How many eggs does Ann have?"
    command = [
        "solve",
        question,
        "--prm",
        "none",
        "--particles",
        "2",
        "--max-steps",
        "2",
        "--step-tokens",
        "4",
        "--json",
    ]
    assert main(command) == 0
    assert (
        "motes: at most 16 tokens (2 solutions of up to 2 steps of 4 tokens"
        in capsys.readouterr().err
    )
    assert main([*command, "--quiet"]) == 0
    assert capsys.readouterr().err == ""
