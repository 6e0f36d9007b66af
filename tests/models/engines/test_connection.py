"""What every server's connection keeps: the waits between tries, the key, and the extra's name."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from stub_servers import TableModel, VllmStub, serving

import motes
from motes.diagnostics.report import report
from motes.models import FunctionReward, StepRule, load_lm, load_prm
from motes.models.engines import connection, vllm_lm
from motes.models.engines.connection import Connection, PassingFailure, ServerError
from motes.models.pocket import LM_FOLDER, PRM_FOLDER

QUESTION = "How many pens has Ben?"
KEY = "a-key-that-nobody-may-see"
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits that a connection asked for; nobody waits."""
    asked: list[float] = []
    monkeypatch.setattr(connection, "time", SimpleNamespace(sleep=asked.append))
    return asked


def failing(times: int) -> Callable[[], str]:
    left = iter(range(times))

    def attempt() -> str:
        if next(left, None) is not None:
            raise PassingFailure("asleep")
        return "awake"

    return attempt


def test_waits_are_doubled_up_to_a_longest_one(waits: list[float]) -> None:
    patient = Connection(NOWHERE, retries=9)
    with pytest.raises(ServerError, match="^asleep, 10 times$"):
        patient.patiently(failing(10))
    assert waits == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]


def test_each_request_begins_with_the_shortest_wait(waits: list[float]) -> None:
    patient = Connection(NOWHERE, retries=9)
    assert [patient.patiently(failing(times)) for times in (3, 0, 2)] == ["awake"] * 3
    assert waits == [0.5, 1, 2, 0.5, 1]


def test_what_cannot_pass_is_not_waited_for(waits: list[float]) -> None:
    def refused() -> None:
        raise ServerError("no")

    with pytest.raises(ServerError, match="^no$"):
        Connection(NOWHERE, retries=9).patiently(refused)
    assert waits == []


def test_the_key_is_in_no_log_and_in_no_file(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """The question stands in every file, so that a text which is there would be found."""
    monkeypatch.setenv("MOTES_API_KEY", KEY)
    caplog.set_level(logging.DEBUG)
    prm = FunctionReward(lambda x: 0.3 * len(x.step_token_ids) - 1, name="length")
    with serving(VllmStub(TableModel())) as stub:
        run: dict[str, Any] = {"lm": load_lm(stub.url, step=StepRule(cap=12)), "prm": prm}
        run |= {"particles": 4, "max_steps": 3, "checkpoint": tmp_path / "run.json"}
        posterior = motes.solve(QUESTION, **run)
        assert {headers["Authorization"] for headers in stub.headers} == {f"Bearer {KEY}"}
    posterior.save(tmp_path / "run.nc")
    report(posterior, tmp_path / "run.html")
    files = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert files.keys() == {"run.json", "run.nc", "run.html"}
    for content in files.values():
        assert QUESTION.encode() in content and KEY.encode() not in content
    assert any("127.0.0.1" in record.getMessage() for record in caplog.records)
    assert KEY not in caplog.text
    assert KEY not in "".join(repr(vars(record)) for record in caplog.records)


@pytest.fixture
def missing(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Make a package one that is not installed; what loading sets in the environment is undone."""
    for name, value in vllm_lm.SETTINGS.items():
        monkeypatch.setenv(name, value)
    return lambda package: monkeypatch.setitem(sys.modules, package, None)


@pytest.mark.parametrize(("load", "folder"), [(load_lm, LM_FOLDER), (load_prm, PRM_FOLDER)])
def test_what_is_not_installed_is_named_by_its_extra(
    load: Callable[[str], Any], folder: Path, missing: Callable[[str], None]
) -> None:
    missing("vllm")
    with pytest.raises(ImportError, match=r"needs vLLM: pip install 'motes\[vllm\]'"):
        load(f"vllm:{folder}")
    missing("httpx2")
    with pytest.raises(ImportError, match=r"an HTTP client: pip install 'motes\[server\]'$"):
        load(NOWHERE)
