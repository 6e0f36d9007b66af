"""Where a program runs: alone on NumPyro's stack of handlers, with roots that all of a run share.

NumPyro has one stack of handlers for the whole process. A program that a sampler runs must see none
of those that its caller may have entered, and must have left its own before a language model is
asked (when another run may go on in another thread).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

from numpyro import primitives

from ...models import LanguageModel, Trajectory, calls

Roots: TypeAlias = "dict[tuple[int, str], tuple[LanguageModel, Trajectory]]"
"""Trajectories without steps, by language model and question."""

_present: list[Roots] = []


@contextmanager
def alone(roots: Roots) -> Iterator[None]:
    """Run what is inside without handlers from outside, with these roots; new roots are added."""
    stack: list[Any] = primitives._PYRO_STACK
    outside = stack[:]
    stack.clear()
    _present.append(roots)
    try:
        yield
    finally:
        _present.pop()
        stack[:] = outside


def rooted(lm: LanguageModel, question: str) -> Trajectory:
    """Give the run's trajectory without steps for this question; a new one outside of runs."""
    if not _present:
        return calls.start(lm, question)
    roots = _present[-1]
    if (id(lm), question) not in roots:
        roots[id(lm), question] = lm, calls.start(lm, question)
    return roots[id(lm), question][1]
