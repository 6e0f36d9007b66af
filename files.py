"""Files that are whole or not there, and locks on files that grow.

A program may be stopped, or a disk may be full, at any byte. What is replaced is therefore written
beside its place first, and moved there in one step when it is complete. What grows by appending
is locked by the process that appends.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a place to write to, which becomes the file when all is written.

    Where an error ends the block, the file stays as it was. What was written may be a folder.

    Args:
        path: the file or folder to be replaced, or made. A symbolic link is followed.

    Yields:
        A path of the same name in a temporary folder beside the file.

    Raises:
        OSError: the folder does not exist, or cannot be written to.

    Example:
        >>> import tempfile
        >>> place = Path(tempfile.mkdtemp()) / "note.txt"
        >>> with replacing(place) as partial:
        ...     _ = partial.write_text("all of it")
        >>> place.read_text()
        'all of it'
    """
    whole = Path(path).resolve()
    with tempfile.TemporaryDirectory(prefix=f".{whole.name}.", dir=whole.parent) as folder:
        partial = Path(folder) / whole.name
        yield partial
        if partial.is_file():
            _flush(partial)
        if whole.is_dir() and partial.is_dir():  # only an empty folder can be replaced in one step
            whole.replace(Path(folder) / "before")
        partial.replace(whole)


@contextmanager
def locked(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """Open a file to be read and appended to by nobody else; it is made where it is not there.

    The lock is `flock`'s: it is given back when the process ends, however that happens, and holds
    on one machine. Systems without it (Windows) do not lock.

    Raises:
        BlockingIOError: another process, or another part of this one, holds the lock.
        OSError: the file cannot be opened for writing.
    """
    with open(path, "a+b", buffering=0) as file:
        try:
            from fcntl import LOCK_EX, LOCK_NB, flock
        except ImportError:
            yield file
            return
        flock(file, LOCK_EX | LOCK_NB)
        yield file


def _flush(path: Path) -> None:
    """Have the system write a file to its disk, so that the move cannot come first."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())
