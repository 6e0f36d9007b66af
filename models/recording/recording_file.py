"""The file of a recording: a first line that says of which model, then a line for each answer.

A line names its request by a digest of everything that the answer may depend on: the question, the
steps before, the random key of the slot, the laws. What was asked in one batch stands in as many
lines as the batch had rows, each with its share of the cost, so that a recording can be read back
in batches of any size. A name that ends in ".gz" is compressed.
"""

from __future__ import annotations

import gzip
import io
import json
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

from ..cost import Cost
from ..opening import Opening
from ..sampling import Sampling
from ..step_rule import StepRule, Thinking
from ..trajectory import Trajectory

FORMAT = 1
COUNTERS = [field.name for field in fields(Cost) if not field.name.endswith("seconds")]


class Entry(NamedTuple):
    """One answer.

    Attributes:
        asked: the method that was asked.
        request: the digest of what it was asked, see `request`.
        answer: what it gave, as JSON has it.
        cost: the counters of `Cost` that fall to this answer; those that are 0 may be left out.
    """

    asked: str
    request: str
    answer: Any
    cost: dict[str, int]


class Damaged(ValueError):
    """A file is not a recording, or a line of it cannot be read.

    Example:
        >>> import tempfile
        >>> from motes.models import replayed
        >>> path = Path(tempfile.mkdtemp()) / "notes.txt"
        >>> _ = path.write_text("shopping list")
        >>> try:
        ...     replayed(path)
        ... except Damaged as error:
        ...     print(str(error).partition(" is ")[2])
        not a recording: its first line does not say of what
    """


def request(asked: str, trajectory: Trajectory, *rest: Any) -> str:
    """Return the digest of a request about a trajectory.

    Args:
        asked: the method.
        trajectory: the row's.
        rest: whatever else the answer may depend on, as JSON has it.
    """
    steps = [[node.step_text, node.step_token_ids] for node in trajectory.path]
    state = [trajectory.finished, trajectory.truncated, trajectory.answer]
    opening = [trajectory.opening] if trajectory.opening != Opening() else []
    said = json.dumps([asked, trajectory.question, *opening, steps, state, *rest])
    return blake2b(said.encode(), digest_size=12).hexdigest()


def law(sampling: Sampling | None) -> list[Any]:
    """Return a next-token law as JSON has it; None is the default law."""
    return list(asdict(sampling or Sampling()).values())


def rule_record(rule: StepRule | None) -> dict[str, Any] | None:
    """Return a step rule as JSON has it.

    Raises:
        ValueError: it has a predicate, which a file cannot hold.
    """
    if rule is None:
        return None
    if any(each.predicate is not None for each in rule.rules):
        raise ValueError(
            "a model whose steps end by a predicate cannot be recorded: a file holds no function"
        )
    record: dict[str, Any] = {
        "delimiter": rule.delimiter,
        "tokens": rule.tokens,
        "cap": rule.cap,
    }
    if rule.thinking is not None:
        fields_of = {"begin", "end", "max_tokens", "max_answer_tokens"}
        thinking = {name: getattr(rule.thinking, name) for name in sorted(fields_of)}
        record["thinking"] = {**thinking, "step": rule_record(rule.thinking.step)}
    return record


def rule_from(record: Mapping[str, Any] | None) -> StepRule | None:
    """Return the step rule that `rule_record` wrote down."""
    if record is None:
        return None
    thinking = record.get("thinking")
    if thinking is None:
        return StepRule(**record)
    inside = Thinking(**{**thinking, "step": rule_from(thinking["step"])})
    return StepRule(**{**record, "thinking": inside})


def shares(cost: Cost, rows: int) -> list[dict[str, int]]:
    """Return each row's part of what a batch has cost; whole numbers, which add up.

    Example:
        >>> shares(Cost(generated_tokens=5), 2)
        [{'generated_tokens': 2}, {'generated_tokens': 3}]
    """
    parts: list[dict[str, int]] = [{} for _ in range(rows)]
    for name in COUNTERS:
        total = getattr(cost, name)
        for i, part in enumerate(parts):
            share = total * (i + 1) // rows - total * i // rows
            if share:
                part[name] = share
    return parts


def begin(path: Path, header: Mapping[str, Any]) -> None:
    """Write the first line, or find it there already.

    Raises:
        ValueError: the file is the recording of another model.
        Damaged: it is no recording.
        OSError: the folder does not exist, or cannot be written to.
    """
    if not path.exists() or path.stat().st_size == 0:
        _append(path, [json.dumps(header)])
        return
    before = read_header(path)
    for part in ("role", "name", "mark", "digest"):
        if before[part] != header[part]:
            raise ValueError(
                f"{str(path)!r} is the recording of another model, the {before['role']} "
                f"{before['name']!r}: give each model a file of its own"
            )


def write(path: Path, entries: Sequence[Entry]) -> None:
    """Append the answers of one batch."""
    _append(path, [json.dumps(list(entry)) for entry in entries])


def read_header(path: Path) -> dict[str, Any]:
    """Return what the first line says.

    Raises:
        Damaged: it is not the first line of a recording, or one of a later format.
        OSError: the file cannot be read.
    """
    first = next(_lines(path), "")
    try:
        header = json.loads(first)
        written = header["motes recording"]
    except (ValueError, TypeError, KeyError):
        raise Damaged(
            f"{str(path)!r} is not a recording: its first line does not say of what"
        ) from None
    if written != FORMAT:
        raise Damaged(
            f"{str(path)!r} is a recording of format {written}, and this version of motes reads "
            f"{FORMAT}"
        )
    return header


def read_answers(path: Path) -> dict[str, deque[Entry]]:
    """Return the answers to each request, in the order in which they were given.

    A last line that was cut off, as when the process that wrote it was killed, is left out.

    Raises:
        Damaged: another line cannot be read; the message names it.
        OSError: the file cannot be read.
    """
    answers: dict[str, deque[Entry]] = {}
    lines = list(_lines(path))
    for number, line in enumerate(lines[1:], start=2):
        if not line.endswith("\n"):
            break
        try:
            entry = Entry(*json.loads(line))
        except (ValueError, TypeError):
            raise Damaged(f"line {number} of the recording {str(path)!r} cannot be read") from None
        answers.setdefault(entry.request, deque()).append(entry)
    return answers


def _append(path: Path, lines: Sequence[str]) -> None:
    text = "".join(f"{line}\n" for line in lines).encode()
    if path.suffix == ".gz":
        text = gzip.compress(text, mtime=0)  # compressed files put together are one compressed file
    with path.open("ab") as file:
        file.write(text)


def _lines(path: Path) -> Iterator[str]:
    """Yield the lines; those after which a compressed file is cut off are left out."""
    with path.open("rb") as file:
        text = io.TextIOWrapper(gzip.GzipFile(fileobj=file) if path.suffix == ".gz" else file)
        try:
            yield from text
        except EOFError:
            return
        except (gzip.BadGzipFile, UnicodeDecodeError):
            raise Damaged(f"{str(path)!r} is not a recording: it holds no text") from None
