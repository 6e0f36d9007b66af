"""Runs by workers of a real Ray cluster are those of one process, whoever is lost on the way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import journalled_evaluation
import pytest
import ray
from journalled_evaluation import evaluated, held, pids
from ray_models import Deadly, killed_while_loading, nan_at_seven, one_of_each

import motes
from motes.cli import main
from motes.evaluation import Evaluation, RayWorkers, evaluate
from motes.evaluation.engine_ray import sized
from motes.models import FunctionReward, load_lm, load_prm
from motes.models.pocket import problems as pocket_problems
from motes.samplers import ImportanceSampling, MajorityVote, ParticleFilter
from motes.samplers.allocation import Allocated, KnowledgeGradient

COMPANY = ("seconds", "cost", "evaluation")  # what depends on the company of a run
TWO = RayWorkers(workers=2)
LOCK = threading.Lock()

# of processes that go on in a copy of this one, as those that Ray starts do not
pytestmark = pytest.mark.filterwarnings(r"ignore:os\.fork:RuntimeWarning")


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """Ray on this machine, with room for two workers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
        yield
        ray.shutdown()


def drawn(evaluation: Evaluation) -> dict:
    """What came of each run, but for what depends on its company."""
    return {
        record.key: {name: value for name, value in vars(record).items() if name not in COMPANY}
        for record in evaluation.records
    }


def check_each_once(results: Path, runs: int) -> None:
    lines = results.read_bytes().splitlines()
    assert len(lines) == 1 + runs and len(Evaluation.load(results).records) == runs


def kill_when(due: Callable[[Counter[int]], int | None], journal: Path) -> threading.Thread:
    """Kill -9 the process that `due` names, as soon as it names one by what each has begun.

    The first of two waits for the other, and what is left for one in the place of the killed,
    however long Ray needs to start it: on a busy machine one could else do all the work alone.
    """
    held(journal).touch()

    def wait_for(processes: int) -> None:
        end = time.monotonic() + 300
        while len(pids(journal)) < processes and time.monotonic() < end:
            time.sleep(0.01)
        held(journal).unlink()

    def work() -> None:
        wait_for(2)
        while (found := due(pids(journal))) is None:
            time.sleep(0.01)
        held(journal).touch()
        os.kill(found, signal.SIGKILL)
        wait_for(3)

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def both_at_work(begun: Counter[int]) -> int | None:
    """One of two workers, once each has begun six runs."""
    return min(begun) if len(begun) == 2 and min(begun.values()) >= 6 else None


def test_a_worker_is_killed_and_nothing_is_lost(cluster, tmp_path) -> None:
    results, journal, problems = tmp_path / "results.jsonl", tmp_path / "journal", 80
    killer = kill_when(both_at_work, journal)
    with pytest.warns(RuntimeWarning, match="engine: worker [12] of 2 was lost .* done again"):
        found = evaluated(results, journal, problems, 3, 0.03, engine=TWO)
    killer.join()
    assert found.complete and len(pids(journal)) == 3  # two, and the one in place of the lost one
    assert sum(pids(journal).values()) - problems <= 4  # the runs under way, done again
    check_each_once(results, problems)
    whole = evaluated(tmp_path / "whole.jsonl", None, problems, 3, 0.0)
    assert drawn(found) == drawn(whole) == drawn(Evaluation.load(results))
    assert found.table() == whole.table()


@pytest.mark.statistics
def test_what_one_process_began_workers_go_on_with(cluster, tmp_path) -> None:
    results, journal = tmp_path / "results.jsonl", tmp_path / "journal"
    evaluated(results, None, 4, 2, 0.0)
    found = evaluated(results, journal, 10, 2, 0.0, engine=TWO, repeats=2)
    begun = pids(journal)
    # two runs on one question that begin together may ask the model for it once
    assert found.complete and 10 <= sum(begun.values()) <= 16
    assert drawn(found) == drawn(evaluated(tmp_path / "whole.jsonl", None, 10, 2, 0.0, repeats=2))
    again = evaluated(results, journal, 10, 2, 0.0, engine=TWO, repeats=2)
    assert drawn(again) == drawn(found) and pids(journal) == begun


@pytest.mark.statistics
def test_arms_that_share_a_budget_and_a_user_s_word(cluster, tmp_path) -> None:
    votes = MajorityVote(samples=3)
    samplers = {
        "weights": ImportanceSampling(particles=2),
        "shared": Allocated(sampler=votes, allocation=KnowledgeGradient(budget=24)),
    }
    changes = {"samplers": samplers, "correct": lambda answer, problem: answer == "1"}
    found = evaluated(tmp_path / "ray.jsonl", None, 6, 3, 0.0, engine=TWO, texts=True, **changes)
    whole = evaluated(tmp_path / "one.jsonl", None, 6, 3, 0.0, texts=True, **changes)
    assert found.complete and drawn(found) == drawn(whole)


@pytest.mark.statistics
def test_what_goes_wrong_in_a_worker_is_one_sentence(cluster, tmp_path) -> None:
    results = tmp_path / "results.jsonl"
    with pytest.raises(FloatingPointError, match="NaN") as found:
        evaluated(results, None, 8, 1, 0.0, prm=FunctionReward(nan_at_seven), engine=TWO)
    assert "\n" not in str(found.value)
    assert len(Evaluation.load(results).records) > 0  # what was done before is there
    with pytest.raises(ValueError, match="engine: the lm that a worker has loaded is") as found:
        evaluated(tmp_path / "other.jsonl", None, 80, 1, 0.0, lm=one_of_each, engine=TWO)
    assert "\n" not in str(found.value)
    with pytest.raises(TypeError, match="^lm must be a language model") as found:
        evaluated(tmp_path / "none.jsonl", None, 8, 1, 0.0, lm=lambda: 3, engine=TWO)


def locked_function(lock: Any) -> Any:
    """Return a function that holds a lock, which no file of results asks about."""

    def function(*_: object) -> bool:
        return lock.locked()

    function.fingerprint = "a lock"  # pyright: ignore[reportFunctionMemberAccess]
    return function


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "lm",
            lambda: load_lm("pocket", probe=False),
            "lm: it holds the weights of a model that was loaded here; give its name, or a "
            r"function that loads it, such as functools.partial\(motes.load_lm, 'owner/name'\)",
        ),
        (
            "prm",
            lambda: load_prm("pocket", probe=False),
            r"prm: it holds the weights .* functools.partial\(motes.load_prm, 'owner/name'\)",
        ),
        (
            "lm",
            lambda: partial(lambda lm: lm, load_lm("pocket", probe=False)),
            "lm: it holds the weights",
        ),
        (
            "prm",
            lambda: FunctionReward(locked_function(LOCK)),
            "prm: it cannot be pickled .*lock.*; give its name, or a function that loads it",
        ),
        ("correct", lambda: locked_function(LOCK), "correct: it cannot be pickled .*lock"),
        ("constraint", lambda: locked_function(LOCK), "constraint: it cannot be pickled"),
    ],
)
def test_what_cannot_be_sent_is_refused(name, value, message, tmp_path, monkeypatch) -> None:
    """Before Ray is started, and before there is a file."""
    monkeypatch.setattr(ray, "init", lambda **_: pytest.fail("Ray was started"))
    changes = {name: value(), "engine": "ray"}
    with pytest.raises(TypeError, match=f"^engine: workers cannot be sent {message}") as found:
        evaluated(tmp_path / "results.jsonl", None, 2, 1, 0.0, **changes)
    assert "\n" not in str(found.value) and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("engine", "error", "message"),
    [
        ("spark", ValueError, "engine must be one of ray, not 'spark'"),
        (2, TypeError, "engine must be None, 'ray' or motes.evaluation.RayWorkers, not 2"),
    ],
)
def test_other_engines_are_not_known(engine, error, message, tmp_path) -> None:
    with pytest.raises(error, match=message):
        evaluated(tmp_path / "results.jsonl", None, 2, 1, 0.0, engine=engine)


@pytest.mark.parametrize(
    ("settings", "error"),
    [({"workers": 0}, ValueError), ({"cpus": 0}, ValueError), ({"gpus": -1}, ValueError)],
)
def test_settings_of_workers(settings, error) -> None:
    with pytest.raises(error, match=f"^{next(iter(settings))} must be"):
        RayWorkers(**settings)


@pytest.mark.parametrize(
    ("settings", "machines", "device", "expected"),
    [
        ({}, [{"CPU": 4}, {"CPU": 2}], "auto", (6, 1, 0)),
        ({}, [{"CPU": 4, "GPU": 2}, {"CPU": 2}], "auto", (2, 1, 1)),
        ({}, [{"CPU": 4, "GPU": 2}, {"CPU": 2}], "cpu", (6, 1, 0)),
        ({"gpus": 0.5}, [{"CPU": 4, "GPU": 2}], "auto", (4, 1, 0.5)),
        ({"workers": 3, "cpus": 2}, [{"CPU": 4}], "auto", (3, 2, 0)),
    ],
)
def test_as_many_workers_as_there_is_room_for(settings, machines, device, expected) -> None:
    count, needs = sized(RayWorkers(**settings), machines, device)
    assert (count, needs["num_cpus"], needs["num_gpus"]) == expected


def test_no_room_is_said() -> None:
    with pytest.warns(RuntimeWarning, match="a worker needs 1 CPUs and 1 GPUs, which no machine"):
        assert sized(RayWorkers(gpus=1), [{"CPU": 8}], "auto")[0] == 1


def test_without_ray_it_says_what_to_install(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ModuleNotFoundError, match="engine 'ray' needs Ray: pip install 'motes"):
        evaluated(tmp_path / "results.jsonl", None, 2, 1, 0.0, engine="ray")


@pytest.mark.statistics
def test_a_driver_is_killed_and_its_evaluation_goes_on(cluster, tmp_path) -> None:
    """With a cluster of its own, which ends with it."""
    results, journal, problems = tmp_path / "results.jsonl", tmp_path / "journal", 60
    program = [sys.executable, journalled_evaluation.__file__]
    arguments = map(str, (results, journal, problems, 3, 0.05, 2))
    environment = {**os.environ, "RAY_ADDRESS": "local"}
    driver = subprocess.Popen([*program, *arguments], env=environment)
    while both_at_work(pids(journal)) is None:
        assert driver.poll() is None
        time.sleep(0.01)
    driver.kill()
    driver.wait()
    lost = sum(pids(journal).values()) - len(Evaluation.load(results).records)
    assert 0 <= lost <= 2 * 4  # what the workers had under way, or had just begun
    for pid in pids(journal):
        end = time.monotonic() + 20
        while Path(f"/proc/{pid}").exists():
            assert time.monotonic() < end, "a worker outlives its driver"
            time.sleep(0.1)
    found = evaluated(results, journal, problems, 3, 0.0, engine=TWO)
    check_each_once(results, problems)
    assert drawn(found) == drawn(evaluated(tmp_path / "whole.jsonl", None, problems, 3, 0.0))


@pytest.mark.statistics
@pytest.mark.filterwarnings("ignore:engine. worker:RuntimeWarning")
def test_a_run_that_kills_its_workers_ends_the_evaluation(cluster, tmp_path) -> None:
    lm = Deadly(lambda prefix: [0.4, 0.3, 0.3], eos=2)
    with pytest.raises(RuntimeError, match="5 workers were lost with the same run under way"):
        evaluated(tmp_path / "results.jsonl", None, 12, 1, 0.0, lm=lm, engine=TWO)
    assert len(Evaluation.load(tmp_path / "results.jsonl").records) >= 3


@pytest.mark.statistics
def test_models_that_kill_their_workers_end_the_evaluation(cluster, tmp_path) -> None:
    with pytest.raises(RuntimeError, match="every worker was lost while it loaded the models"):
        evaluated(tmp_path / "r.jsonl", None, 4, 1, 0.0, lm=killed_while_loading, engine=TWO)
    assert not (tmp_path / "r.jsonl").exists()


@pytest.mark.statistics
def test_the_pocket_by_a_function_and_by_its_name(cluster, tmp_path) -> None:
    """In float64, where draws don't depend on their company, and by name in float32."""
    exact = {
        "lm": partial(motes.load_lm, "pocket", dtype="float64"),
        "prm": partial(motes.load_prm, "pocket", dtype="float64"),
    }
    asked = {"samplers": {"filter": ParticleFilter(particles=4)}, "count": 8, "progress": False}

    def both(name: str, **models: Any) -> list[Evaluation]:
        problems = partial(pocket_problems, "test", seed=2)
        one = evaluate(problems(), results=tmp_path / f"{name}-1.jsonl", **asked, **models)
        ray = tmp_path / f"{name}-2.jsonl"
        return [one, evaluate(problems(), results=ray, engine=TWO, **asked, **models)]

    one, two = both("exact", **exact)
    assert drawn(one) == drawn(two)
    one, two = both("named", lm="pocket")
    assert [record.answer for record in one.records] == [record.answer for record in two.records]
    assert {record.evaluation for record in one.records} == {
        record.evaluation for record in two.records
    }


@pytest.mark.statistics
def test_the_command(cluster, tmp_path, capsys) -> None:
    file = tmp_path / "problems.jsonl"
    file.write_text('{"question": "Ann has 3 apples and buys 4. How many?", "answer": "7"}\n' * 3)
    command = ["evaluate", str(file), "--sampler", "particle_filter:particles=2", "--quiet"]
    command += ["--dtype", "float64"]
    tables = []
    for name, engine in (("one", []), ("ray", ["--engine", "ray:workers=2"])):
        assert main([*command, "--results", str(tmp_path / f"{name}.jsonl"), *engine]) == 0
        tables.append(capsys.readouterr().out)
    assert tables[0] == tables[1] and "particle_filter" in tables[0]


@pytest.mark.parametrize(
    ("engine", "message"),
    [
        ("spark", "engine must be one of ray, not 'spark'"),
        ("ray:gpu=1", "engine ray has no setting 'gpu'; it has workers, cpus, gpus"),
        ("ray:workers=0", "workers must be at least 1, not 0"),
    ],
)
def test_the_command_says_what_is_wrong(engine, message, tmp_path, capsys) -> None:
    file = tmp_path / "problems.jsonl"
    file.write_text('{"question": "?", "answer": "7"}\n')
    results = str(tmp_path / "results.jsonl")
    assert main(["evaluate", str(file), "--results", results, "--engine", engine]) == 2
    assert message in capsys.readouterr().err
