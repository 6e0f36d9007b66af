"""ARISE: whether more tokens turn wrong answers right, each change weighed by what it cost.

Of runs on one problem at J rising budgets, with a_j = 1 where run j is right, and t_j tokens,

    sum over j > 1 of (a_j - a_(j-1)) (t_(j-1) / t_j)^(a_j - a_(j-1)),

so that a gain counts the less the more tokens it took, and a loss counts the more: Yin et al.
(2025), arXiv:2510.06014. The mean over repeats and problems is the score of a method.
"""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ...diagnostics.plots.canvas import frame, one
from ...diagnostics.plots.shades import NAMED, readable
from ..law_rows import LawRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike

    from ..results import Results

WORDS = (
    "What more tokens turned right: a gain counts by the ratio of tokens, a loss by its inverse."
)


class Arise(NamedTuple):
    """The ARISE score of a method.

    Attributes:
        method: its name.
        mean: over problems.
        low, high: ends of its 95% interval over problems, by Student's t; NaN for one problem.

    Example:
        >>> from motes.evaluation.laws import Arise
        >>> [row.figures for row in Arise("vote", 0.2, 0.1, 0.3).rows()]
        ['0.200 (0.100 to 0.300)']
    """

    method: str
    mean: float
    low: float
    high: float

    def rows(self) -> tuple[LawRow, ...]:
        """Return the score as a row."""
        return (LawRow("ARISE", self.mean, self.low, self.high, WORDS, self.method),)


def arise(right: ArrayLike, tokens: ArrayLike) -> np.ndarray:
    """Return the ARISE score of each row of runs at rising budgets.

    Args:
        right: whether each run is, bool, shape (..., J), J at least 2.
        tokens: of each run, positive, of the same shape.

    Returns:
        Scores, shape (...).

    Raises:
        TypeError: `right` holds something other than truths.
        ValueError: the shapes differ, there are fewer than two budgets, or tokens are not positive.

    Example:
        >>> from motes.evaluation.laws import arise
        >>> arise([[False, True], [True, False]], [[100, 400], [100, 400]]).tolist()
        [0.25, -4.0]
    """
    truths, spent = np.asarray(right), np.asarray(tokens, np.float64)
    if truths.dtype != np.bool_:
        raise TypeError(f"right must hold truths, not {truths.dtype}")
    if truths.shape != spent.shape or not truths.ndim or truths.shape[-1] < 2:
        raise ValueError(
            "right and tokens must have one shape (..., budgets), of at least two budgets, not "
            f"{truths.shape} and {spent.shape}"
        )
    if not np.all(np.isfinite(spent) & (spent > 0)):
        raise ValueError("tokens must be positive")
    change = np.diff(truths.astype(np.int64), axis=-1)
    ratio = spent[..., :-1] / spent[..., 1:]
    return np.sum(change * ratio**change, axis=-1)


def arise_of_methods(evaluation: Results) -> tuple[Arise, ...]:
    """Return the score of each method that has two budgets or more.

    Budgets are in the order of their mean tokens; only problems that all arms are done with count.

    Raises:
        ValueError: no problem is done, or tokens were not counted.

    Example:
        >>> import motes, tempfile
        >>> from pathlib import Path
        >>> from motes.evaluation.laws import arise_of_methods
        >>> from motes.models import TableLM
        >>> evaluation = motes.evaluate(
        ...     [("?", 1), ("!", 0)],
        ...     samplers={"vote": [motes.samplers.MajorityVote(samples=n) for n in (1, 4)]},
        ...     answer=lambda x: str(x.token_ids[0]) if x.finished else None,
        ...     lm=TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2),
        ...     prm=None, max_steps=3, progress=False,
        ...     results=Path(tempfile.mkdtemp()) / "results.jsonl",
        ... )
        >>> [score.method for score in arise_of_methods(evaluation)]
        ['vote']
    """
    if not evaluation.whole:
        raise ValueError("ARISE needs at least one problem that all samplers are done with")
    rows = {problem: row for row, problem in enumerate(evaluation.whole)}
    shape = len(rows), evaluation.repeats, len(evaluation.arms)
    right, tokens = np.zeros(shape, np.bool_), np.zeros(shape)
    for record in evaluation.records:
        if record.problem in rows:
            place = rows[record.problem], record.repeat, record.arm
            right[place], tokens[place] = record.right, record.tokens
    found = []
    for method in evaluation.methods:
        arms = [k for k, arm in enumerate(evaluation.arms) if arm.name == method]
        arms.sort(key=evaluation.tokens.mean(axis=0).tolist().__getitem__)
        if len(arms) > 1:
            scores = arise(right[..., arms], tokens[..., arms]).mean(axis=1)
            found.append(_score(method, scores))
    return tuple(found)


def plot_arise(evaluation: Results, *, ax: Axes | None = None) -> Axes:
    """Plot the ARISE score of each method of several budgets, with its 95% interval.

    Args:
        evaluation: at least one of whose problems all arms are done with.
        ax: where to draw; on a new figure when None.

    Returns:
        The axes.

    Raises:
        ValueError: no problem is done, tokens were not counted, or no method has two budgets.

    Example:
        >>> import motes, tempfile
        >>> from pathlib import Path
        >>> from motes.evaluation.laws import plot_arise
        >>> from motes.models import TableLM
        >>> evaluation = motes.evaluate(
        ...     [("?", 1), ("!", 0)],
        ...     samplers={"vote": [motes.samplers.MajorityVote(samples=n) for n in (1, 4)]},
        ...     answer=lambda x: str(x.token_ids[0]) if x.finished else None,
        ...     lm=TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2),
        ...     prm=None, max_steps=3, progress=False,
        ...     results=Path(tempfile.mkdtemp()) / "results.jsonl",
        ... )
        >>> plot_arise(evaluation).get_xlabel()
        'ARISE'
    """
    scores = arise_of_methods(evaluation)
    if not scores:
        raise ValueError("ARISE needs a method with two budgets or more")
    ax = one(ax, 6.4, 1.2 + 0.4 * len(scores))
    mean, low, high = np.array([(score.mean, score.low, score.high) for score in scores]).T
    places = np.arange(len(scores))
    spread = np.stack([mean - low, high - mean])
    ax.errorbar(mean, places, xerr=spread, fmt="o", color=NAMED[0], capsize=3)
    ax.set_yticks(places, [readable(score.method) for score in scores])
    ax.axvline(0, color="0.6", linewidth=1)
    title = f"ARISE on {len(evaluation.whole)} problems (95% intervals)"
    frame(ax, title=title, x="ARISE", y="", grid="x")
    return ax


def _score(method: str, scores: np.ndarray) -> Arise:
    """Return the mean over problems, with its interval."""
    from scipy.special import stdtrit

    count, mean = len(scores), float(scores.mean())
    if count < 2:
        return Arise(method, mean, float("nan"), float("nan"))
    spread = float(stdtrit(count - 1, 0.975) * scores.std(ddof=1) / sqrt(count))
    return Arise(method, mean, mean - spread, mean + spread)
