"""What Monte Carlo errors are estimated from: a genealogy, chains, or independent runs.

    GenealogyErrors    a filter: Chan and Lai (2013), Lee and Whiteley (2018)
    ChainErrors        chains: their effective sample size; see `motes.ppl.posterior.mixing`
    RunErrors          independent runs that are pooled: how they differ
    NoErrors           nothing tells them

For runs with estimates Z-hat_k of the evidence and P_k(a) of a probability (the delta method for a
ratio of means; a run that died has Z-hat_k = 0 and counts)

    P(a) = sum_k Z-hat_k P_k(a) / sum_k Z-hat_k
    se^2 = K / (K - 1) sum_k (Z-hat_k (P_k(a) - P(a)))^2 / (sum_k Z-hat_k)^2
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan, sqrt
from typing import Any, Protocol

import numpy as np

from ...smc import History, combine, ess
from ...smc.variance import log_evidence_error, standard_error
from .mixing import mixed


class Run(Protocol):
    """One of several independent runs, as their errors see it."""

    @property
    def log_weights(self) -> np.ndarray: ...

    @property
    def log_evidence(self) -> float | None: ...


@dataclass(frozen=True)
class NoErrors:
    """Nothing is known of the errors.

    Attributes:
        history: what happened at each step of a filter; None for what is no filter.
        chains: how many chains the draws are; 0 for what is not chains.
        runs: the independent runs that are pooled.
    """

    history: History | None = None
    chains: int = 0
    runs: tuple[Any, ...] = ()

    @property
    def rows(self) -> int:
        """Chains, or runs that were pooled; 1 for what is neither."""
        return self.chains or len(self.runs) or 1

    def ess(self, log_weights: np.ndarray, log_density: np.ndarray) -> np.ndarray:
        """Give the effective sample size, float64, shape (1,), or (T,) for a filter of T steps.

        Args:
            log_weights: normalised, shape (N,).
            log_density: of every draw, shape (N,), equal where trajectories are the same.
        """
        return np.array([ess(log_weights)])

    def mean(self, values: np.ndarray, log_weights: np.ndarray) -> float:
        """Estimate the standard error of a mean, in the values' units; NaN where it is undefined.

        Args:
            values: of every draw, float64, shape (N,); for the probability of an answer, whether
                each states it.
            log_weights: normalised, shape (N,).
        """
        return nan

    def log_evidence(self, log_weights: np.ndarray) -> float:
        """Estimate the standard error of the log-evidence, in nats; NaN where it is undefined."""
        return nan


@dataclass(frozen=True, kw_only=True)
class GenealogyErrors(NoErrors):
    """The errors of a filter.

    They are known where each slot of the history is one trajectory.

    Attributes:
        history: what happened at each of the T steps; not None.
    """

    def ess(self, log_weights: np.ndarray, log_density: np.ndarray) -> np.ndarray:
        return self._history.ess

    def mean(self, values: np.ndarray, log_weights: np.ndarray) -> float:
        if not self._is_of(log_weights) or unanimous(values, log_weights):
            return nan
        return standard_error(self._history, log_weights, values)

    def log_evidence(self, log_weights: np.ndarray) -> float:
        return log_evidence_error(self._history, log_weights) if self._is_of(log_weights) else nan

    @property
    def _history(self) -> History:
        assert self.history is not None
        return self.history

    def _is_of(self, log_weights: np.ndarray) -> bool:
        return self._history.ancestors.shape[1] == len(log_weights)


@dataclass(frozen=True, kw_only=True)
class ChainErrors(NoErrors):
    """The errors of C chains of one length.

    Attributes:
        chains: C, at least 1.
    """

    def ess(self, log_weights: np.ndarray, log_density: np.ndarray) -> np.ndarray:
        return np.array([mixed(log_density.reshape(self.chains, -1)).ess])

    def mean(self, values: np.ndarray, log_weights: np.ndarray) -> float:
        return mixed(values.reshape(self.chains, -1)).mcse


@dataclass(frozen=True, kw_only=True)
class RunErrors(NoErrors):
    """The errors of independent runs that are pooled by their evidence.

    Attributes:
        runs: K of them, posteriors of as many trajectories each.
        died: runs besides that ended with all particles dead.
    """

    died: int = 0

    def mean(self, values: np.ndarray, log_weights: np.ndarray) -> float:
        shares = run_shares(self.runs, self.died)
        if len(shares) < 2 or unanimous(values, log_weights):
            return nan
        own = by_run(self.runs, self.died, values)
        gaps = own - float(np.exp(log_weights) @ values)
        return sqrt(len(shares) / (len(shares) - 1) * float(((shares * gaps) ** 2).sum()))

    def log_evidence(self, log_weights: np.ndarray) -> float:
        log_evidences = np.array([*(run.log_evidence for run in self.runs), *[-np.inf] * self.died])
        return float(combine(np.zeros((len(log_evidences), 1)), log_evidences).log_evidence_error)


def run_shares(runs: Sequence[Run], died: int) -> np.ndarray:
    """Compute Z-hat_k / sum_l Z-hat_l of runs, with zeros for those that died; shape (K,)."""
    log_evidences = np.array([run.log_evidence for run in runs], np.float64)
    shares = np.exp(log_evidences - log_evidences.max())
    return np.concatenate([shares / shares.sum(), np.zeros(died)])


def unanimous(values: np.ndarray, log_weights: np.ndarray) -> bool:
    """Say whether all draws of positive weight have one value: nothing then tells its error."""
    living = values[log_weights > -np.inf]
    return bool(np.all(living == living[:1]))


def by_run(runs: Sequence[Run], died: int, values: np.ndarray) -> np.ndarray:
    """Compute a mean in each run, with zeros for those that died; shape (K,).

    Args:
        runs: of as many trajectories each.
        died: runs besides, all of whose particles died.
        values: of each trajectory, one run's after the other's, shape (N,).
    """
    rows = values.reshape(len(runs), -1)
    own = [float(np.exp(run.log_weights) @ row) for run, row in zip(runs, rows, strict=True)]
    return np.array([*own, *[0.0] * died])


def errors_of(
    history: History | None = None, chains: int = 0, runs: tuple[Any, ...] = (), died: int = 0
) -> NoErrors:
    """Choose what errors are estimated from: chains, runs, a genealogy, or nothing."""
    if chains:
        return ChainErrors(chains=chains)
    if runs:
        return RunErrors(runs=runs, died=died)
    return NoErrors() if history is None else GenealogyErrors(history=history)
