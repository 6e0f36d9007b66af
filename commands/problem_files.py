"""Problems and examples in JSON Lines: a JSON object a line."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def read_rows(path: Path, option: str) -> list[dict[str, Any]]:
    """Return the objects in a file of JSON Lines; "-" is standard input. Empty lines are left out.

    Args:
        path: the file.
        option: what an error calls it.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not in UTF-8, a line is no JSON object, or there is none.
    """
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"{option}: {str(path)!r} is not JSON Lines in UTF-8") from None
    rows = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            row = None
        if not isinstance(row, dict):
            raise ValueError(
                f"{option}: line {number} of {str(path)!r} is not a JSON object: {line:.60}"
            )
        rows.append(row)
    if not rows:
        raise ValueError(f"{option}: {str(path)!r} has no line")
    return rows
