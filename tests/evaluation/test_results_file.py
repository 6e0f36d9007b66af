"""A file of results grows, is written by one, and loses to damage what was damaged and nothing
else."""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys
import threading
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

import motes.models
from motes.evaluation import Evaluation
from motes.evaluation.accuracy_table import credible
from motes.evaluation.fit import fit_scaling
from motes.files import locked
from motes.frequencies import jeffreys
from motes.models import FunctionReward, TableLM
from motes.samplers import ImportanceSampling, MajorityVote, ParticleFilter

PROBLEMS = [(f"question {i}?", i % 2) for i in range(5)]
SAMPLERS = {
    "filter": [ParticleFilter(particles=n) for n in (1, 3)],
    "weights": ImportanceSampling(particles=2),
    "vote": MajorityVote(samples=3),
}


def drawn(evaluation: Evaluation) -> dict:
    """What came of each run, by what it is of: nothing that depends on company or on other runs."""
    names = (
        "seed",
        "answer",
        "probability",
        "right_probability",
        "right",
        "tokens",
        "log_evidence",
        "ess",
        "error",
    )
    return {record.key: [getattr(record, name) for name in names] for record in evaluation.records}


def lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


GROWTH = [
    [{"problems": PROBLEMS[:2]}, {"problems": PROBLEMS[:4]}, {}],
    [{"count": 1}, {"count": 3}, {}],
    [{"problems": PROBLEMS[3:]}, {"problems": PROBLEMS[::-1]}, {}],
    [{"samplers": {"vote": SAMPLERS["vote"]}}, {}],
    [
        {"samplers": {"filter": ParticleFilter(particles=3)}},
        {"samplers": {"filter": SAMPLERS["filter"]}},
        {},
    ],
    [{"samplers": dict(reversed(SAMPLERS.items()))}, {}],
    [{"repeats": 1}, {"repeats": 2}, {"repeats": 3}],
    [
        {"repeats": 2, "count": 2},
        {"samplers": {"vote": SAMPLERS["vote"]}, "repeats": 3},
        {"repeats": 3},
    ],
]


@pytest.mark.long(quick=2)
@pytest.mark.parametrize("calls", GROWTH)
def test_what_is_there_stays_and_only_what_is_missing_is_done(run, tmp_path, calls):
    whole = run(results=tmp_path / "whole.jsonl", **calls[-1])
    before: dict = {}
    for call in calls:
        part = run(**call)
        assert part.complete
        content = (tmp_path / "results.jsonl").read_bytes()
        assert content.startswith(before.get("content", b""))  # nothing is written anew
        before["content"] = content
        assert {key: drawn(part)[key] for key in before.get("drawn", {}) if key in drawn(part)} == {
            key: value for key, value in before.get("drawn", {}).items() if key in drawn(part)
        }
        before["drawn"] = before.get("drawn", {}) | drawn(part)
    assert drawn(part) == drawn(whole)
    assert [asdict(record)["problem"] for record in part.records] == [
        asdict(record)["problem"] for record in whole.records
    ]
    np.testing.assert_array_equal(part.right, whole.right)
    assert part.table() == whole.table()
    runs = [line for line in lines(tmp_path / "results.jsonl") if b'"right_answer"' in line]
    assert len(runs) == len(before["drawn"])  # each once


def test_fewer_are_given_where_fewer_are_asked_for(run, tmp_path, monkeypatch):
    whole = run(repeats=2)
    content = (tmp_path / "results.jsonl").read_bytes()
    part = run(count=2, samplers={"weights": SAMPLERS["weights"]})
    assert (
        part.complete
        and len(part.records) == 2
        and (tmp_path / "results.jsonl").read_bytes() == content
    )
    assert drawn(part).items() <= drawn(whole).items()
    loaded = Evaluation.load(tmp_path / "results.jsonl")
    assert drawn(loaded) == drawn(whole) and loaded.table() == whole.table() and loaded.repeats == 2


def test_what_is_loaded_is_all_that_was_ever_asked(run, tmp_path):
    run(count=2, samplers={"vote": SAMPLERS["vote"]})
    run(problems=PROBLEMS[1:], samplers={"filter": SAMPLERS["filter"]})
    loaded = Evaluation.load(tmp_path / "results.jsonl")
    assert loaded.problems == 5 and [arm.name for arm in loaded.arms] == [
        "vote",
        "filter",
        "filter",
    ]
    assert [arm.budget for arm in loaded.arms] == ["", "particles 1", "particles 3"]
    assert len(loaded.records) == 2 + 8 and not loaded.complete and loaded.whole == (1,)
    assert run(samplers={"vote": SAMPLERS["vote"], "filter": SAMPLERS["filter"]}).complete
    assert Evaluation.load(tmp_path / "results.jsonl").complete


def test_equal_problems_are_told_apart(run):
    twice = run([PROBLEMS[0]] * 2)
    thrice = run([PROBLEMS[0]] * 3)
    assert (
        drawn(twice).items() < drawn(thrice).items()
        and len({tuple(record.seed) for record in thrice.records}) == 12
    )


def test_repeats_are_independent_runs(run):
    evaluation = run([PROBLEMS[0]], samplers={"filter": ParticleFilter(particles=2)}, repeats=40)
    assert [record.repeat for record in evaluation.records] == list(range(40))
    assert len({tuple(record.seed) for record in evaluation.records}) == 40
    assert len({record.log_evidence for record in evaluation.records}) > 5
    assert evaluation.right.tolist() == [[sum(record.right for record in evaluation.records)]]
    assert evaluation.tokens.tolist() == [
        [np.mean([record.tokens for record in evaluation.records])]
    ]
    [row] = evaluation.table().rows
    assert (row.problems, row.runs, row.accuracy) == (1, 40, row.right / 40)


def interval(right: float, count: float) -> tuple[float, float]:
    low, high = jeffreys(right, count)
    return float(low), float(high)


def test_intervals_of_repeats_lie_between_those_of_problems_and_of_runs():
    random = np.random.default_rng(3)
    independent = random.binomial(10, 0.3, size=400)  # problems that are all alike
    share = independent.sum() / 4000
    assert credible(independent, 10) == pytest.approx(interval(4000 * share, 4000), abs=0.003)
    alike = 10 * random.binomial(1, 0.3, size=400)  # runs of a problem that all agree
    assert credible(alike, 10) == pytest.approx(interval(alike.sum() / 10, 400), abs=1e-3)
    assert credible(np.zeros(5, int), 3) == interval(0, 5)
    assert credible(np.array([1, 0]), 1) == interval(1, 2)


@pytest.mark.statistics
def test_a_fit_counts_repeats():
    """R repeats of the same shares are like R times the problems: the level is told more
    exactly."""
    right = np.tile([[0, 1], [2, 2], [1, 2]], (4, 1))
    fits = [
        fit_scaling(right * r, [30, 60], ["a", "a"], repeats=2 * r, chains=1, warmup=150, draws=150)
        for r in (1, 8)
    ]
    assert fits[0].repeats == 2 and fits[1].to_datatree().attrs["repeats"] == 16
    with pytest.raises(ValueError, match="right must be numbers of runs, from 0 to 2"):
        fit_scaling([[3]], [1], ["a"], repeats=2)


def damaged(content: list[bytes], how: str) -> tuple[list[bytes], int]:
    """The lines of a file that something has happened to, and how many records that costs."""
    record = json.loads(content[3])
    changes = {
        "cut": content[3][:50] + b"\n",
        "empty": b"\n",
        "not text": b"\xff" * 30 + b"\n",
        "another kind": b"[1, 2]\n",
        "a type": json.dumps(record | {"tokens": "5"}).encode() + b"\n",
        "a bool for a number": json.dumps(record | {"probability": True}).encode() + b"\n",
        "a number for a bool": json.dumps(record | {"right": 1}).encode() + b"\n",
        "NaN": json.dumps(record | {"log_evidence": float("nan")}).encode() + b"\n",
        "more than 1": json.dumps(record | {"right_probability": 1.5}).encode() + b"\n",
        "a missing field": json.dumps({k: v for k, v in record.items() if k != "ess"}).encode()
        + b"\n",
        "an unknown field": json.dumps(record | {"more": 1}).encode() + b"\n",
        "another evaluation": json.dumps(record | {"evaluation": "0" * 16}).encode() + b"\n",
        "nested too deeply": b"[" * 100_000 + b"\n",
    }
    if how == "two lines in one":
        return [*content[:3], content[3][:-1] + content[4], *content[5:]], 2
    return [*content[:3], changes[how], *content[4:]], 1


KINDS = (
    "cut;empty;not text;another kind;a type;a bool for a number;a number for a bool;NaN;more than "
    "1;a missing field;"
    "an unknown field;another evaluation;nested too deeply;two lines in one"
)


@pytest.mark.parametrize("how", KINDS.split(";"))
def test_damage_costs_what_was_damaged(run, tmp_path, how):
    whole, path = run(), tmp_path / "results.jsonl"
    content, lost = damaged(lines(path), how)
    path.write_bytes(b"".join(content))
    with pytest.warns(
        RuntimeWarning,
        match="line 4 is damaged in '.*results.jsonl'; whatever runs stood there are missing",
    ):
        part = Evaluation.load(path)
    assert len(part.records) == 20 - lost and drawn(part).items() < drawn(whole).items()
    with pytest.warns(RuntimeWarning, match="line 4 is damaged"):
        assert drawn(run()) == drawn(whole)
    assert len(lines(path)) == len(content) + lost and lines(path)[: len(content)] == content
    assert drawn(run()) == drawn(Evaluation.load(path)) == drawn(whole)  # and not a word


def test_zeros_that_a_disk_left_cost_nothing(run, tmp_path):
    whole, path = run(), tmp_path / "results.jsonl"
    content = lines(path)
    path.write_bytes(b"".join([*content[:3], b"\0" * 4096 + content[3], *content[4:]]))
    assert drawn(Evaluation.load(path)) == drawn(whole)


def test_without_its_first_line_a_file_is_known_by_its_records(run, tmp_path):
    whole, path = run(), tmp_path / "results.jsonl"
    content = lines(path)
    path.write_bytes(b"".join([b"?\n", *content[1:-1]]))
    with pytest.raises(
        ValueError,
        match="the first line of '.*' is damaged, and its records are of other arguments",
    ):
        run(seed=8)
    with pytest.warns(RuntimeWarning, match="line 1 is damaged"):
        assert drawn(run()) == drawn(whole)
    assert drawn(Evaluation.load(path)) == drawn(whole)
    with pytest.raises(ValueError, match="its seed is 7, not 8"):
        run(seed=8)


@pytest.mark.parametrize("share", [0.0, 0.2, 0.999])
def test_a_first_line_that_was_not_finished_is_nothing(run, tmp_path, share):
    whole, path = run(), tmp_path / "results.jsonl"
    first = lines(path)[0]
    path.write_bytes(first[: int(share * len(first))])
    assert drawn(run()) == drawn(whole)


HOLDER = """
import sys
from motes.files import locked
with locked(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_two_processes_do_not_write_to_one_file(run, tmp_path):
    path = tmp_path / "results.jsonl"
    part = run(count=2)
    command = [sys.executable, "-c", HOLDER, path]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    content = path.read_bytes()
    with pytest.raises(
        BlockingIOError, match="results: another evaluation is writing to '.*results.jsonl'"
    ):
        run()
    assert path.read_bytes() == content and drawn(run(count=2)) == drawn(part)  # reading is free
    holder.communicate("")
    assert run().complete


def test_nor_do_two_threads(run, tmp_path):
    """The second comes while the first is at work."""
    found: list[BaseException] = []

    def second():
        try:
            run(prm=FunctionReward(reward))
        except OSError as error:
            found.append(error)

    def reward(x):
        if not found:
            other = threading.Thread(target=second)
            other.start()
            other.join()
        return 1.0 - x.token_ids[-1] - 0.3 * x.depth

    reward.fingerprint = "the same"
    run(prm=FunctionReward(reward))
    assert [type(error) for error in found] == [BlockingIOError]
    with locked(tmp_path / "results.jsonl"):
        pass


def test_files_of_models_count(run, tmp_path, monkeypatch):
    """A model that is given by its name is known by its files, which nobody loads for that."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights" * 1_000_000)
    (folder / "config.json").write_text("{}")
    monkeypatch.setattr(
        motes.models, "load_lm", lambda *_, **__: TableLM(lambda prefix: [0.4, 0.3, 0.3], eos=2)
    )
    run(lm=str(folder))
    run(lm=str(folder))
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[: len(content) // 2] = bytes(len(content) // 2)
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match="its lm is|its lm differs"):
        run(lm=str(folder))


class Remote:
    """A model that nothing can be known about."""

    def __init__(self, name):
        self.name, self.lock = name, threading.Lock()
        self.table = FunctionReward(lambda x: 0.1 * x.depth)

    @property
    def cost(self):
        return self.table.cost

    def score(self, trajectories):
        with self.lock:
            return self.table.score(trajectories)


def test_a_name_vouches_for_what_cannot_be_known(run, tmp_path):
    with pytest.warns(
        RuntimeWarning, match="results takes your word that prm='first' does the same"
    ):
        run(prm=Remote("first"))
    with (
        pytest.warns(RuntimeWarning, match="takes your word"),
        pytest.raises(ValueError, match="its prm is 'first"),
    ):
        run(prm=Remote("second"))
    lock = threading.Lock()
    with pytest.raises(
        ValueError,
        match="results cannot tell whether answer is the same .* give it an attribute `name`",
    ):
        run(answer=lambda x: str(lock), results=tmp_path / "other.jsonl")


def test_evaluations_are_pickled_and_copied(run):
    evaluation = run()
    assert evaluation.table() and evaluation.right.size  # what is computed once is there
    for how in (lambda value: pickle.loads(pickle.dumps(value)), copy.copy, copy.deepcopy):
        again = how(evaluation)
        assert again.records == evaluation.records and again.arms == evaluation.arms
        assert again.table() == evaluation.table() and hash(again.arms[0].name) == hash(
            evaluation.arms[0].name
        )
