"""Every block and every command of the README runs, in order and in seconds."""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib
import pytest

import motes
from motes.cli import main
from motes.models.pocket import problems

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)
COMMANDS = [
    line.strip().partition("  #")[0].strip()
    for line in re.findall(r"^    motes .*$", README, flags=re.MULTILINE)
]
OWN_MODEL = "owner/name"  # what the README calls a model of the reader's
# the first blocks, which a reader tries first, are run in every run; all of them when there is time
FIRST = 4
SHORTER = {"--chains 4 --iterations 20": "--chains 2 --iterations 4"}
LONG = ("--sampler suffix_metropolis", "--runs 4", "--examples")  # these commands take seconds each

# processor seconds of a block or a command on one core, on a machine that does other things as well
MOST = 60.0
QUESTION = next(problems("test", seed=0, steps=6)).question

matplotlib.use("Agg")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which all of it runs, with the reader's files in it."""
    place = tmp_path_factory.mktemp("readme")
    (place / "examples.jsonl").write_text('{"question": "1 + 1?", "answer": "The answer is 2."}\n')
    return place


@pytest.fixture(scope="module")
def namespace() -> dict[str, Any]:
    """What the blocks before have defined."""
    return {"__name__": "readme"}


@pytest.fixture
def timed(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Prints how long the test took, where the tests' log shows it, and fails where that is not "in
    seconds"."""
    began, used = time.perf_counter(), time.process_time()
    yield
    wall, cpu = time.perf_counter() - began, time.process_time() - used
    with capsys.disabled():
        print(
            f"\nREADME {request.node.name}: {wall:.1f} s ({cpu:.1f} s of processor time)", end=" "
        )
    assert cpu < MOST


def test_there_is_something_to_run() -> None:
    assert len(BLOCKS) >= 10 and len(COMMANDS) >= 10


def test_only_what_an_engine_runs_is_left_out() -> None:
    left_out = re.findall(r"^```python (.*)\n(.*)\n", README, flags=re.MULTILINE)
    assert len(left_out) == 2 and README.count("```python") == len(BLOCKS) + 2
    for mark, line in left_out:
        assert mark == "not-run-by-the-tests" and re.match(
            r'lm = motes.load_lm\("(vllm:|http:)', line
        )


@pytest.mark.usefixtures("timed")
@pytest.mark.parametrize("number", range(FIRST))
def test_first_block(
    number: int, namespace: dict[str, Any], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    run_block(number, BLOCKS[number], namespace)


@pytest.mark.slow
def test_every_block_as_it_stands(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {"__name__": "readme"}
    for number, block in enumerate(BLOCKS):
        used = time.process_time()
        run_block(number, block, names)
        assert time.process_time() - used < MOST, number


def run_block(number: int, block: str, namespace: dict[str, Any]) -> None:
    exec(compile(block, f"block {number} of README.md", "exec"), namespace)


def shorter(text: str) -> str:
    for long, short in SHORTER.items():
        text = text.replace(long, short)
    return text


@pytest.mark.usefixtures("timed")
@pytest.mark.long(
    quick=[str(n) for n, command in enumerate(COMMANDS) if not any(map(command.count, LONG))],
    rest="slow",
)
@pytest.mark.parametrize("number", range(len(COMMANDS)))
def test_command(
    number: int, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each command, with the pocket where the reader's own model stands; "> FILE" keeps what it
    printed."""
    monkeypatch.chdir(folder)
    load = motes.models.load_lm
    monkeypatch.setattr(
        motes.models,
        "load_lm",
        lambda source, **options: load(source.replace(OWN_MODEL, "pocket"), **options),
    )
    monkeypatch.setattr(motes.models, "check_source", lambda source: None)
    command = shlex.split(shorter(COMMANDS[number]))
    words = [QUESTION if word.endswith("...") else word for word in command]
    kept = Path(words.pop()) if ">" in words else None
    words = [word for word in words if word != ">"]
    assert main(words[1:]) == 0
    out = capsys.readouterr().out
    assert out
    if kept is not None:
        kept.write_text(out)
