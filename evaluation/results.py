"""Results of an evaluation: what was run, and figures of it as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from .arms import Arm
from .records import Record


@dataclass(frozen=True, eq=False)
class Results:
    """Results of K arms (methods at their budgets) on I problems.

    Attributes:
        arms: K of them, in order.
        problems: I, how many there are to be.
        records: one for each run that is done, by problem, arm and repeat.
        repeats: R, how many runs each arm is to have on each problem.
    """

    arms: tuple[Arm, ...]
    problems: int
    records: tuple[Record, ...]
    repeats: int = 1

    @property
    def complete(self) -> bool:
        """Whether every run is done."""
        return len(self.records) == self.problems * len(self.arms) * self.repeats

    @property
    def methods(self) -> list[str]:
        """Names of the methods, in order."""
        return list(dict.fromkeys(arm.name for arm in self.arms))

    @cached_property
    def whole(self) -> tuple[int, ...]:
        """Numbers of the I' problems that every arm is done with.

        Figures are of these alone, so that all arms face the same problems.
        """
        done = np.bincount([record.problem for record in self.records], minlength=self.problems)
        return tuple(np.flatnonzero(done == len(self.arms) * self.repeats).tolist())

    @cached_property
    def right(self) -> np.ndarray:
        """How many of each arm's R runs were right, shape (I', K), int64."""
        return self._runs("right").astype(np.int64).sum(axis=2)

    @cached_property
    def tokens(self) -> np.ndarray:
        """Tokens generated, mean over R runs, shape (I', K), float64."""
        return self._runs("tokens").astype(np.float64).mean(axis=2)

    @cached_property
    def seconds(self) -> np.ndarray:
        """Seconds that a run took, mean over R runs, shape (I', K), float64."""
        return self._runs("seconds").astype(np.float64).mean(axis=2)

    @cached_property
    def dead(self) -> np.ndarray:
        """In how many of R runs all particles died, shape (I', K), int64."""
        return (self._runs("error") != np.array(None)).sum(axis=2)

    def _runs(self, name: str) -> np.ndarray:
        """Return an attribute of the records, shape (I', K, R)."""
        rows = {number: row for row, number in enumerate(self.whole)}
        values: Any = np.full((len(rows), len(self.arms), self.repeats), None, object)
        for record in self.records:
            if record.problem in rows:
                values[rows[record.problem], record.arm, record.repeat] = getattr(record, name)
        return values
