from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import xarray

import motes
from motes.cli import main
from motes.models import FunctionReward, TableLM, Trajectory
from motes.models.pairing import OF_THE_LM
from motes.models.pocket import problems
from motes.models.reward.families import FAMILIES
from motes.models.reward.verifier_forms import FORMS

TEXTS = ("Ben has 7 + 3 = 10.\n\n", "The answer is 17.", "The answer is 18.")


class Talker(TableLM):
    """Adds, or answers 17 or 18."""

    def __init__(self) -> None:
        super().__init__(lambda prefix: [0.5, 0.3, 0.2])

    def extend(self, trajectories, keys, *, sampling=None, prior=None) -> list[Trajectory]:
        print("a model that prints")
        drawn = super().extend(trajectories, keys, sampling=sampling, prior=prior)
        return [
            x.child(
                TEXTS[y.token_ids[-1]],
                y.step_token_ids,
                logprob=y.step_logprob,
                proposal_logprob=y.step_proposal_logprob,
            )
            for x, y in zip(trajectories, drawn, strict=True)
        ]


@pytest.fixture
def talker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every language model is `Talker`, and every reward model judges 18 wrong."""
    monkeypatch.setattr(motes.models, "load_lm", lambda source, device: Talker())
    monkeypatch.setattr(
        motes.models,
        "load_prm",
        lambda source, device: FunctionReward(lambda x: -2.0 if "18" in x.text else 2.0),
    )


@pytest.fixture
def unloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """No model may be loaded."""
    for name in ("load_lm", "load_prm"):
        monkeypatch.setattr(
            motes.models,
            name,
            lambda *_, **__: pytest.fail("a model was loaded before the arguments were checked"),
        )


@pytest.mark.usefixtures("talker")
def test_solve(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["solve", "How many?", "--particles", "32", "--seed", "1"]) == 0
    out, err = capsys.readouterr()
    for piece in (
        "How many?",
        "the most probable to 17",
        "r = 0.881",
        "17  ",
        "18  ",
        "ESS by step",
        "log-evidence",
        "consistent",
        "tokens generated",
    ):
        assert piece in out
    assert "a model that prints" not in out
    assert "%" not in err  # no progress bar where nobody watches


@pytest.mark.usefixtures("talker")
def test_solve_json(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "--particles",
        "8",
        "--max-steps",
        "1",
        "--target",
        "odds",
        "--beta",
        "0.5",
        "--temperature",
        "0.8",
        "--resampling",
        "multinomial",
    ]
    assert main(["solve", "How many?", "--json", "--seed", "5", *arguments]) == 0
    told = json.loads(capsys.readouterr().out)
    posterior = motes.solve(
        "How many?",
        particles=8,
        seed=5,
        max_steps=1,
        target="odds",
        beta=0.5,
        prior=motes.models.Sampling(temperature=0.8),
        resampling="multinomial",
    )
    assert {row["answer"]: row["probability"] for row in told["answers"]} == posterior.answers
    assert None in posterior.answers  # out of steps
    assert told["log_evidence"] == posterior.log_evidence
    assert told["settings"] == posterior.settings


@pytest.mark.usefixtures("talker")
def test_no_reward_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["solve", "How many?", "--prm", "none", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["target"] == "prior"
    assert {step["reward"] for step in told["reasoning"]["steps"]} == {None}


@pytest.mark.usefixtures("talker")
def test_question_from_stdin(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(" How many,\nthen?\n"))
    assert main(["solve", "-", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["question"] == "How many,\nthen?"


@pytest.mark.usefixtures("talker")
def test_save(tmp_path: Path) -> None:
    assert (
        main(["solve", "How many?", "--seed", "4", "--save", str(tmp_path / "posterior.nc")]) == 0
    )
    with xarray.open_datatree(tmp_path / "posterior.nc", engine="h5netcdf") as saved:
        np.testing.assert_array_equal(
            saved["population/log_weight"][0], motes.solve("How many?", seed=4).log_weights
        )


BAD = {
    "motes": [],
    "COMMAND": ["sing"],
    "QUESTION": ["solve"],
    "question must not be empty": ["solve", "  "],
    "--particles": ["solve", "q", "--particles", "many"],
    "particles must be at least 1": ["solve", "q", "--particles", "0"],
    "sampler must be one of particle_filter": ["solve", "q", "--sampler", "magic"],
    "target must be one of product, odds": ["solve", "q", "--target", "magic"],
    "resampling must be one of systematic": ["solve", "q", "--resampling", "magic"],
    "ess_threshold must be a number in [0, 1]": ["solve", "q", "--ess-threshold", "2"],
    "max_steps must be at least 1": ["solve", "q", "--max-steps", "0"],
    "temperature must be a finite number above 0": ["solve", "q", "--temperature", "0"],
    "seed must": ["solve", "q", "--seed", "-1"],
    "save needs a folder that exists, and '/nowhere' does not": [
        "solve",
        "q",
        "--save",
        "/nowhere/posterior.nc",
    ],
    "save must be a file, and '/' is a folder": ["solve", "q", "--save", "/"],
    "count must be at least 1, not 0": ["problems", "--count", "0"],
    "steps must lie in 2..8, not 99": ["problems", "--steps", "99"],
    "split must be one of train, validation, test": ["problems", "--split", "exam"],
    "--format": ["problems", "--format", "poem"],
}


@pytest.mark.usefixtures("unloaded")
@pytest.mark.parametrize("piece", BAD)
def test_bad_input_is_one_sentence(piece: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        status = main(BAD[piece])
    except SystemExit as stop:  # argparse's way
        status = stop.code
    out, err = capsys.readouterr()
    assert status == 2
    assert out == ""
    assert err.startswith("motes: error: ")
    assert piece in err
    assert err.count("\n") == 1


def test_unknown_models_are_bad_input(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["solve", "q", "--lm", "magic"]) == 2
    assert "unknown model 'magic'; known are 'pocket'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("score", "piece"),
    [(-np.inf, "all 16 particles are dead at step 1"), (np.nan, "a score that is NaN")],
)
def test_a_failed_run(
    score: float,
    piece: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    talker: None,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(
        motes.models, "load_prm", lambda source, device: FunctionReward(lambda x: score)
    )
    assert main(["solve", "q", "--json", "--save", str(tmp_path / "posterior.nc")]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert piece in err.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("talker")
def test_a_failed_save_still_shows_the_posterior(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(xarray.DataTree, "to_netcdf", fail)
    assert main(["solve", "q", "--json", "--save", str(tmp_path / "posterior.nc")]) == 1
    out, err = capsys.readouterr()
    assert json.loads(out)["question"] == "q"
    assert err.splitlines()[-1] == "motes: error: the disk is full"


def test_an_interrupt_is_quiet(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(motes.models, "load_lm", interrupt)
    assert main(["solve", "q"]) == 130
    assert capsys.readouterr() == ("", "")


@pytest.mark.usefixtures("talker")
@pytest.mark.filterwarnings("default:interrupted after:RuntimeWarning")
def test_an_interrupted_run_is_shown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def score(self: FunctionReward, trajectories: list[Trajectory]) -> np.ndarray:
        if trajectories[0].depth == 2:
            raise KeyboardInterrupt
        return np.zeros(len(trajectories))

    monkeypatch.setattr(FunctionReward, "score", score)
    assert main(["solve", "q", "--json"]) == 130
    out, err = capsys.readouterr()
    assert json.loads(out)["guarantee"] == "heuristic"
    assert "motes: warning: interrupted after 1 steps" in err


def test_problems(capsys: pytest.CaptureFixture[str]) -> None:
    wanted = list(islice(problems("validation", seed=3, steps=4), 2))
    arguments = [
        "problems",
        "--split",
        "validation",
        "--seed",
        "3",
        "--steps",
        "4",
        "--count",
        "2",
        "--format",
    ]
    assert main([*arguments, "text"]) == 0
    assert capsys.readouterr().out == "".join(
        f"{problem.question}\n    4 steps; the answer is {problem.answer}\n\n" for problem in wanted
    )
    assert main([*arguments, "question"]) == 0
    assert capsys.readouterr().out.splitlines() == [problem.question for problem in wanted]
    assert main([*arguments, "json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["question"], line["answer"], line["steps"]) for line in lines] == [
        (problem.question, problem.answer, 4) for problem in wanted
    ]
    assert lines[0]["solution"] == list(wanted[0].solution)


def test_models(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    out = capsys.readouterr().out
    assert out.count("M parameters, context of ") == 2
    assert "Hugging Face id" in out
    assert all(f"    {family.name} " in out for family in FAMILIES)
    assert all(f"    {form.name} " in out for form in FORMS)
    names = ("implicit", "judge:SOURCE", "votes:SOURCE", *OF_THE_LM)
    assert all(f"    {name} " in out for name in (*names, "vllm:SOURCE", "http://HOST:PORT"))


def test_what_hosts_can_do_is_listed_as_it_is_documented(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = (Path(__file__).parents[1] / "docs/models.md").read_text(encoding="utf-8")
    lines = text[text.index("| host | ") :].partition("\n\n")[0].splitlines()
    head, _, *rows = [line.strip("| ").split(" | ") for line in lines]
    assert main(["models"]) == 0
    listed = capsys.readouterr().out.partition("what can be asked of a language model there:\n")[2]
    expected = ""
    for name, *facts in rows:
        expected += f"    {name}\n"
        for asked, fact in zip(head[1:], facts, strict=True):
            expected += f"        {asked:<29}{fact}\n"
    assert len(rows) == 8 and listed == expected


def test_the_family_of_a_reward_model_is_an_option(capsys: pytest.CaptureFixture[str]) -> None:
    question = ["solve", "How many?", "--particles", "2", "--max-steps", "1", "--json"]
    assert main([*question, "--prm-family", "trl"]) == 0
    capsys.readouterr()
    assert main([*question, "--prm-family", "math-shepherd"]) == 2
    assert "cannot be of the family 'math-shepherd'" in capsys.readouterr().err
    assert main([*question, "--prm", "none", "--prm-family", "trl"]) == 2
    assert "prm-family must be left out" in capsys.readouterr().err


def test_a_reader_that_leaves(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "motes.cli", "problems", "--count", "2000", "--steps", "2"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


@pytest.mark.parametrize(
    "arguments", [["--help"], ["solve", "--help"], ["problems", "--help"], ["models", "--help"]]
)
def test_help_takes_less_than_a_second(arguments: list[str], tmp_path: Path) -> None:
    times = []
    for _ in range(2):
        began = os.times().children_user
        command = [sys.executable, "-m", "motes.cli", *arguments]
        run = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
        times.append(os.times().children_user - began)
    assert run.stdout.startswith("usage: motes")
    assert "%(default)s" not in run.stdout
    assert "None" not in run.stdout
    assert min(times) < 1.0  # of processor time: the clock tells more of the machine's other work


@pytest.mark.usefixtures("talker")
def test_terminals_without_unicode(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(terminal, encoding="ascii"))
    assert main(["solve", "How many \u20ac?"]) == 0
    assert b"How many ??" in terminal.getvalue()


def test_the_pocket(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    problem = next(problems("test", seed=1, steps=3))
    began = time.perf_counter()
    assert (
        main(
            [
                "solve",
                problem.question,
                "--particles",
                "16",
                "--json",
                "--save",
                str(tmp_path / "posterior.nc"),
            ]
        )
        == 0
    )
    told = json.loads(capsys.readouterr().out)
    assert sum(row["probability"] for row in told["answers"]) == pytest.approx(1.0)
    assert told["answer"] is not None
    assert all(0 < step["reward"] < 1 for step in told["reasoning"]["steps"])
    assert 0 < told["cost"]["seconds"] < time.perf_counter() - began
    with xarray.open_datatree(tmp_path / "posterior.nc", engine="h5netcdf") as saved:
        assert saved["population"].sizes["particle"] == 16
        assert saved["constant_data/question"].item() == problem.question


@pytest.mark.usefixtures("talker")
def test_runs_and_reports(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    saved, page = tmp_path / "posterior.nc", tmp_path / "page.html"
    assert (
        main(
            [
                "solve",
                "How many?",
                "--json",
                "--runs",
                "3",
                "--particles",
                "4",
                "--save",
                str(saved),
                "--report",
                str(page),
            ]
        )
        == 0
    )
    told = json.loads(capsys.readouterr().out)
    assert (
        len(told["runs"]) == 3
        and told["trajectories"] == 12
        and told["log_evidence_mcse"] is not None
    )
    assert all(0 <= row["interval"][0] <= row["interval"][1] <= 1 for row in told["answers"])
    assert "How many?" in page.read_text(encoding="utf-8")
    assert main(["report", str(saved)]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "posterior.html")
    assert (
        (tmp_path / "posterior.html")
        .read_text(encoding="utf-8")
        .lower()
        .startswith("<!doctype html>")
    )
    assert main(["report", str(tmp_path / "nothing.nc")]) == 2
    assert main(["report", str(saved), "--out", str(tmp_path / "no" / "page.html")]) == 2
    assert main(["solve", "How many?", "--runs", "2", "--sampler", "suffix_metropolis"]) == 2
    assert "chains repeat themselves" in capsys.readouterr().err


@pytest.mark.usefixtures("talker")
def test_any_sampler_with_its_settings(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    command = [
        "solve",
        "How many?",
        "--json",
        "--sampler",
        "suffix_metropolis",
        "--chains",
        "3",
        "--iterations",
        "6",
        "--max-steps",
        "4",
    ]
    assert (
        main(
            [
                *command,
                "--set",
                "warmup=1",
                "--alpha",
                "2",
                "--checkpoint",
                str(tmp_path / "run.json"),
            ]
        )
        == 0
    )
    told = json.loads(capsys.readouterr().out)
    assert (told["chains"], told["trajectories"], told["guarantee"], told["log_evidence"]) == (
        3,
        18,
        "invariant",
        None,
    )
    assert (
        told["settings"]["warmup"] == 1
        and told["settings"]["alpha"] == 2.0
        and len(told["rates"]["acceptance"]) == 3
    )
    assert (tmp_path / "run.json").exists()
    assert (
        main(
            [
                "solve",
                "How many?",
                "--sampler",
                "twisted_smc",
                "--set",
                "twist=look_ahead",
                "--set",
                "successors=2",
                "--max-steps",
                "4",
            ]
        )
        == 0
    )
    assert "sampled by twisted_smc: consistent" in capsys.readouterr().out
    assert (
        main(
            [
                "solve",
                "How many?",
                "--sampler",
                "parallel_tempering",
                "--set",
                "betas=[1, 0.5]",
                "--iterations",
                "8",
                "--max-steps",
                "4",
            ]
        )
        == 0
    )
    out = " ".join(capsys.readouterr().out.split())
    assert "4 chains of 8 draws" in out and "swap" in out and "round trips" in out


@pytest.mark.usefixtures("unloaded")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "warmup"], "set must be NAME=VALUE, not 'warmup'"),
        (["--set", "=3"], "set must be NAME=VALUE, not '=3'"),
        (
            ["--set", "particles=3"],
            "set cannot give 'particles', which has an option of its own: --particles",
        ),
        (
            ["--set", "max_steps=3"],
            "set cannot give 'max_steps', which has an option of its own: --max-steps",
        ),
        (
            ["--sampler", "particle_gibbs", "--set", "ancestor_sampling=False"],
            "ancestor_sampling must be True or False, not 'False'",
        ),
        (["--iterations", "5"], "iterations is not a setting of 'particle_filter', which has"),
        (["--sampler", "tempered_smc", "--set", "ladder=[0, 2]"], "ladder must ascend from 0 to 1"),
        (["--alpha", "0"], "alpha must be a finite number"),
        (["--budget", "3"], "budget must be at least the 16 tokens of one step of all, not 3"),
        (["--checkpoint", "/nowhere/run.json"], "checkpoint needs a folder that exists"),
    ],
)
def test_bad_settings_of_samplers(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["solve", "How many?", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_samplers_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["samplers"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in motes.samplers.SAMPLERS) and "heuristic" in out


@pytest.mark.usefixtures("unloaded")
def test_another_language_model_needs_a_reward_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["solve", "q", "--lm", "owner/name"]) == 2
    assert "prm must be given beside the language model 'owner/name'" in capsys.readouterr().err


@pytest.mark.long(quick=1, rest="slow")
@pytest.mark.parametrize(
    "arguments", [["--help"], [], ["solve", "q", "--particles", "0"], ["problems", "--count", "1"]]
)
def test_the_package_runs_as_the_command(arguments: list[str], tmp_path: Path) -> None:
    ours, theirs = (
        subprocess.run(
            [sys.executable, "-m", module, *arguments],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=os.environ | {"COLUMNS": "80"},
        )
        for module in ("motes", "motes.cli")
    )
    assert (ours.returncode, ours.stdout) == (theirs.returncode, theirs.stdout)
    assert ours.stderr == theirs.stderr
    assert ours.stdout if ours.returncode == 0 else ours.stderr.startswith("motes: error: ")
