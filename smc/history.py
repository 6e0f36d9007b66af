"""What is kept of every step of a filter, for diagnostics and genealogies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Record(NamedTuple):
    """One step of a filter with N particles; the fields are those of `History`, without the steps."""

    ess: float
    resampled: bool
    log_increment: float
    ancestors: np.ndarray
    log_weights: np.ndarray


class History(NamedTuple):
    """All T steps of a filter with N particles.

    Attributes:
        ess: effective sample size after each step's reweighing, before any later resampling; float64, (T,).
        resampled: whether the population was resampled just before the step; bool, (T,).
        log_increments: log sum_i W_t-1^i G_t^i, in nats; their sum is the log-evidence; float64, (T,).
        ancestors: the slot at t-1 from which slot i at t descends, i itself where there was no resampling; int64, (T, N).
        log_weights: normalised, after each step; all minus infinity where every particle is dead; float64, (T, N).
    """

    ess: np.ndarray
    resampled: np.ndarray
    log_increments: np.ndarray
    ancestors: np.ndarray
    log_weights: np.ndarray

    @classmethod
    def of(cls, records: Sequence[Record], slots: int) -> History:
        """The history made of these records of a filter with `slots` particles; there may be none."""
        return cls(
            ess=np.array([record.ess for record in records], np.float64),
            resampled=np.array([record.resampled for record in records], bool),
            log_increments=np.array([record.log_increment for record in records], np.float64),
            ancestors=np.array([record.ancestors for record in records], np.int64).reshape(-1, slots),
            log_weights=np.array([record.log_weights for record in records], np.float64).reshape(-1, slots),
        )
