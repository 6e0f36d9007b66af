"""Runs of an experiment tracker: what is logged, read from the files that W&B wrote offline."""

from __future__ import annotations

import json
import struct
import sys
from collections import defaultdict

import numpy as np
import pytest
import wandb
from wandb.proto import wandb_internal_pb2

from motes.cli import main
from motes.evaluation import Evaluation, evaluate
from motes.models import FunctionReward, TableLM
from motes.samplers import ImportanceSampling, MajorityVote


def first(x):
    return str(x.token_ids[0]) if x.finished else None


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory):
    return evaluate(
        [(f"question {number}", number % 2) for number in range(5)],
        samplers={
            "vote": [MajorityVote(samples=2), MajorityVote(samples=5)],
            "weights": ImportanceSampling(particles=3),
        },
        lm=TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2),
        prm=FunctionReward(lambda x: 1.0 if x.token_ids[0] else -1.0),
        max_steps=4,
        answer=first,
        repeats=2,
        results=tmp_path_factory.mktemp("tracking") / "results.jsonl",
        progress=False,
    )


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """A folder in which W&B keeps its runs, and sends nothing."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("WANDB_SILENT", "true")
    yield tmp_path
    wandb.teardown()


BLOCK = 32 * 1024  # a file of W&B's is a log of LevelDB's format, behind seven bytes of its own


def parts(data):
    """The records of such a log: whole (1), or a first (2), middle (3) and last (4) part."""
    place, record = 7, b""
    while place + 7 <= len(data):
        if BLOCK - place % BLOCK < 7:
            place += BLOCK - place % BLOCK
            continue
        _, length, kind = struct.unpack("<IHB", data[place : place + 7])
        record += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):
            yield record
            record = b""


def logged(folder):
    """The configuration and the steps of each run in a folder, by the run's name."""
    wandb.teardown()  # finish() alone comes back before all is written
    runs = {}
    for file in sorted(folder.glob("wandb/offline-run-*/*.wandb")):
        name, about, steps = "", {}, defaultdict(dict)
        for data in parts(file.read_bytes()):
            record = wandb_internal_pb2.Record()  # pyright: ignore[reportAttributeAccessIssue]
            record.ParseFromString(data)
            if record.HasField("run"):
                about["group"], about["project"] = record.run.run_group, record.run.project
                for item in record.run.config.update:
                    about[item.key] = json.loads(item.value_json)
                name = record.run.display_name
            elif record.HasField("history"):
                found = {}
                for item in record.history.item:
                    key = item.key or item.nested_key[0]
                    found[key] = json.loads(item.value_json)
                steps[found["_step"]] |= found
        runs[name] = about, [steps[step] for step in sorted(steps)]
    return runs


def test_what_is_logged_is_what_the_records_say(evaluation, offline):
    """Counted a second way, from the records alone."""
    evaluation.log_to("wandb", project="small", name="table model")
    runs = logged(offline)
    assert len(runs) == len(evaluation.arms)
    for place, arm in enumerate(evaluation.arms):
        about, steps = runs[arm.title]
        records = [record for record in evaluation.records if record.arm == place]
        assert (about["project"], about["group"]) == ("small", "table model")
        assert about["settings"] == arm.settings
        assert (about["problems"], about["repeats"]) == (5, 2)
        assert [step["problem"] for step in steps] == [0, 1, 2, 3, 4]
        for number, step in enumerate(steps):
            so_far = [record.right for record in records if record.problem <= number]
            here = [record for record in records if record.problem == number]
            assert step["accuracy"] == pytest.approx(np.mean(so_far))
            assert step["right"] == np.mean([record.right for record in here])
            assert step["tokens"] == np.mean([record.tokens for record in here])
            assert step["seconds"] == pytest.approx(np.mean([record.seconds for record in here]))
        some = [bool(record.right_answers) for record in records]
        assert steps[-1]["pass_at_n"] == pytest.approx(np.mean(some))
        assert steps[-1]["accuracy_low"] < steps[-1]["accuracy"] < steps[-1]["accuracy_high"]
        assert all("pass_at_n" not in step for step in steps[:-1])


def test_a_run_of_the_callers_goes_on(evaluation, offline):
    own = wandb.init(project="own", name="own")
    evaluation.log_to("wandb")
    assert wandb.run is own
    own.log({"loss": 1.0})
    own.finish()
    assert logged(offline)["own"][1][0]["loss"] == 1.0


def test_what_cannot_be_logged(evaluation, monkeypatch, tmp_path, capsys):
    with pytest.raises(ValueError, match="tracker must be one of trackio, wandb, not"):
        evaluation.log_to("mlflow")
    with pytest.raises(ValueError, match="project must be a text that is not empty, not ''"):
        evaluation.log_to("wandb", project="")
    nothing = Evaluation(evaluation.arms, 5, (), 2)
    with pytest.raises(ValueError, match="there is nothing to log"):
        nothing.log_to("wandb")
    monkeypatch.setitem(sys.modules, "trackio", None)
    with pytest.raises(ModuleNotFoundError, match="trackio is not installed: pip install trackio"):
        evaluation.log_to("trackio")
    rows = tmp_path / "rows.csv"
    rows.write_text("question,answer\nWhat is 1 + 1?,2\n")
    results = tmp_path / "results.jsonl"
    ask = ["evaluate", str(rows), "--results", str(results), "--log-to", "trackio"]
    assert main(ask) == 2 and not results.exists()  # said before anything is run
    assert "trackio is not installed" in capsys.readouterr().err


def test_the_command_line(offline, capsys):
    (offline / "rows.csv").write_text("question,answer\nWhat is 1 + 1?,2\n")
    ask = ["--prm", "none", "--sampler", "majority_vote:samples=2", "--quiet", "--max-steps", "2"]
    keep = ["--results", str(offline / "small.jsonl"), "--log-to", "wandb", "--json"]
    assert main(["evaluate", str(offline / "rows.csv"), *ask, *keep, "--project", "cli"]) == 0
    [row] = map(json.loads, capsys.readouterr().out.splitlines())
    [(name, (about, steps))] = logged(offline).items()
    assert (name, about["project"], about["group"]) == ("majority_vote", "cli", "small")
    assert steps[0]["accuracy"] == row["accuracy"]
