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
        records: one for each run that is done, by problem and arm.
    """

    arms: tuple[Arm, ...]
    problems: int
    records: tuple[Record, ...]

    @property
    def complete(self) -> bool:
        """Whether every run is done."""
        return len(self.records) == self.problems * len(self.arms)

    @property
    def methods(self) -> list[str]:
        """Names of the methods, in order."""
        return list(dict.fromkeys(arm.name for arm in self.arms))

    @cached_property
    def whole(self) -> tuple[int, ...]:
        """Numbers of the I' problems that every arm is done with. Figures are of these alone, so that all arms face the same problems."""
        done = np.bincount([record.problem for record in self.records], minlength=self.problems)
        return tuple(np.flatnonzero(done == len(self.arms)).tolist())

    @cached_property
    def right(self) -> np.ndarray:
        """Whether each arm was right, shape (I', K), bool."""
        return self._column("right").astype(bool)

    @cached_property
    def tokens(self) -> np.ndarray:
        """Tokens generated, shape (I', K), int64."""
        return self._column("tokens").astype(np.int64)

    @cached_property
    def dead(self) -> np.ndarray:
        """Whether all particles died, shape (I', K), bool."""
        return self._column("error") != np.array(None)

    def _column(self, name: str) -> np.ndarray:
        places = {number: row for row, number in enumerate(self.whole)}
        values: Any = np.full((len(places), len(self.arms)), None, object)
        for record in self.records:
            if record.problem in places:
                values[places[record.problem], record.arm] = getattr(record, name)
        return values
