"""An evaluation that is killed loses the runs under way and no others; of two at once one works."""

from __future__ import annotations

import json
import multiprocessing
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from itertools import islice
from multiprocessing.process import BaseProcess
from pathlib import Path

import journalled_evaluation
import pytest
from journalled_evaluation import REFUSED

from motes.evaluation import Evaluation
from motes.models.pocket import problems as pocket_problems

# forked from one process that has imported what an evaluation needs: to import takes seconds
FORKED = multiprocessing.get_context("forkserver")
FORKED.set_forkserver_preload(
    [
        "jax",
        "motes.evaluation.runner",
        "motes.models.language.table_lm",
        "motes.samplers.filters.particle_filter",
    ]
)
SECONDS = 0.005  # of a step
STARTING = 0.4  # seconds, of a process
COMPANY = ("seconds", "cost", "evaluation")  # what depends on the company of a run


def started(results: Path, journal: Path, problems: int, at_once: int) -> BaseProcess:
    arguments = results, journal, problems, at_once, SECONDS
    process = FORKED.Process(target=journalled_evaluation.evaluated, args=arguments)
    process.start()
    return process


def begun(journal: Path) -> int:
    """How many runs were begun, whether or not they came to an end."""
    return journal.read_bytes().count(b"\n") if journal.exists() else 0


def whole_lines(results: Path) -> list[bytes]:
    content = results.read_bytes() if results.exists() else b""
    return [line for line in content.splitlines(keepends=True) if line.endswith(b"\n")]


def done(results: Path) -> int:
    return max(0, len(whole_lines(results)) - 1)  # but for the first line


def drawn(evaluation: Evaluation) -> dict:
    """What came of each run, but for what depends on its company."""
    return {
        record.key: {name: value for name, value in vars(record).items() if name not in COMPANY}
        for record in evaluation.records
    }


def kill_at(process: BaseProcess, journal: Path, delay: float, at_work: bool) -> None:
    """Kill -9, so many seconds after it was started, or after it has begun its first run."""
    before = begun(journal)
    while at_work and begun(journal) == before:
        assert process.is_alive(), "it ended before it was killed"
        time.sleep(0.005)
    time.sleep(delay)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL


def kill_again_and_again(folder: Path, problems: int, at_once: int, kills: int, seed: int) -> None:
    """Kill an evaluation at random moments, and check at each what is lost; then let it end."""
    results, journal, moments = folder / "results.jsonl", folder / "journal", random.Random(seed)
    work = problems * 4 * SECONDS / at_once  # seconds at least
    for kill in range(kills):
        lines, runs = whole_lines(results), begun(journal)
        at_work = kill % 4 != 3  # every fourth may meet it while it starts
        longest = work / kills if at_work else STARTING
        process = started(results, journal, problems, at_once)
        kill_at(process, journal, moments.uniform(0, longest), at_work)
        now = whole_lines(results)
        assert now[: len(lines)] == lines  # what was done stays done, to the byte
        lost = (begun(journal) - runs) - (done(results) - max(0, len(lines) - 1))
        assert 0 <= lost <= at_once  # the runs under way, and no others
    last = started(results, journal, problems, at_once)
    last.join()
    assert last.exitcode == 0
    check_each_once(results, problems)
    whole = journalled_evaluation.evaluated(folder / "whole.jsonl", None, problems, at_once, 0.0)
    assert drawn(Evaluation.load(results)) == drawn(whole)


def check_each_once(results: Path, problems: int) -> None:
    """Whether a file has every run once, and nothing that is no record."""
    content = results.read_bytes()
    assert content.endswith(b"\n") and len(content.splitlines()) == 1 + problems
    runs = Counter(json.loads(line)["question"] for line in content.splitlines()[1:])
    assert len(runs) == problems and set(runs.values()) == {1}
    assert Evaluation.load(results).complete


@pytest.mark.long(quick=1)
@pytest.mark.parametrize("at_once", [1, 3])
def test_what_is_killed_loses_the_runs_under_way(tmp_path, at_once) -> None:
    kill_again_and_again(tmp_path, 30 * at_once, at_once, kills=2, seed=at_once)


@pytest.mark.statistics
@pytest.mark.parametrize("at_once", [1, 4])
def test_twenty_kills_lose_the_runs_under_way(tmp_path, at_once) -> None:
    kill_again_and_again(tmp_path, 300 * at_once, at_once, kills=20, seed=at_once)


@pytest.mark.slow
def test_two_processes_on_one_file_are_refused_or_right(tmp_path) -> None:
    results, journal, problems = tmp_path / "results.jsonl", tmp_path / "journal", 60
    arguments = map(str, (results, journal, problems, 2, SECONDS))
    command = [sys.executable, journalled_evaluation.__file__, *arguments]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate()[0] for process in processes]
    codes = [process.returncode for process in processes]
    assert 0 in codes and set(codes) <= {0, REFUSED}
    for code, sentence in zip(codes, said, strict=True):
        assert (code == REFUSED) == ("another evaluation is writing to" in sentence)
    assert begun(journal) == problems  # nothing was done twice
    check_each_once(results, problems)


@pytest.mark.statistics
def test_the_command_is_killed_and_goes_on(tmp_path) -> None:
    """`motes evaluate` on the pocket, in float64, whose draws don't depend on their company."""
    rows = list(islice(pocket_problems("test", seed=3), 12))
    file = tmp_path / "problems.jsonl"
    lines = [json.dumps({"question": row.question, "answer": row.answer}) for row in rows]
    file.write_text("\n".join(lines))

    def command(results: Path) -> list[str]:
        options = ["--sampler", "particle_filter:particles=4", "--dtype", "float64", "--quiet"]
        models = ["--at-once", "2", "--prm", "none"]
        program = [sys.executable, "-m", "motes", "evaluate", str(file)]
        return [*program, *options, *models, "--results", str(results)]

    results, whole, moments = tmp_path / "results.jsonl", tmp_path / "whole.jsonl", random.Random(5)
    subprocess.run(command(whole), check=True, capture_output=True)
    for _ in range(3):
        before = done(results)
        process = subprocess.Popen(command(results), stdout=subprocess.DEVNULL)
        while done(results) == before and process.poll() is None:
            time.sleep(0.01)
        time.sleep(moments.uniform(0, 0.5))
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    subprocess.run(command(results), check=True, capture_output=True)
    check_each_once(results, len(rows))
    assert drawn(Evaluation.load(results)) == drawn(Evaluation.load(whole))
