"""Rows of tables in files: JSON Lines, JSON, Parquet, CSV."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def read_rows(path: Path, what: str) -> list[Row]:
    """Return the rows of a file, by what its name ends in; "-" is JSON Lines on standard input.

    Args:
        path: a file whose name ends in one of `FORMATS`; any other is taken for JSON Lines.
        what: what an error calls it.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not what its name says, or has no row.
        ModuleNotFoundError: Parquet cannot be read, since pyarrow is not installed.
    """
    reader = FORMATS.get(path.suffix.lower(), _json_lines)
    rows = reader(path, what)
    if not rows:
        raise ValueError(f"{what}: {str(path)!r} has no row")
    return rows


def read_text(path: Path, what: str) -> str:
    """Return a file's text; "-" is standard input.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not in UTF-8.
    """
    if str(path) == "-":
        return sys.stdin.read()
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{what}: {str(path)!r} is not a text in UTF-8") from None


def _json_lines(path: Path, what: str) -> list[Row]:
    rows = []
    for number, line in enumerate(read_text(path, what).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            row = None
        if not isinstance(row, dict):
            raise ValueError(
                f"{what}: line {number} of {str(path)!r} is not a JSON object: {line:.60}"
            )
        rows.append(row)
    return rows


def _json(path: Path, what: str) -> list[Row]:
    try:
        rows = json.loads(read_text(path, what))
    except json.JSONDecodeError as error:
        raise ValueError(f"{what}: {str(path)!r} is not JSON: {error}") from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError(f"{what}: {str(path)!r} is not a list of JSON objects")
    return rows


def _separated(path: Path, what: str) -> list[Row]:
    """Read a CSV file, or a TSV file by its name, whose first line has the names of the columns."""
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    lines = csv.DictReader(io.StringIO(read_text(path, what), newline=""), delimiter=delimiter)
    rows = []
    for number, row in enumerate(lines, start=1):
        if None in row or None in row.values():
            columns = len(lines.fieldnames or ())
            raise ValueError(
                f"{what}: row {number} of {str(path)!r} does not have the {columns} columns of "
                "its first line"
            )
        rows.append(row)
    return rows


def _parquet(path: Path, what: str) -> list[Row]:
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import read_table
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{what}: Parquet needs pyarrow: pip install 'motes[data]'"
        ) from error
    try:
        return read_table(path).to_pylist()
    except (ArrowException, ValueError) as error:
        raise ValueError(f"{what}: {str(path)!r} is not Parquet: {error}") from None


FORMATS: dict[str, Callable[[Path, str], list[Row]]] = {
    ".jsonl": _json_lines,
    ".json": _json,
    ".csv": _separated,
    ".tsv": _separated,
    ".parquet": _parquet,
}
