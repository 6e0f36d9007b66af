"""What an evaluation has found: its records, and what can be made of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .arms import Arm
from .records import Record, read
from .scaling import Priors

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .accuracy_table import Table
    from .scaling_fit import ScalingFit


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Results of K arms (methods at their budgets) on I problems.

    Attributes:
        arms: K of them, in order.
        problems: I, how many there are to be.
        records: one for each run that is done, by problem and arm.
    """

    arms: tuple[Arm, ...]
    problems: int
    records: tuple[Record, ...]

    @classmethod
    def load(cls, path: str | Path) -> Evaluation:
        """Read a file of results, as far as it goes.

        Raises:
            OSError: it cannot be read.
            ValueError: it is something else.
        """
        if (there := read(Path(path))) is None:
            raise FileNotFoundError(f"no results at {str(path)!r}")
        header, records, _ = there
        ordered = tuple(sorted(records, key=lambda record: record.place))
        return cls(tuple(Arm(**arm) for arm in header["samplers"]), header["problems"], ordered)

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

    def table(self) -> Table:
        """Accuracy and mean tokens by method and budget; see `motes.evaluation.accuracy_table`."""
        from .accuracy_table import tabulated

        return tabulated(self)

    def fit(self, seed: int = 0, *, priors: Priors = Priors(), chains: int = 4, warmup: int = 1000, draws: int = 1000) -> ScalingFit:
        """Fit the hierarchical model of accuracy against tokens by NUTS; see `motes.evaluation.scaling`.

        Args:
            seed: of everything random, in [0, 2**32).
            priors: of the model.
            chains: C, at least 1; they run as one vectorised computation.
            warmup: steps of adaptation of a chain, at least 1.
            draws: S of a chain, at least 1.

        Raises:
            TypeError, ValueError: an argument is not of its kind, or out of its range; no problem is done, or tokens were not counted.

        Warns:
            RuntimeWarning: with what `ScalingFit.check()` says, if anything.
        """
        from .fit import fit

        return fit(self, seed=seed, priors=priors, chains=chains, warmup=warmup, draws=draws)

    def plot(self, fit: ScalingFit | None = None, *, ax: Axes | None = None) -> Axes:
        """Accuracy against tokens; see `plot_accuracy`."""
        from .accuracy_plot import plot_accuracy

        return plot_accuracy(self, fit, ax=ax)

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()

    def __repr__(self) -> str:
        runs = self.problems * len(self.arms)
        return f"<Evaluation of {', '.join(self.methods)} on {self.problems} problems: {len(self.records)} of {runs} runs done>"

    def _column(self, name: str) -> np.ndarray:
        places = {number: row for row, number in enumerate(self.whole)}
        values: Any = np.full((len(places), len(self.arms)), None, object)
        for record in self.records:
            if record.problem in places:
                values[places[record.problem], record.arm] = getattr(record, name)
        return values
