"""What drawing until a verifier passes an answer can reach, and never exceeds.

Of n draws for a problem c pass the verifier, and r of these are right. Of k draws in random order
the first that passes is as probably one of the c as another, so that

    P(k draws have one that passes, and the first such is right) = (1 - C(n-c, k) / C(n, k)) r / c

is estimated without bias for every k up to n. However many draws there are, a problem is answered
rightly no more often than a passing draw is right, so the mean of r / c is a ceiling: Stroebl,
Kapoor and Narayanan (2024), arXiv:2411.17501. A problem of which nothing passed counts 0 in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import nan
from typing import TYPE_CHECKING

import numpy as np

from ... import checks
from ...diagnostics.formatting import counted
from ...diagnostics.plots.canvas import INK, frame, legend, one
from ...diagnostics.plots.shades import NAMED, readable
from ..accuracy_table import credible_mean
from ..coverage_curve import pass_at_k
from ..law_rows import LawRow
from .prior_draws import prior_draws

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

    from ..results import Results

BAND = 0.18  # opacity
FIRST = (
    "How often the first draw that passes the verifier is right; nothing is given where none does."
)
PERFECT = "How often one of the draws is right."
CEILING = "The share of right ones among draws that pass: no number of draws gives more."


@dataclass(frozen=True, eq=False)
class VerifierLimit:
    """How often drawing until one of k draws passes gives a right answer, mean over problems.

    Attributes:
        k: numbers of draws, shape (K,), int64.
        mean: how often a right answer is given, shape (K,).
        low, high: ends of its 95% credible interval over problems, shape (K,).
        coverage: how often one of k draws is right, what a perfect verifier would reach; (K,).
        ceiling: the mean share of right ones among the draws that pass.
        ceiling_ends: of its 95% credible interval over problems.

    Example:
        >>> import numpy as np
        >>> from motes.evaluation.laws import verifier_limit
        >>> right = np.array([[True, False, False, False]])
        >>> passed = np.array([[True, True, False, False]])
        >>> limit = verifier_limit(right, passed, k=[1, 4])
        >>> limit.mean.tolist(), limit.coverage.tolist(), limit.ceiling
        ([0.25, 0.5], [0.25, 1.0], 0.5)
    """

    k: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    coverage: np.ndarray
    ceiling: float
    ceiling_ends: tuple[float, float]

    def rows(self) -> tuple[LawRow, ...]:
        """Return what most draws reach, what a perfect verifier would make of them, the ceiling."""
        of = f"of {counted(int(self.k[-1]), 'draw')}"
        last, perfect = float(self.mean[-1]), float(self.coverage[-1])
        ends = float(self.low[-1]), float(self.high[-1])
        return (
            LawRow(f"right by the first {of} that passes", last, *ends, FIRST),
            LawRow(f"right by a perfect verifier {of}", perfect, nan, nan, PERFECT),
            LawRow("ceiling of the verifier", self.ceiling, *self.ceiling_ends, CEILING),
        )


def verifier_limit(
    right: np.ndarray, passed: np.ndarray, k: Iterable[int] | None = None
) -> VerifierLimit:
    """Return the limit of a verifier on independent draws.

    Args:
        right: whether each draw is, shape (problems, n), bool.
        passed: whether the verifier lets it pass, of the same shape.
        k: numbers of draws, each from 1 to n; all of them when None.

    Raises:
        TypeError: the arrays hold something other than truths, or a k is not an integer.
        ValueError: the shapes differ, or a k is out of its range.

    Example:
        >>> import numpy as np
        >>> from motes.evaluation.laws import verifier_limit
        >>> right = np.array([[True, False], [False, False]])
        >>> verifier_limit(right, ~right).mean.tolist()
        [0.0, 0.0]
    """
    right, passed = check_passes(right, passed)
    draws = right.shape[1]
    asked = range(1, draws + 1) if k is None else k
    numbers = [checks.count("k", value, most=draws) for value in asked]
    if not numbers:
        raise ValueError("k must hold at least one number of draws")
    passing = passed.sum(axis=1)
    share = (right & passed).sum(axis=1) / np.maximum(passing, 1)
    each = [pass_at_k(passing, draws, number) * share for number in numbers]
    intervals = np.array([credible_mean(values, draws) for values in each])
    found = right.sum(axis=1)
    return VerifierLimit(
        np.array(numbers, np.int64),
        np.array([values.mean() for values in each]),
        intervals[:, 0],
        intervals[:, 1],
        np.array([pass_at_k(found, draws, number).mean() for number in numbers]),
        float(share.mean()),
        credible_mean(share, draws),
    )


def check_passes(right: np.ndarray, passed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return both arrays. Raises TypeError, ValueError where they are not as they must be."""
    right, passed = np.asarray(right), np.asarray(passed)
    if right.dtype != np.bool_ or passed.dtype != np.bool_:
        raise TypeError(f"right and passed must hold truths, not {right.dtype} and {passed.dtype}")
    if right.ndim != 2 or right.shape != passed.shape or not right.size:
        raise ValueError(
            f"right and passed must have one shape (problems, n), not {right.shape} and "
            f"{passed.shape}"
        )
    return right, passed


def verifier_limit_of_arm(
    evaluation: Results, arm: int = 0, *, least: float = 0.0
) -> VerifierLimit:
    """Return the limit of the reward model as a verifier of an arm's draws.

    A draw passes where the log-odds of its last step are at least `least`. Each problem's first run
    is read, of the problems that all arms are done with.

    Args:
        evaluation: of a sampler of independent draws from the prior, with a reward model.
        arm: its place in `evaluation.arms`.
        least: log-odds; 0 is a probability of one half.

    Raises:
        TypeError, ValueError: `arm` is not an integer, or out of range; no problem is done; draws
            were not kept, are not independent ones of the prior, have no scores, or are not equally
            many for all problems.

    Example:
        >>> import motes, tempfile
        >>> from pathlib import Path
        >>> from motes.evaluation.laws import verifier_limit_of_arm
        >>> from motes.models import FunctionReward, TableLM
        >>> evaluation = motes.evaluate(
        ...     [("?", 1), ("!", 0)],
        ...     samplers={"draws": motes.samplers.ImportanceSampling(particles=4)},
        ...     answer=lambda x: str(x.token_ids[0]) if x.finished else None,
        ...     lm=TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2),
        ...     prm=FunctionReward(lambda x: 1.0 - x.token_ids[0]), max_steps=6, progress=False,
        ...     results=Path(tempfile.mkdtemp()) / "results.jsonl",
        ... )
        >>> verifier_limit_of_arm(evaluation).k.tolist()
        [1, 2, 3, 4]
    """
    return verifier_limit(*passes_of_arm(evaluation, arm, least))


def passes_of_arm(evaluation: Results, arm: int, least: float) -> tuple[np.ndarray, np.ndarray]:
    """Return which draws of an arm are right, and which pass the reward model.

    Args, Raises: of `verifier_limit_of_arm`.

    Returns:
        Two arrays of shape (problems, n), bool.
    """
    least = checks.number("least", least)
    pools, right = prior_draws(evaluation, arm, "a verifier's limit")
    passed = []
    for pool in pools:
        if not all(odds.size for odds in pool.log_odds):
            raise ValueError("a verifier's limit needs scores of a reward model for every draw")
        passed.append([bool(odds[-1] >= least) for odds in pool.log_odds])
    return right, np.array(passed, np.bool_)


def plot_verifier_limit(limits: Mapping[str, VerifierLimit], *, ax: Axes | None = None) -> Axes:
    """Plot how often a right answer is given against the number of draws, below its ceiling.

    Args:
        limits: by the names of their arms.
        ax: where to draw; on a new figure when None.

    Returns:
        The axes.

    Raises:
        ValueError: there are no limits.

    Example:
        >>> import numpy as np
        >>> from motes.evaluation.laws import plot_verifier_limit, verifier_limit
        >>> right = np.array([[True, False], [False, False]])
        >>> plot_verifier_limit({"draws": verifier_limit(right, right)}).get_xlabel()
        'draws (k)'
    """
    if not limits:
        raise ValueError("limits must hold at least one limit")
    ax = one(ax, 6.4, 3.8)
    for place, limit in enumerate(limits.values()):
        colour = NAMED[place % len(NAMED)]
        ax.fill_between(limit.k, limit.low, limit.high, color=colour, alpha=BAND, linewidth=0)
        doubling = np.flatnonzero(np.diff(np.log2(limit.k).astype(np.int64), prepend=-1))
        ax.plot(limit.k, limit.mean, "o-", color=colour, markevery=doubling.tolist())
        ax.plot(limit.k, limit.coverage, "--", color=colour)
        ax.axhline(limit.ceiling, color=colour, linestyle=":")
    ax.set_xscale("log", base=2)
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    title = "Drawing until a verifier passes (bands: 95% intervals)"
    frame(ax, title=title, x="draws (k)", y="answered rightly", grid="both")
    legend(ax, _keys(list(limits)))
    return ax


def _keys(names: list[str]) -> list[Line2D]:
    """Return what a legend says: a colour for each arm, a style for each line."""
    from matplotlib.lines import Line2D

    keys = []
    for place, name in enumerate(names):
        keys.append(Line2D([], [], color=NAMED[place % len(NAMED)], label=readable(name)))
    keys.append(Line2D([], [], color=INK, marker="o", label="first that passes"))
    keys.append(Line2D([], [], color=INK, linestyle="--", label="perfect verifier"))
    keys.append(Line2D([], [], color=INK, linestyle=":", label="ceiling"))
    return keys
