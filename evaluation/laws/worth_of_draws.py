"""How many draws are worth it where a wrong answer costs something: drawing until one passes.

A right answer is worth 1, a wrong one costs b, and each draw costs c. Of draws of a problem that
are right with probability s, pass with e1 when right and with e0 when wrong, with
phi = s e1 + (1 - s) e0, drawing until one passes, at most k times, is worth

    (s e1 - b (1 - s) e0 - c) (1 - (1 - phi)^k) / phi:

all or nothing, since each draw is worth the same. A best k in between comes from problems that
differ alone: those for which drawing on pays answer early, and those that are left after many
failures are the ones for which it does not: Stroebl, Kapoor and Narayanan (2024), arXiv:2411.17501.

Of n draws, of which m pass and r of these are right, the first j of k draws in random order all
fail with C(n-m, j) / C(n, j), so every term is estimated without bias for every k up to n.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ... import checks
from ...diagnostics.plots.canvas import FAINT, frame, legend, one
from ...diagnostics.plots.shades import NAMED, readable
from ..coverage_curve import pass_at_k
from ..law_rows import LawRow
from .verifier_limits import check_passes, passes_of_arm

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..results import Results

LEVEL = 0.975
BAND = 0.18  # opacity


@dataclass(frozen=True, eq=False)
class DrawingValue:
    """What drawing until one of k draws passes is worth, mean over problems.

    Attributes:
        k: 1, ..., n, shape (n,), int64.
        mean: of right answers minus `penalty` times wrong ones minus `cost` times draws, (n,).
        low, high: ends of its 95% interval over problems, by Student's t; NaN of one problem.
        draws: how many are made, mean, shape (n,).
        penalty, cost: b and c.

    Example:
        >>> import numpy as np
        >>> from motes.evaluation.laws import drawing_value
        >>> right = np.array([[True, True, False], [False, False, False]])
        >>> value = drawing_value(right, np.ones((2, 3), bool), penalty=1, cost=0.25)
        >>> value.mean.round(3).tolist(), value.best
        ([-0.583, -0.583, -0.583], 1)
    """

    k: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    draws: np.ndarray
    penalty: float
    cost: float

    @property
    def best(self) -> int:
        """The least k of the largest mean; its value is biased upwards, having been chosen."""
        return int(self.k[np.argmax(self.mean.round(12))])

    def rows(self) -> tuple[LawRow, ...]:
        """Return the best number of draws with its value, and the value of all draws."""
        words = (
            f"Right answers minus {self.penalty:g} for each wrong one and {self.cost:g} for each "
            "draw, until one passes the verifier."
        )
        found = []
        for name, place in (("best", self.best - 1), ("all", len(self.k) - 1)):
            ends = float(self.low[place]), float(self.high[place])
            label = f"value of {name} {int(self.k[place])} draws"
            found.append(LawRow(label, float(self.mean[place]), *ends, words))
        return tuple(found)


def drawing_value(
    right: np.ndarray, passed: np.ndarray, *, penalty: float, cost: float
) -> DrawingValue:
    """Return what drawing until a draw passes is worth, for each most number of draws.

    Args:
        right: whether each independent draw is, shape (problems, n), bool.
        passed: whether the verifier lets it pass, of the same shape.
        penalty: b, of a wrong answer, at least 0; a right one is worth 1.
        cost: c, of a draw, at least 0.

    Raises:
        TypeError, ValueError: an argument is not of its kind, or out of its range.

    Example:
        >>> import numpy as np
        >>> from motes.evaluation.laws import drawing_value
        >>> right = np.array([[True, False], [False, False]])
        >>> drawing_value(right, right, penalty=1, cost=0).mean.tolist()
        [0.25, 0.5]
    """
    from scipy.special import stdtrit

    right, passed = check_passes(right, passed)
    penalty = checks.number("penalty", penalty, least=0)
    cost = checks.number("cost", cost, least=0)
    problems, count = right.shape
    passing = passed.sum(axis=1)
    share = (right & passed).sum(axis=1) / np.maximum(passing, 1)
    numbers = np.arange(1, count + 1)
    reached = np.stack([pass_at_k(passing, count, k) for k in numbers.tolist()], axis=1)
    # draw j + 1 is made where none of the first j passed
    drawn = np.cumsum(np.column_stack([np.ones(problems), 1 - reached[:, :-1]]), axis=1)
    worth = reached * (share - penalty * (1 - share))[:, None] - cost * drawn
    mean, spread = worth.mean(axis=0), np.full(count, np.nan)
    if problems > 1:
        error = worth.std(axis=0, ddof=1) / np.sqrt(problems)
        spread = float(stdtrit(problems - 1, LEVEL)) * error
    return DrawingValue(
        numbers, mean, mean - spread, mean + spread, drawn.mean(axis=0), penalty, cost
    )


def drawing_value_of_arm(
    evaluation: Results, arm: int = 0, *, penalty: float, cost: float, least: float = 0.0
) -> DrawingValue:
    """Return what drawing until the reward model lets a draw pass is worth, of an arm's draws.

    Args:
        evaluation, arm, least: of `verifier_limit_of_arm`.
        penalty: of a wrong answer, at least 0; a right one is worth 1.
        cost: of a draw, at least 0.

    Raises:
        TypeError, ValueError: an argument is not of its kind, or out of its range; the arm's draws
            are not those that a verifier's limit needs.

    Example:
        >>> import motes, tempfile
        >>> from pathlib import Path
        >>> from motes.evaluation.laws import drawing_value_of_arm
        >>> from motes.models import FunctionReward, TableLM
        >>> evaluation = motes.evaluate(
        ...     [("?", 1), ("!", 0)],
        ...     samplers={"draws": motes.samplers.ImportanceSampling(particles=4)},
        ...     answer=lambda x: str(x.token_ids[0]) if x.finished else None,
        ...     lm=TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2),
        ...     prm=FunctionReward(lambda x: 1.0 - x.token_ids[0]), max_steps=6, progress=False,
        ...     results=Path(tempfile.mkdtemp()) / "results.jsonl",
        ... )
        >>> drawing_value_of_arm(evaluation, penalty=1, cost=0.01).k.tolist()
        [1, 2, 3, 4]
    """
    return drawing_value(*passes_of_arm(evaluation, arm, least), penalty=penalty, cost=cost)


def plot_drawing_value(values: Mapping[str, DrawingValue], *, ax: Axes | None = None) -> Axes:
    """Plot what drawing until one passes is worth against the most draws; a dot marks the best.

    Args:
        values: by the names of their arms.
        ax: where to draw; on a new figure when None.

    Returns:
        The axes.

    Raises:
        ValueError: there are no values.

    Example:
        >>> import numpy as np
        >>> from motes.evaluation.laws import drawing_value, plot_drawing_value
        >>> right = np.array([[True, False], [False, False]])
        >>> value = drawing_value(right, right, penalty=1, cost=0.1)
        >>> plot_drawing_value({"draws": value}).get_xlabel()
        'most draws (k)'
    """
    if not values:
        raise ValueError("values must hold at least one value")
    ax = one(ax, 6.4, 3.8)
    ax.axhline(0, color=FAINT, linewidth=1)
    lines = []
    for place, (name, value) in enumerate(values.items()):
        colour = NAMED[place % len(NAMED)]
        ax.fill_between(value.k, value.low, value.high, color=colour, alpha=BAND, linewidth=0)
        lines += ax.plot(value.k, value.mean, "-", color=colour, label=readable(name))
        ax.plot([value.best], [value.mean[value.best - 1]], "o", color=colour)
    ax.set_xscale("log", base=2)
    ax.xaxis.set_major_formatter(lambda number, _: f"{number:,.0f}")
    title = "Worth of drawing until one passes (bands: 95% intervals)"
    frame(ax, title=title, x="most draws (k)", y="worth a problem", grid="both")
    legend(ax, lines)
    return ax
