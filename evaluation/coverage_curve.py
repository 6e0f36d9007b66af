"""Coverage: how often at least one of k runs is right (pass@k), from n >= k runs on each problem.

A problem with c right runs of n gives the unbiased estimate

    1 - C(n - c, k) / C(n, k),

the share of the subsets of k runs in which at least one is right: Chen et al. (2021),
arXiv:2107.03374, equation 1. It needs the runs on a problem to be exchangeable, as those of an
evaluation are, since they differ by their seeds alone. (1 - c/n)^k in place of the quotient would
be biased.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .. import checks
from ..diagnostics.formatting import counted
from ..diagnostics.plots.canvas import frame, legend, one
from ..diagnostics.plots.shades import NAMED, readable
from .accuracy_table import credible_mean
from .law_rows import LawRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike

    from .results import Results

BAND = 0.18  # opacity
WORDS = "How often at least one of the runs is right: unbiased, mean over problems."


@dataclass(frozen=True, eq=False)
class Coverage:
    """How often at least one of k runs of an arm is right, mean over problems.

    Attributes:
        arm: the method, and its budget in brackets where it has several.
        k: numbers of runs, shape (K,), int64.
        mean: coverage at each, shape (K,).
        low, high: ends of its 95% credible interval over problems, shape (K,).

    Example:
        >>> import numpy as np
        >>> from motes.evaluation import Coverage
        >>> ends = np.array([0.1, 0.3]), np.array([0.4, 0.7])
        >>> Coverage("vote", np.array([1, 2]), np.array([0.2, 0.5]), *ends).mean[1].item()
        0.5
    """

    arm: str
    k: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def rows(self) -> tuple[LawRow, ...]:
        """Return the coverage of the fewest and of the most runs."""
        found = []
        for place in dict.fromkeys((0, len(self.k) - 1)):
            ends = float(self.low[place]), float(self.high[place])
            name = f"coverage of {counted(int(self.k[place]), 'run')}"
            found.append(LawRow(name, float(self.mean[place]), *ends, WORDS, self.arm))
        return tuple(found)


def pass_at_k(right: ArrayLike, runs: int, k: int) -> np.ndarray:
    """Return the unbiased estimate of each problem's pass@k.

    Args:
        right: how many of its runs were right, integers from 0 to n, any shape.
        runs: n, how many runs there were on each.
        k: how many runs are to contain a right one, from 1 to n.

    Returns:
        Probabilities, in the shape of `right`.

    Raises:
        TypeError, ValueError: an argument is not of its kind, or out of its range.

    Example:
        >>> from motes.evaluation import pass_at_k
        >>> pass_at_k([0, 1, 4], runs=4, k=2).tolist()
        [0.0, 0.5, 1.0]
    """
    runs = checks.count("runs", runs)
    k = checks.count("k", k, most=runs)
    counts = np.asarray(right)
    if counts.dtype.kind not in "iu":
        raise TypeError(f"right must hold integers, not {counts.dtype}")
    if counts.size and (counts.min() < 0 or counts.max() > runs):
        raise ValueError(
            f"right must lie between 0 and runs = {runs}, not {counts.min()} to {counts.max()}"
        )
    # each run in turn is wrong, given that those before it were
    wrong = np.ones(counts.shape)
    for earlier in range(k):
        wrong = wrong * np.maximum(runs - counts - earlier, 0) / (runs - earlier)
    return 1 - wrong


def coverage(evaluation: Results, k: Iterable[int] | None = None) -> tuple[Coverage, ...]:
    """Return the coverage of each arm of an evaluation.

    The intervals are `credible_mean`'s: from Jeffreys' prior, with as many trials as would give the
    variance between problems.

    Args:
        evaluation: at least one of whose problems all arms are done with.
        k: numbers of runs, each from 1 to the evaluation's `repeats`; all of them when None.

    Returns:
        One for each arm, in order.

    Raises:
        TypeError, ValueError: a k is not an integer, or out of its range; no problem is done.

    Example:
        >>> import motes, tempfile
        >>> from pathlib import Path
        >>> from motes.evaluation import coverage
        >>> from motes.models import TableLM
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> evaluation = motes.evaluate(
        ...     [("?", 1), ("!", 0)],
        ...     samplers={"one": motes.samplers.MajorityVote(samples=1)},
        ...     answer=lambda x: str(x.token_ids[0]) if x.finished else None,
        ...     lm=lm, prm=None, max_steps=3, repeats=4, progress=False,
        ...     results=Path(tempfile.mkdtemp()) / "results.jsonl",
        ... )
        >>> law = coverage(evaluation, k=[1, 4])[0]
        >>> law.k.tolist(), bool(law.mean[0] <= law.mean[1])
        ([1, 4], True)
    """
    if not evaluation.whole:
        raise ValueError("coverage needs at least one problem that all samplers are done with")
    repeats = evaluation.repeats
    asked = range(1, repeats + 1) if k is None else k
    numbers = [checks.count("k", value, most=repeats) for value in asked]
    if not numbers:
        raise ValueError("k must hold at least one number of runs")
    return tuple(
        _of_arm(arm.title, evaluation.right[:, place], repeats, numbers)
        for place, arm in enumerate(evaluation.arms)
    )


def plot_coverage(evaluation: Results, *, ax: Axes | None = None) -> Axes:
    """Plot the coverage of each arm against the number of runs, with 95% credible intervals.

    Args:
        evaluation: at least one of whose problems all arms are done with.
        ax: where to draw; on a new figure when None.

    Returns:
        The axes.

    Raises:
        ValueError: no problem is done.

    Example:
        >>> import motes, tempfile
        >>> from pathlib import Path
        >>> from motes.evaluation import plot_coverage
        >>> from motes.models import TableLM
        >>> evaluation = motes.evaluate(
        ...     [("?", 1), ("!", 0)],
        ...     samplers={"one": motes.samplers.MajorityVote(samples=1)},
        ...     answer=lambda x: str(x.token_ids[0]) if x.finished else None,
        ...     lm=TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2),
        ...     prm=None, max_steps=3, repeats=4, progress=False,
        ...     results=Path(tempfile.mkdtemp()) / "results.jsonl",
        ... )
        >>> plot_coverage(evaluation).get_xlabel()
        'runs (k)'
    """
    laws = coverage(evaluation)
    ax = one(ax, 6.4, 3.8)
    lines = []
    for place, law in enumerate(laws):
        colour = NAMED[place % len(NAMED)]
        ax.fill_between(law.k, law.low, law.high, color=colour, alpha=BAND, linewidth=0)
        lines += ax.plot(law.k, law.mean, "o-", color=colour, label=readable(law.arm))
    ax.set_xscale("log", base=2)
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    title = f"Coverage of {len(evaluation.whole)} problems (bands: 95% intervals)"
    frame(ax, title=title, x="runs (k)", y="at least one is right", grid="both")
    legend(ax, lines)
    return ax


def _of_arm(name: str, right: np.ndarray, runs: int, numbers: list[int]) -> Coverage:
    """Return the coverage of an arm that was right so often on each problem."""
    shares = [pass_at_k(right, runs, k) for k in numbers]
    intervals = np.array([credible_mean(values, runs) for values in shares])
    mean = np.array([values.mean() for values in shares])
    return Coverage(name, np.array(numbers, np.int64), mean, intervals[:, 0], intervals[:, 1])
