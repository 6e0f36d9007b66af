"""A clock that counts what falls to one of several runs that share their batches.

Runs that go together (`motes.models.run_batched`) take turns. The time of a turn falls to the run
whose turn it is, and the time of a batch to those who asked, in proportion to their rows. So the
seconds of all runs add up to the time that passed, and a run's own are comparable to those it would
take alone. Outside such runs the clock is an ordinary one.
"""

from __future__ import annotations

import time
from contextvars import ContextVar


class OwnTime:
    """The clock of one run, which stands still while it waits."""

    def __init__(self) -> None:
        self._seconds, self._since = 0.0, 0.0
        self._waits = True

    def go_on(self) -> None:
        """Begin the run's turn."""
        self._since, self._waits = time.perf_counter(), False

    def wait(self) -> None:
        """End the run's turn."""
        self._seconds, self._waits = self.seconds, True

    def add(self, seconds: float) -> None:
        """Add what falls to the run of work that was done for several."""
        self._seconds += seconds

    @property
    def seconds(self) -> float:
        """What has fallen to the run so far."""
        return self._seconds if self._waits else self._seconds + time.perf_counter() - self._since


CLOCK: ContextVar[OwnTime | None] = ContextVar("motes_own_time", default=None)


def own_seconds() -> float:
    """Return the seconds that fall to the present run; only their differences mean anything.

    Example:
        >>> began = own_seconds()
        >>> own_seconds() >= began
        True
    """
    clock = CLOCK.get()
    return time.perf_counter() if clock is None else clock.seconds
