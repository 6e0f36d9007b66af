"""Whether some problems can never be solved: the rival of the beta law of coverage.

A problem that no run solved may be hard or hopeless. In the rival model the rate of right runs is 0
with probability v, and else follows the scaled beta law, so that of n runs k are right with
probability

    v [k = 0] + (1 - v) P(k | scaled beta),       coverage(k) = (1 - v) coverage_beta(k) <= 1 - v.

Both fit the runs there are about equally well where the beta law's exponent is small; beyond them
they part: the law goes to 1, its rival to 1 - v. So an extrapolation should be read with both, and
with the Bayes factor between them. The prior of v is flat.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import nan

import numpy as np

from ..law_rows import LawRow
from .beta_coverage import CoverageLaw, Estimate, estimate_of, posterior_grid
from .rate_grid import RateGrid

_ANGLES = np.pi * (np.arange(50) + 0.5) / 50
V = (1 - np.cos(_ANGLES)) / 2  # fine near 0 and 1
V_PRIOR = np.sin(_ANGLES) / np.sin(_ANGLES).sum()  # flat in v
SHARE = "The share of problems that no number of runs would solve, if there are such problems."
FACTOR = (
    "How many times more probable the numbers of right runs are if some problems can never be "
    "solved; near 1 the runs cannot tell."
)
BEYOND = "How often at least one of so many runs would be right, if some are never solved."


@dataclass(frozen=True, eq=False)
class NeverSolved:
    """The posterior of the rival law, on a grid.

    Attributes:
        grid: of a, b and c, of A B C cells.
        weights: posterior probability of each cell and each v, shape (A, B, C, 50).
        bayes_factor: for it, against the law without problems that are never solved.
        runs: how many each problem had.

    Example:
        >>> from motes.evaluation.laws import fit_coverage_law, never_solved
        >>> rival = never_solved(fit_coverage_law([0] * 30 + [7] * 30, runs=8))
        >>> rival.bayes_factor > 100, 0.3 < rival.share.median < 0.6
        (True, True)
    """

    grid: RateGrid
    weights: np.ndarray
    bayes_factor: float
    runs: int

    @property
    def share(self) -> Estimate:
        """The share of problems that are never solved, v."""
        return estimate_of(V, self.weights.sum(axis=(0, 1, 2)))

    def coverage(self, k: int) -> Estimate:
        """Return how often at least one of k runs would be right, on problems like these.

        Args:
            k: from 1 to a million.

        Raises:
            TypeError, ValueError: k is not an integer, or out of its range.
        """
        return estimate_of(self.grid.coverage(k)[..., None] * (1 - V), self.weights)

    def rows(self) -> tuple[LawRow, ...]:
        """Return the share, the Bayes factor, and the coverage of ten times the runs there were."""
        far = 10 * self.runs
        return (
            LawRow("share that is never solved", *self.share, SHARE),
            LawRow("Bayes factor for such problems", self.bayes_factor, nan, nan, FACTOR),
            LawRow(f"coverage of {far} runs with such problems", *self.coverage(far), BEYOND),
        )


def never_solved(law: CoverageLaw) -> NeverSolved:
    """Return the posterior of the rival law, from the same numbers of right runs.

    Args:
        law: as `fit_coverage_law` or `coverage_law_of_arm` made it.

    Example:
        >>> from motes.evaluation.laws import fit_coverage_law, never_solved
        >>> rival = never_solved(fit_coverage_law([0, 1, 2, 4], runs=4))
        >>> round(float(rival.weights.sum()), 6)
        1.0
    """
    grid, _ = posterior_grid(lambda grid: _log_of_mean(_log_rival(grid, law.counts)))
    logs = _log_rival(grid, law.counts)
    weights = np.exp(logs - logs.max()) * V_PRIOR * grid.volumes[..., None]
    alone = law.grid.log_law(law.runs) @ law.counts
    factor = np.exp(_log_evidence(grid, _log_of_mean(logs)) - _log_evidence(law.grid, alone))
    return NeverSolved(grid, weights / weights.sum(), float(factor), law.runs)


def _log_rival(grid: RateGrid, counts: np.ndarray) -> np.ndarray:
    """Return the log-likelihood of each cell and each v, shape (A, B, C, 50)."""
    each = grid.log_law(len(counts) - 1)
    solved = (each[..., 1:] @ counts[1:])[..., None] + counts[1:].sum() * np.log1p(-V)
    return solved + counts[0] * np.log(V + (1 - V) * np.exp(each[..., :1]))


def _log_of_mean(logs: np.ndarray) -> np.ndarray:
    """Return the log of the mean over v, under its prior, of what is given by its logs."""
    most = logs.max(axis=-1)
    return most + np.log(np.exp(logs - most[..., None]) @ V_PRIOR)


def _log_evidence(grid: RateGrid, logs: np.ndarray) -> float:
    """Return the log of the integral over log a, log b and c of what is given by its logs."""
    most = float(logs.max())
    return most + float(np.log(np.sum(np.exp(logs - most) * grid.volumes)))
