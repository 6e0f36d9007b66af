"""How often at least one of k runs is right, and the law's exponent, beyond the runs there are.

Each problem has a rate p of right runs, p = c x with x ~ Beta(a, b) and a scale c in (0, 1]. Of n
runs k are right with probability E[Binomial(k; n, c x)], and of k runs at least one is right with
probability

    coverage(k) = 1 - E[(1 - c x)^k],     1 - coverage(k) ~ k^(-a) for large k,

so a is the exponent of the tail: Schaeffer et al. (2025), arXiv:2502.17578.

The posterior is on a grid that is made finer where it lies, from a prior that is flat in log a,
log b and c (`motes.evaluation.laws.rate_grid`). Problems that no run solved say something of
the tail through the beta family alone; `motes.evaluation.laws.never_solved` is its rival, in which
some can never be solved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ... import checks
from ...diagnostics.plots.canvas import FAINT, frame, legend, one
from ...diagnostics.plots.shades import NAMED, readable
from ..accuracy_table import credible_mean
from ..coverage_curve import pass_at_k
from ..law_rows import LawRow
from .prior_draws import prior_draws
from .rate_grid import COARSE, MOST_RUNS, ROUNDS, RateGrid

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike

    from ..results import Results

LOW, MIDDLE, HIGH = 0.025, 0.5, 0.975
BAND = 0.18  # opacity
EXPONENT = "Failures of all k runs fall like k to minus this number."
EXTRAPOLATED = (
    "How often at least one of so many runs would be right, if rates of right runs follow a scaled "
    "beta law."
)


class Estimate(NamedTuple):
    """A posterior median with its 95% credible interval.

    Attributes:
        median, low, high: of one number.

    Example:
        >>> from motes.evaluation.laws import Estimate
        >>> Estimate(0.4, 0.3, 0.6).low
        0.3
    """

    median: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class CoverageLaw:
    """The posterior of a scaled beta law of rates, on a grid.

    Attributes:
        grid: of a, b and c, of A B C cells.
        weights: posterior probability of each cell, shape (A, B, C).
        counts: how many problems had 0, 1, ..., n right runs, shape (n + 1,), int64.

    Example:
        >>> from motes.evaluation.laws import fit_coverage_law
        >>> law = fit_coverage_law([0, 0, 1, 3, 8, 2, 0, 5], runs=8)
        >>> far = law.coverage(64)
        >>> far.low < far.median < far.high
        True
    """

    grid: RateGrid
    weights: np.ndarray
    counts: np.ndarray

    @property
    def runs(self) -> int:
        """How many runs each problem had, n."""
        return len(self.counts) - 1

    @property
    def problems(self) -> int:
        """How many problems there were."""
        return int(self.counts.sum())

    @property
    def exponent(self) -> Estimate:
        """The tail's exponent a: failures of all k runs fall like k^(-a)."""
        return estimate_of(self.grid.a, self.weights.sum(axis=(1, 2)))

    def coverage(self, k: int) -> Estimate:
        """Return how often at least one of k runs would be right, on problems like these.

        Args:
            k: from 1 to a million.

        Raises:
            TypeError, ValueError: k is not an integer, or out of its range.
        """
        return estimate_of(self.grid.coverage(k), self.weights)

    def rows(self) -> tuple[LawRow, ...]:
        """Return the exponent, and the coverage of ten times the runs there were."""
        far = 10 * self.runs
        return (
            LawRow("exponent of the tail", *self.exponent, EXPONENT),
            LawRow(f"coverage of {far} runs", *self.coverage(far), EXTRAPOLATED),
        )


def fit_coverage_law(right: ArrayLike, runs: int) -> CoverageLaw:
    """Return the posterior of the law of rates, given how many runs of each problem were right.

    Args:
        right: integers from 0 to `runs`, shape (problems,).
        runs: how many each problem had, from 2 to 500: of one run only the mean rate is known.

    Raises:
        TypeError, ValueError: an argument is not of its kind, or out of its range.

    Example:
        >>> from motes.evaluation.laws import fit_coverage_law
        >>> law = fit_coverage_law([0, 1, 2, 4], runs=4)
        >>> law.problems, round(float(law.weights.sum()), 6)
        (4, 1.0)
    """
    runs = checks.count("runs", runs, least=2, most=MOST_RUNS)
    counts = np.asarray(right)
    if counts.dtype.kind not in "iu":
        raise TypeError(f"right must hold integers, not {counts.dtype}")
    if counts.ndim != 1 or not counts.size or counts.min() < 0 or counts.max() > runs:
        raise ValueError(f"right must hold one or more numbers from 0 to runs = {runs}")
    each = np.bincount(counts, minlength=runs + 1)
    grid, weights = posterior_grid(lambda grid: grid.log_law(runs) @ each)
    return CoverageLaw(grid, weights, each)


def coverage_law_of_arm(evaluation: Results, arm: int = 0) -> CoverageLaw:
    """Return the law of an arm, from the problems that all arms are done with.

    Args:
        evaluation: with two repeats or more.
        arm: its place in `evaluation.arms`.

    Raises:
        TypeError, ValueError: `arm` is not an integer, or out of range; no problem is done; there
            are fewer than two repeats.

    Example:
        >>> import motes, tempfile
        >>> from pathlib import Path
        >>> from motes.evaluation.laws import coverage_law_of_arm
        >>> from motes.models import TableLM
        >>> evaluation = motes.evaluate(
        ...     [("?", 1), ("!", 0)],
        ...     samplers={"one": motes.samplers.MajorityVote(samples=1)},
        ...     answer=lambda x: str(x.token_ids[0]) if x.finished else None,
        ...     lm=TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2),
        ...     prm=None, max_steps=3, repeats=4, progress=False,
        ...     results=Path(tempfile.mkdtemp()) / "results.jsonl",
        ... )
        >>> [row.name for row in coverage_law_of_arm(evaluation).rows()]
        ['exponent of the tail', 'coverage of 40 runs']
    """
    arm = checks.count("arm", arm, least=0, most=len(evaluation.arms) - 1)
    if not evaluation.whole:
        raise ValueError("a law needs at least one problem that all samplers are done with")
    if evaluation.repeats < 2:
        raise ValueError("a law of coverage needs an evaluation of two repeats or more")
    return fit_coverage_law(evaluation.right[:, arm], evaluation.repeats)


def coverage_law_of_draws(evaluation: Results, arm: int = 0) -> CoverageLaw:
    """Return the law of an arm's single draws, from one run on each problem.

    Each of the run's n independent draws from the prior counts as a run of its own.

    Args:
        evaluation: of a sampler of independent draws from the prior, such as votes.
        arm: its place in `evaluation.arms`.

    Raises:
        TypeError, ValueError: `arm` is not an integer, or out of range; no problem is done; draws
            were not kept, are not independent ones of the prior, or are not equally many for all
            problems, from 2 to 500.

    Example:
        >>> import motes, tempfile
        >>> from pathlib import Path
        >>> from motes.evaluation.laws import coverage_law_of_draws
        >>> from motes.models import TableLM
        >>> evaluation = motes.evaluate(
        ...     [("?", 1), ("!", 0)],
        ...     samplers={"vote": motes.samplers.MajorityVote(samples=8)},
        ...     answer=lambda x: str(x.token_ids[0]) if x.finished else None,
        ...     lm=TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2),
        ...     prm=None, max_steps=3, progress=False,
        ...     results=Path(tempfile.mkdtemp()) / "results.jsonl",
        ... )
        >>> coverage_law_of_draws(evaluation).runs
        8
    """
    _, right = prior_draws(evaluation, arm, "a law of draws")
    return fit_coverage_law(right.sum(axis=1), right.shape[1])


def plot_coverage_law(
    laws: Mapping[str, CoverageLaw], k: Iterable[int], *, ax: Axes | None = None
) -> Axes:
    """Plot each law's coverage against the number of runs, with its 95% credible interval.

    Dots are the unbiased estimates without the law (pass@k), of 1, 2, 4, ... runs up to those there
    were.

    Args:
        laws: by the names of their arms, of equally many runs.
        k: numbers of runs, each from 1 to a million.
        ax: where to draw; on a new figure when None.

    Returns:
        The axes.

    Raises:
        TypeError, ValueError: a k is not an integer, or out of its range; there is no law, or they
            are of different numbers of runs or problems.

    Example:
        >>> from motes.evaluation.laws import fit_coverage_law, plot_coverage_law
        >>> law = fit_coverage_law([0, 1, 4], runs=4)
        >>> plot_coverage_law({"vote": law}, [1, 4, 16]).get_xlabel()
        'runs (k)'
    """
    sizes = {(law.runs, law.problems) for law in laws.values()}
    if len(sizes) != 1:
        raise ValueError(
            "laws must hold one law or more, of equal numbers of runs and problems, not of "
            f"{sorted(sizes)}"
        )
    runs, problems = sizes.pop()
    numbers = list(k)
    ax = one(ax, 6.4, 3.8)
    lines = []
    for place, (name, law) in enumerate(laws.items()):
        colour = NAMED[place % len(NAMED)]
        median, low, high = np.array([law.coverage(number) for number in numbers]).T
        ax.fill_between(numbers, low, high, color=colour, alpha=BAND, linewidth=0)
        lines += ax.plot(numbers, median, "-", color=colour, label=readable(name))
        _dots(ax, law, [2**power for power in range(runs.bit_length())], colour)
    lines.append(ax.axvline(runs, color=FAINT, linestyle=":", label="runs there were"))
    ax.set_xscale("log", base=2)
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    title = f"Coverage, extrapolated from {problems} problems (band: 95% interval)"
    frame(ax, title=title, x="runs (k)", y="at least one is right", grid="both")
    legend(ax, lines)
    return ax


def _dots(ax: Axes, law: CoverageLaw, numbers: list[int], colour: str) -> None:
    """Draw the unbiased coverage of each number of runs, with its interval."""
    right = np.repeat(np.arange(law.runs + 1), law.counts)
    for number in numbers:
        values = pass_at_k(right, law.runs, number)
        low, high = credible_mean(values, law.runs)
        mean = float(values.mean())
        ends = [[mean - low], [high - mean]]
        ax.errorbar([number], [mean], ends, fmt="o", color=colour, markersize=4, linewidth=1)


def posterior_grid(
    log_likelihood: Callable[[RateGrid], np.ndarray],
) -> tuple[RateGrid, np.ndarray]:
    """Return a grid that is fine where the posterior is, and the probabilities of its cells.

    Args:
        log_likelihood: of each cell of a grid, shape (A, B, C).
    """
    grid = COARSE
    weights = _normalised(log_likelihood(grid), grid)
    for _ in range(ROUNDS):
        grid = grid.finer(weights)
        weights = _normalised(log_likelihood(grid), grid)
    return grid, weights


def estimate_of(values: np.ndarray, weights: np.ndarray) -> Estimate:
    """Return the weighted median and quantiles of the values of all cells.

    Half of a cell's weight lies below its value, and between values the quantiles are on lines.
    """
    flat, mass = values.ravel(), weights.ravel()
    order = np.argsort(flat)
    order = order[mass[order] > 0]
    middle = np.cumsum(mass[order]) - mass[order] / 2
    low, median, high = np.interp([LOW, MIDDLE, HIGH], middle, flat[order]).tolist()
    return Estimate(median, low, high)


def _normalised(logs: np.ndarray, grid: RateGrid) -> np.ndarray:
    """Return the posterior of cells, from their log-likelihoods, both (A, B, C)."""
    weights = np.exp(logs - logs.max()) * grid.volumes
    return weights / weights.sum()
