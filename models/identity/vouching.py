"""What is said where a file would have to know again what cannot be known from outside."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

from .marks import Mark

MOST = 3  # doubts that a sentence lists


def check_vouched(marks: Mapping[str, Mark], keeper: str, stacklevel: int = 2) -> None:
    """Ask for a name where it has to stand for what cannot be compared, and say that it does.

    Args:
        marks: by the argument's name.
        keeper: what the marks are kept in: "checkpoint", or "results".
        stacklevel: as `warnings.warn` takes it, from the caller on.

    Raises:
        ValueError: a value cannot be known in full and has no attribute `name`.

    Warns:
        RuntimeWarning: a value cannot be known in full, and its name is taken on trust.
    """
    for argument, mark in marks.items():
        if not mark.doubts:
            continue
        doubts = "; ".join(mark.doubts[:MOST]) + ("; ..." if len(mark.doubts) > MOST else "")
        if mark.name is None:
            raise ValueError(
                f"{keeper} cannot tell whether {argument} is the same when it is taken up: it "
                "holds what cannot be "
                f"compared ({doubts}); give it an attribute `name`, a text that you change "
                "whenever what it does changes"
            )
        warnings.warn(
            f"{keeper} takes your word that {argument}={mark.name!r} does the same whenever it "
            "has this name, since it "
            f"holds what cannot be compared ({doubts}); an attribute `fingerprint`, a text that "
            "changes with what it "
            "does, says so without this warning",
            RuntimeWarning,
            stacklevel=stacklevel + 1,
        )
