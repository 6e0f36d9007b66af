"""Results on disk: JSON lines, of which the first says what is evaluated, then one a run.

A file belongs to the arguments that decide what a run's result is: models, target, seed, and so on.
It may grow in everything else: problems, samplers and repeats, which a line of its own says (a
plan).

A line is written whole or not at all, but for a machine that dies, a full disk, or somebody who
edits. Lines that are no records, or of the wrong types, are passed over: their runs are done again,
and no others. One process at a time writes to a file.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import IO, Any, NamedTuple

from ..files import locked
from .arms import Arm, arm_key
from .plan import Asked, Key, Plan, read_plan
from .records import Record, read_record

FORMAT = 3
KIND = "motes evaluation"
SOURCES = "sources"
SHORT = 60  # characters of an argument that an error quotes


class Contents(NamedTuple):
    """What a file of results holds.

    Attributes:
        arguments: what decides the runs' results; None where that line is damaged.
        sources: where models came from that were given by a name, by argument.
        evaluation: the digest of the arguments.
        plan: all that is to be done, by its plans and its records.
        records: by what they are of.
        size: how many bytes its whole lines take.
        damaged: the numbers of lines that could not be read, from 1.
    """

    arguments: dict[str, Any] | None
    sources: dict[str, str]
    evaluation: str
    plan: Plan
    records: dict[Key, Record]
    size: int
    damaged: tuple[int, ...]

    @property
    def missing(self) -> int:
        """How many runs of its plan are not done."""
        return sum(key not in self.records for key in self.plan.keys().values())


def check_results(path: object) -> Path:
    """Return the path. Raises TypeError or FileNotFoundError where no file can be."""
    if not isinstance(path, str | os.PathLike) or not str(path):
        raise TypeError(f"results must be the path of a file, not {path!r}")
    if not Path(path).parent.is_dir():
        raise FileNotFoundError(
            f"results needs a folder that exists, and {str(Path(path).parent)!r} does not"
        )
    return Path(path)


def read(path: Path) -> Contents | None:
    """Return what a file holds; None where there is no file, or nothing in it.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is something else.
    """
    if not path.exists():
        return None
    return _read(path, path.read_bytes())


def digest_of(arguments: Mapping[str, Any]) -> str:
    """Return what tells these arguments from others, in 16 hexadecimal digits."""
    return sha256(json.dumps(arguments, sort_keys=True).encode()).hexdigest()[:16]


def check_same(path: Path, contents: Contents, arguments: Mapping[str, Any]) -> None:
    """Raise ValueError where a file's arguments are not these."""
    here = json.loads(json.dumps(arguments))
    if contents.arguments is None:
        if contents.evaluation != digest_of(arguments):
            raise ValueError(
                f"results: the first line of {str(path)!r} is damaged, and its records are of "
                "other arguments"
            )
        return
    for name in here:
        if contents.arguments.get(name) != here[name]:
            raise _other(path, name, contents.arguments.get(name), here[name])


def check_source(path: Path, contents: Contents, name: str, source: str) -> None:
    """Raise ValueError where a file's model of this name came from another source."""
    if contents.sources[name] != source:
        raise _other(path, name, contents.sources[name], source)


def _other(path: Path, name: str, there: object, here: object) -> ValueError:
    """Return the error that an argument is another in the file; values where they are short."""
    if max(len(repr(there)), len(repr(here))) <= SHORT:
        how = f"its {name} is {there!r}, not {here!r}"
    else:
        how = f"its {name} differs"
    return ValueError(f"results: {str(path)!r} holds an evaluation of other arguments: {how}")


class Writer:
    """A file of results that is being written to.

    Attributes:
        contents: what it held when it was opened.
    """

    def __init__(self, path: Path, file: IO[bytes], contents: Contents) -> None:
        self.contents, self._path, self._file, self._size = contents, path, file, contents.size
        file.truncate(contents.size)  # a torn last line

    def add(self, record: Record) -> None:
        """Add a record. Raises OSError where there is no room for it."""
        self.write(asdict(record))

    def write(self, content: Mapping[str, Any]) -> None:
        """Add a line, in one write."""
        line = json.dumps(content).encode() + b"\n"
        written = self._file.write(line)
        if written != len(line):
            self._file.truncate(self._size)
            raise OSError(f"results: no room for a record in {str(self._path)!r}")
        self._size += len(line)


@contextmanager
def writing(
    path: Path, arguments: Mapping[str, Any], sources: Mapping[str, str], plan: Plan
) -> Iterator[Writer]:
    """Open a file of results to add to; it is begun where it is not there, and grown to the plan.

    Args:
        path: of the file.
        arguments: what decides the runs' results.
        sources: where models came from that were given by a name, by argument.
        plan: all that is to be done.

    Raises:
        BlockingIOError: another evaluation is writing to it.
        OSError: it cannot be written.
        ValueError: it is something else, or of other arguments.
    """
    with _locked(path) as file:
        evaluation = digest_of(arguments)
        nothing = Contents(None, {}, evaluation, Plan((), (), 1), {}, 0, ())
        contents = _read(path, path.read_bytes()) or nothing
        check_same(path, contents, arguments)
        writer = Writer(path, file, contents)
        whole = contents.plan.and_also(plan)
        if contents.arguments is None:
            first = {KIND: FORMAT, **arguments, SOURCES: sources, "plan": whole.as_plain()}
            writer.write(first)
        elif whole != contents.plan:
            writer.write({"plan": whole.as_plain(), "evaluation": evaluation})
        yield writer


def warn_of_damage(path: Path, contents: Contents, stacklevel: int = 2) -> None:
    """Say that lines were passed over, where runs are missing."""
    if contents.damaged and contents.missing:
        count, first = len(contents.damaged), contents.damaged[0]
        lines = f"line {first} is" if count == 1 else f"{count} lines, from line {first} on, are"
        warnings.warn(
            (
                f"results: {lines} damaged in {str(path)!r}; whatever runs stood there are "
                "missing, "
                "and no others"
            ),
            RuntimeWarning,
            stacklevel=stacklevel + 1,
        )


@contextmanager
def _locked(path: Path) -> Iterator[IO[bytes]]:
    try:
        lock = locked(path)
        file = lock.__enter__()
    except BlockingIOError:
        raise BlockingIOError(
            f"results: another evaluation is writing to {str(path)!r}: wait until it has ended, "
            "or give another file"
        ) from None
    try:
        yield file
    finally:
        lock.__exit__(None, None, None)


def _read(path: Path, content: bytes) -> Contents | None:
    start = f'{{"{KIND}": '.encode()
    *lines, torn = content.split(b"\n")  # b"" after the last line, if that is whole
    if not lines and (torn.startswith(start) or start.startswith(torn)):
        return None  # nothing, or a first line that was not finished
    parsed = [_parsed(line) for line in lines]
    formats = {line[KIND] for line in parsed if KIND in line}
    records = [read_record(line) for line in parsed]
    if formats - {FORMAT} or not (formats or any(records)):
        raise ValueError(
            f"results: {str(path)!r} is not a file of results of this version of motes"
        )
    first = next((line for line in parsed if KIND in line), None)
    if first is not None:
        arguments, sources = _arguments(first), _sources(first)
        evaluation = digest_of(arguments)
    else:
        arguments, sources = None, {}
        evaluation = next(filter(None, records)).evaluation

    plan, found, damaged = Plan((), (), 1), {}, []
    for number, (line, record) in enumerate(zip(parsed, records, strict=True), start=1):
        own = read_plan(line.get("plan"))
        if record is not None and record.evaluation == evaluation:
            found.setdefault(record.key, record)
        elif own is not None and line.get("evaluation", evaluation) == evaluation:
            plan = plan.and_also(own)
        else:
            damaged.append(number)
    size = len(content) - len(torn)
    return Contents(arguments, sources, evaluation, _with(plan, found), found, size, tuple(damaged))


def _arguments(line: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in line.items() if name not in (KIND, SOURCES, "plan")}


def _sources(line: Mapping[str, Any]) -> dict[str, str]:
    """Return the sources that a first line names; a line that somebody edited may name none."""
    sources = line.get(SOURCES)
    return sources if isinstance(sources, dict) else {}


def _with(plan: Plan, records: Mapping[Key, Record]) -> Plan:
    """Return the plan with all that there are records of; a file's own plan may be damaged."""
    problems, arms = dict.fromkeys(plan.problems), {arm.key: arm for arm in plan.arms}
    repeats = plan.repeats
    for record in records.values():
        problems.setdefault(Asked(record.question, record.right_answer, record.copy))
        arms.setdefault(
            arm_key(record.sampler, record.settings), Arm(record.sampler, "", record.settings)
        )
        repeats = max(repeats, record.repeat + 1)
    return Plan(tuple(problems), tuple(arms.values()), repeats)


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        content = json.loads(line.strip(b"\0 \r\t"))  # zeros are what a disk had not yet written
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
