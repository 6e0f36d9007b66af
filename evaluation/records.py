"""Results on disk: JSON lines, the first saying what is evaluated, then one for each run, as it ends.

A line is written whole or not at all, but for a machine that dies: then the last one may be torn. It is dropped when the file is taken up
again, and its run done again. Only a run of the same arguments takes a file up.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

FORMAT = 1
SHORT = 60  # characters of an argument that an error quotes


@dataclass(frozen=True, kw_only=True)
class Record:
    """What one sampler made of one problem.

    Attributes:
        problem: its number, from 0.
        question: the first 16 hexadecimal digits of the SHA-256 of the question.
        right_answer: as the problem states it.
        sampler: the method, by its name in `samplers`.
        arm: the number of method and budget, from 0, in the order of `samplers`.
        settings: of the sampler, in plain values.
        seed: of the run: `motes.solve(question, sampler=..., seed=tuple(seed), ...)` repeats it.
        answer: the most probable one; None where none was stated, or all particles died.
        probability: of the answer; 0 where there is none.
        right_probability: of all answers that are right.
        right: whether the answer is.
        tokens: generated, by language models, those of dead particles included.
        cost: everything that was computed, as `motes.models.Cost` counts it: what falls to this run in the batches it shared, so that all
            but generated tokens depends on the company.
        log_evidence: nats; None of chains, and where all particles died.
        ess: the last effective sample size; None where it is not defined, or all particles died.
        seconds: from the run's beginning to its end, in which others were worked on too.
        versions: of motes and what it computes with.
        error: that all particles died, and at which step; None where a posterior came back. Such a run counts as wrong.
    """

    problem: int
    question: str
    right_answer: str
    sampler: str
    arm: int
    settings: dict[str, Any]
    seed: list[int]
    answer: str | None
    probability: float
    right_probability: float
    right: bool
    tokens: int
    cost: dict[str, Any]
    log_evidence: float | None
    ess: float | None
    seconds: float
    versions: dict[str, str]
    error: str | None

    @property
    def place(self) -> tuple[int, int]:
        """The numbers of problem and arm, of which there is one record."""
        return self.problem, self.arm


def check_results(path: Any) -> Path:
    """The path. Raises TypeError or FileNotFoundError where no file can be."""
    if not isinstance(path, str | os.PathLike) or not str(path):
        raise TypeError(f"results must be the path of a file, not {path!r}")
    if not Path(path).parent.is_dir():
        raise FileNotFoundError(f"results needs a folder that exists, and {str(Path(path).parent)!r} does not")
    return Path(path)


def read(path: Path) -> tuple[dict[str, Any], list[Record], int] | None:
    """What is evaluated, the records, and how many bytes of the file they take; None where there is no file, or nothing in it.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is something else; the message names the line.
    """
    if not path.exists() or not (content := path.read_bytes()):
        return None
    lines = content.split(b"\n")
    torn = lines.pop()  # "" behind the last line, if that is whole
    parsed = [_parsed(line) for line in lines]
    if not parsed or parsed[0].get("motes evaluation") != FORMAT:
        raise ValueError(f"results: {str(path)!r} is not a file of results of this version of motes")
    records: dict[tuple[int, int], Record] = {}
    for number, line in enumerate(parsed[1:], start=2):
        try:
            record = Record(**line)
        except TypeError:
            raise ValueError(f"results: line {number} of {str(path)!r} is not a record") from None
        records.setdefault(record.place, record)
    return parsed[0], list(records.values()), len(content) - len(torn)


def begin(path: Path, header: Mapping[str, Any]) -> None:
    """Write a file that says what is evaluated, and nothing else; all of it or nothing. Raises OSError where it cannot be written."""
    handle, partial = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(_line({"motes evaluation": FORMAT, **header}))
        os.replace(partial, path)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise


def check_same(path: Path, there: Mapping[str, Any], here: Mapping[str, Any]) -> None:
    """Raise ValueError where a file's arguments are not these."""
    here = json.loads(json.dumps(here))
    for name in here:
        if there.get(name) != here[name]:
            told = [repr(value) for value in (there.get(name), here[name])]
            how = f"its {name} is {told[0]}, not {told[1]}" if max(map(len, told)) <= SHORT else f"its {name} differs"
            raise ValueError(f"results: {str(path)!r} holds an evaluation of other arguments: {how}")


@contextmanager
def appending(path: Path, size: int) -> Iterator[Callable[[Record], None]]:
    """Gives a function that adds a record to a file, in one write, behind its first `size` bytes and what it has added since.

    Raises:
        OSError: that cannot be done; a torn last line is left at worst.
    """
    with open(path, "r+b", buffering=0) as file:
        file.truncate(size)
        file.seek(size)

        def add(record: Record) -> None:
            line = _line(asdict(record))
            if file.write(line) != len(line):
                raise OSError(f"results: no room for a record in {str(path)!r}")

        yield add


def _line(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content).encode() + b"\n"


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        content = json.loads(line)
    except (UnicodeDecodeError, json.JSONDecodeError):
        return {}
    return content if isinstance(content, dict) else {}
