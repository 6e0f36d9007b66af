"""What is kept of every step of a filter, for diagnostics and genealogies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..aliases import PyTree
from . import collectors

if TYPE_CHECKING:
    from .driver import Step

HISTORY: Mapping[str, Callable[[Step], Any]] = MappingProxyType(
    {
        "ess": collectors.ess,
        "resampled": collectors.resampled,
        "log_increments": collectors.log_increments,
        "ancestors": collectors.ancestors,
        "log_weights": collectors.log_weights,
    }
)
"""The collectors from which a `History` is made."""


class History(NamedTuple):
    """All T steps of a filter with N particles.

    Attributes:
        ess: effective sample size after each step's reweighing, before any later resampling;
            float64, (T,).
        resampled: whether the population was resampled just before the step; bool, (T,).
        log_increments: log sum_i W_t-1^i G_t^i, in nats; their sum is the log-evidence; float64,
            (T,).
        ancestors: the slot at t-1 from which slot i at t descends, i itself where there was no
            resampling; int64, (T, N).
        log_weights: normalised, after each step; all minus infinity where every particle is dead;
            float64, (T, N).

    Example:
        >>> import jax
        >>> from motes import smc
        >>> model = smc.Model(
        ...     initial=lambda key, slots: jax.random.normal(key, (slots,)),
        ...     move=lambda t, key, x: x + jax.random.normal(key, x.shape),
        ...     log_potential=lambda t, before, after: -0.5 * after**2,
        ...     density=lambda t, before, after: -0.5 * (after - before) ** 2,
        ... )
        >>> result = smc.run(model, seed=0, slots=100, steps=3, collect=smc.HISTORY)
        >>> history = smc.History.of(result.collected, 100)
        >>> history.ess.shape, history.ancestors.shape
        ((3,), (3, 100))
    """

    ess: np.ndarray
    resampled: np.ndarray
    log_increments: np.ndarray
    ancestors: np.ndarray
    log_weights: np.ndarray

    @classmethod
    def of(cls, collected: Mapping[str, Any], slots: int) -> History:
        """Make a history of what the collectors `HISTORY` collected.

        The filter has `slots` particles. Of nothing, make an empty history.
        """
        return cls(
            ess=np.asarray(collected.get("ess", ()), np.float64),
            resampled=np.asarray(collected.get("resampled", ()), bool),
            log_increments=np.asarray(collected.get("log_increments", ()), np.float64),
            ancestors=np.asarray(collected.get("ancestors", ()), np.int64).reshape(-1, slots),
            log_weights=np.asarray(collected.get("log_weights", ()), np.float64).reshape(-1, slots),
        )


class GrowingHistory(NamedTuple):
    """The history of a filter under way, to which a step is added without copying those before.

    Histories that grow out of one another share their rows: a later one sees more of the same
    list. Where two grow out of the same one, the second takes a copy.

    Attributes:
        slots: N.
        rows: for each step the values of a `History`'s fields; `length` of them are this one's.
        length: T.

    Example:
        >>> history = GrowingHistory(slots=4, rows=[])
        >>> history.length
        0
    """

    slots: int
    rows: list[tuple[Any, ...]]
    length: int = 0

    @classmethod
    def empty(cls, slots: int) -> GrowingHistory:
        """Make a history without steps, of a filter with `slots` particles."""
        return cls(slots, [])

    def after(self, step: Step) -> GrowingHistory:
        """Add one more step."""
        return self.appended(*(collect(step) for collect in HISTORY.values()))

    def appended(self, *row: PyTree) -> GrowingHistory:
        """Add one more row: a value for each field of `History`."""
        rows = self.rows if len(self.rows) == self.length else self.rows[: self.length]
        rows.append(row)
        return GrowingHistory(self.slots, rows, self.length + 1)

    def history(self) -> History:
        """Stack the rows to a `History`."""
        columns = zip(*self.rows[: self.length], strict=True)
        return History.of(dict(zip(HISTORY, columns, strict=False)), self.slots)
