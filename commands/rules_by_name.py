"""Answer rules and constraints that a command line can name."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from ..models import Trajectory
from ..ppl.answers import Answer, stated

NUMBER = re.compile(r"-?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:/\d+)?")
REGEX = "regex:"


def last_number(trajectory: Trajectory) -> str | None:
    """Return the last number of a closed trajectory, without thousands separators; None for none.

    Example:
        >>> law = {"logprob": 0.0, "proposal_logprob": 0.0}
        >>> written = Trajectory(question="?").child("So 3 of 1,200.", (1,), **law)
        >>> last_number(written) is None, last_number(written.close(finished=True))
        (True, '1200')
    """
    found = [] if trajectory.open else NUMBER.findall(trajectory.answer_text)
    return found[-1].replace(",", "") if found else None


def last_line(trajectory: Trajectory) -> str | None:
    r"""Return the last line of a closed trajectory; None for none.

    Example:
        >>> law = {"logprob": 0.0, "proposal_logprob": 0.0}
        >>> written = Trajectory(question="?").child("First.\nyes \n", (1,), **law)
        >>> last_line(written.close(finished=True))
        'yes'
    """
    lines = [] if trajectory.open else trajectory.answer_text.split("\n")
    written = [line.strip() for line in lines if line.strip()]
    return written[-1] if written else None


BY_NAME: dict[str, Answer] = {"stated": stated, "last_number": last_number, "last_line": last_line}


def answer_rule(text: str) -> Answer:
    """Return the rule that a text names: a name of `BY_NAME`, regex:PATTERN, or module:function.

    A pattern's last match is the answer: its first group, or the whole of it where it has no group.

    Raises:
        ValueError: it names none.
    """
    if text in BY_NAME:
        return BY_NAME[text]
    if text.startswith(REGEX):
        pattern = _compiled("answer", text.removeprefix(REGEX))
        group = 1 if pattern.groups else 0

        def by_pattern(trajectory: Trajectory) -> str | None:
            found = list(pattern.finditer(trajectory.answer_text))
            return (found[-1][group] or "").strip() or None if found else None

        return by_pattern
    module, separator, name = text.partition(":")
    if not (separator and module and name):
        raise ValueError(
            f"answer must be one of {', '.join(BY_NAME)}, regex:PATTERN or module:function, "
            f"not {text!r}"
        )
    return _imported(module, name)


def reads_texts(text: str) -> bool:
    """Say whether the named rule reads the text of a solution, whoever wrote it.

    Of the default, `motes.evaluate` finds that out itself, and of others' functions nothing is
    known.
    """
    return text.startswith(REGEX) or (text in BY_NAME and text != "stated")


def constraint_rule(text: str) -> Callable[[Trajectory], bool]:
    """Return the constraint that a regular expression is found in a solution's text.

    Raises:
        ValueError: it is no regular expression.
    """
    pattern = _compiled("constraint", text)
    return lambda trajectory: pattern.search(trajectory.text) is not None


def _compiled(option: str, pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ValueError(
            f"{option} must be a regular expression, and {pattern!r} is none: {error}"
        ) from None


def _imported(module: str, name: str) -> Any:
    """Find a function of a module, which may be in the folder where the command runs."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found = getattr(import_module(module), name, None)
    except ImportError as error:
        raise ValueError(f"answer cannot be had from the module {module!r}: {error}") from None
    if not callable(found):
        raise ValueError(
            f"answer needs a function {name!r} in the module {module!r}, which has none"
        )
    return found
