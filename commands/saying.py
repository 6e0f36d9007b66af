"""What commands say on stderr, and whether a file can be written."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def failed(error: Exception, status: int) -> int:
    """Say in one sentence what went wrong, and return the exit status."""
    print(f"motes: error: {sentence(error)}", file=sys.stderr)
    return status


def sentence(message: object) -> str:
    """Return a message on one line."""
    return " ".join(str(message).split())


def check_destination(name: str, path: Path) -> None:
    """Raise OSError where a file cannot be written there, before there is something to lose."""
    if path.is_dir():
        raise IsADirectoryError(f"{name} must be a file, and {str(path)!r} is a folder")
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"{name} needs a folder that exists, and {str(path.parent)!r} does not"
        )
    if not os.access(path.parent, os.W_OK):
        raise PermissionError(
            f"{name} needs a folder that can be written to, and {str(path.parent)!r} cannot"
        )
