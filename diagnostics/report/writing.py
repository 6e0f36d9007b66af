"""Writing a report: all of it or nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from ...files import replacing
from ...ppl.posterior.posterior import Posterior
from .page import page

T = TypeVar("T")


def report(posterior: Posterior, path: str | os.PathLike[str]) -> Path:
    """Write the report of a posterior to an HTML file, all of it or nothing.

    It replaces a file that is there.

    Args:
        posterior: of any sampler. Where it has an attribute `runs`, posteriors of independent runs,
            their evidence is shown together.
        path: of the file.

    Returns:
        The path.

    Raises:
        TypeError: it is not a posterior.
        OSError: the file cannot be written.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import motes
        >>> from motes.models import TableLM
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> posterior = motes.solve("?", lm=lm, prm=None, particles=4, max_steps=4)
        >>> report(posterior, Path(tempfile.mkdtemp()) / "report.html").name
        'report.html'
    """
    if not isinstance(posterior, Posterior):
        raise TypeError(f"posterior must be a motes Posterior, not {type(posterior).__name__}")
    return written(page, posterior, path)


def written(make: Callable[[T], str], of: T, path: str | os.PathLike[str]) -> Path:
    """Write what a function makes of something to a file, all of it or nothing.

    Raises:
        OSError: the file cannot be written, which is said before anything is made.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"path must be a file, and {str(path)!r} is a folder")
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"path needs a folder that exists, and {str(path.parent)!r} does not"
        )
    text = make(of)
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")
    return path
