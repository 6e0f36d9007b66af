"""Which mathematical expressions mean the same, by math-verify (Kydlicek 2025), in a process of its own.

math-verify reads LaTeX with SymPy and compares two expressions numerically and symbolically. Some take for ever. Signals
could stop most of them, but work in a main thread only; nothing but a kill stops an integer power once it
has begun. A process apart has a main thread, can be killed, and keeps the noise out of the caller's log. It
starts when there is something to compare, which numbers and plain text are not (see `motes.ppl.answers`).

"Equal" is made an equivalence: every pair is compared both ways, and classes are the connected components, so that they
do not depend on order. Ordered tuples and intervals are compared with their like only: math-verify would
otherwise take (1, 2) and (2, 1) both for the set {1, 2}.

This file is also the program that the process runs, and so imports nothing of ours.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from functools import lru_cache
from itertools import combinations
from typing import Any
from zlib import crc32

EACH = 2.0  # seconds that reading or comparing may take, of processor time: results must not depend on how busy a machine is
ALL = 30  # seconds of processor time for everything; 20 times as much on the clock


def equivalence_classes(expressions: tuple[str, ...]) -> tuple[int, ...]:
    """Label expressions so that those that mean the same have the same label.

    Args:
        expressions: K different texts, in LaTeX or plain notation, without dollar signs.

    Returns:
        K labels: each is the index of the first expression of its class. Where math-verify cannot be run, or takes too
        long, every expression is its own class and a RuntimeWarning says so.
    """
    try:
        return _ask(expressions)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        late = isinstance(error, subprocess.TimeoutExpired) or getattr(error, "returncode", 0) == -getattr(signal, "SIGXCPU", 0)
        problem = f"took more than {ALL} s" if late else f"failed ({error})"
        message = f"math-verify {problem}: {len(expressions)} answers count as different unless their text is the same"
        warnings.warn(message, RuntimeWarning, stacklevel=3)
        return tuple(range(len(expressions)))


@lru_cache(maxsize=1024)
def _ask(expressions: tuple[str, ...]) -> tuple[int, ...]:
    command = [sys.executable, "-P", "-W", "ignore", __file__, str(ALL)]  # -P: no module of this folder may hide another of its name
    done = subprocess.run(command, input=json.dumps(expressions), capture_output=True, check=True, timeout=20 * ALL, encoding="utf-8")
    return tuple(json.loads(done.stdout))


def compare(expressions: Sequence[str]) -> list[int]:
    """What `equivalence_classes` returns, in this process: its main thread, and it may take for ever."""
    from math_verify import verify

    trees = [_limited(_read, text) for text in expressions]
    values = [_limited(_value, tree) for tree in trees]
    labels = list(range(len(expressions)))
    for i, j in combinations(range(len(expressions)), 2):
        if trees[i] is None or trees[j] is None or labels[i] == labels[j]:
            continue
        if _ordered(expressions[i]) != _ordered(expressions[j]) or _apart(values[i], values[j]):
            continue
        if any(_limited(verify, first, second, timeout_seconds=None) for first, second in ((trees[i], trees[j]), (trees[j], trees[i]))):
            first, second = sorted((labels[i], labels[j]))
            labels = [first if label == second else label for label in labels]
    return labels


def _read(text: str) -> Any:
    """The expression as SymPy has it; None if it cannot be read."""
    from math_verify import LatexExtractionConfig, parse

    # LaTeX only: math-verify's reader of plain expressions evaluates them as Python
    found = parse(f"${text}$", [LatexExtractionConfig()], fallback_mode="no_fallback", parsing_timeout=0)
    return found[0] if found else None


def _value(tree: Any) -> complex | None:
    """The value of a formula at a fixed, arbitrary point; None where it has none (sets, relations)."""
    from sympy import Expr

    if not isinstance(tree, Expr):
        return None
    return complex(tree.evalf(subs={symbol: 1 + crc32(str(symbol).encode()) / 2**32 for symbol in tree.free_symbols}))


def _apart(first: complex | None, second: complex | None) -> bool:
    """Whether two formulas have values too far apart to be equal, at which math-verify would look long."""
    return first is not None and second is not None and abs(first - second) > 1e-5 + 1e-9 * abs(first)


def _limited(function: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """What the function returns; None where it fails or takes more than `EACH` of the processor's time (where that can be measured)."""
    if hasattr(signal, "setitimer"):  # not on Windows
        signal.signal(signal.SIGPROF, _give_up)
        signal.setitimer(signal.ITIMER_PROF, EACH)
    try:
        return function(*args, **options)
    except (Exception, _TooLong):
        return None
    finally:
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_PROF, 0)


class _TooLong(BaseException):
    """Passes through libraries that catch every exception."""


def _give_up(*_: object) -> None:
    raise _TooLong


def _ordered(expression: str) -> bool:
    """Whether the expression is a tuple or an interval."""
    return "," in expression and expression[0] in "([" and expression[-1] in ")]"


def _limit_all(seconds: int) -> None:
    """Have the system end this process when it has used that much of the processor's time."""
    try:
        import resource
    except ImportError:  # Windows: the clock must do
        return
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))


if __name__ == "__main__":
    _limit_all(int(sys.argv[1]))
    with redirect_stdout(sys.stderr):  # what the libraries print is not the reply
        found = compare(json.load(sys.stdin))
    json.dump(found, sys.stdout)
