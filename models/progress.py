"""What a language model tells of a step while it is writing it.

A step of a large model takes seconds or minutes, in which a run's own progress bar stands still. A
model that can tell how far it is has the method `tell`, and `listening` asks it to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, Protocol, TypeAlias, runtime_checkable

from .protocols import LanguageModel


class Drawn(NamedTuple):
    """How far a batch of steps is.

    Attributes:
        rows: steps of the batch that are still being written.
        column: tokens that each of these has so far, from 1.
        longest: the most tokens that a step may have.
        room: the most tokens that the model's context holds behind the prompt and what was written
            before.
    """

    rows: int
    column: int
    longest: int
    room: int


Listener: TypeAlias = Callable[[Drawn], None]


@runtime_checkable
class TellsProgress(Protocol):
    """A language model that tells how far it is within a step."""

    def tell(self, listener: Listener | None) -> Listener | None:
        """Tell this function of each token from now on, None for nobody.

        Return who was told before.
        """
        ...


@contextmanager
def listening(lm: LanguageModel, listener: Listener) -> Iterator[bool]:
    """Have a language model tell this function of each token, as long as the block lasts.

    Args:
        lm: the language model; one that has no method `tell` tells nothing.
        listener: called with a `Drawn` behind every token that a batch has drawn.

    Yields:
        Whether the model tells anything.

    Example:
        >>> from motes.models import TableLM
        >>> with listening(TableLM(lambda prefix: [1.0]), print) as told:
        ...     print(told)
        False
    """
    if not isinstance(lm, TellsProgress):
        yield False
        return
    before = lm.tell(listener)
    try:
        yield True
    finally:
        lm.tell(before)
