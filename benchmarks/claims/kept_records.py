"""Keep the records of a claim: one compressed file, written whole or not at all."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

from motes.files import replacing


def write(path: Path, records: dict[str, Any]) -> None:
    """Write the records; equal records give equal bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    said = json.dumps(records, separators=(",", ":"), sort_keys=True).encode()
    with replacing(path) as partial:
        partial.write_bytes(gzip.compress(said, mtime=0))


def read(path: Path) -> dict[str, Any]:
    """Return the records of a file."""
    return json.loads(gzip.decompress(path.read_bytes()))
