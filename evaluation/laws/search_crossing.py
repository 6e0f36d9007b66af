"""The budget at which a search that a verifier guides loses to sampling.

With few tokens a search that prunes by a verifier is ahead of independent samples; with many, what
the verifier misjudges is pruned every time, and samples catch up: Yu, Li and Wang (2025),
arXiv:2502.00271. On I problems at costs b_1 < ... < b_K let

    D_k = mean over problems of (success of the search - success of sampling at equal cost).

The crossing is where the D_k, made to fall by pooling neighbours (isotonic regression), cross zero
on a line in log b. Its interval comes from one-sided t-tests over problems at level 2.5%, in fixed
order, so that the number of budgets costs nothing: from the least cost upwards, the last one up to
which the search is ahead at every cost, and from the largest downwards, the first one from which it
is behind. If the search is ahead up to some cost and not beyond it, the interval holds that cost
with probability 95%; if that isn't so, it still says where the search is surely ahead and behind.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, inf, log
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from ... import checks
from ...diagnostics.plots.canvas import FAINT, frame, legend, one
from ...diagnostics.plots.shades import NAMED, readable
from ..law_rows import LawRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike

    from ..results import Results

Success = Literal["answer", "any draw"]

LEVEL = 0.025  # of each one-sided test
BAND = 0.18  # opacity
WORDS = (
    "The search is ahead of sampling below this cost and not above it: 0 where it is never ahead, "
    "infinite where it stays ahead of all that was measured."
)


@dataclass(frozen=True, eq=False)
class Crossing:
    """Where a search loses to sampling.

    Attributes:
        search, sampling: names of the methods.
        cost: of the search, rising, shape (K,).
        advantage: D_k, how much more often the search succeeds, shape (K,).
        low, high: ends of its 95% intervals over problems, shape (K,).
        point: the cost of the crossing; 0 where the search is never ahead, infinite where it stays
            ahead.
        ends: of its 95% interval: 0 where the search is not surely ahead at any cost, infinite
            where it is not surely behind at any.
        unit: of the costs.

    Example:
        >>> import numpy as np
        >>> from motes.evaluation.laws import crossing
        >>> search = np.repeat([[1.0, 0.5]], 40, axis=0)
        >>> sampling = np.repeat([[0.5, 1.0]], 40, axis=0)
        >>> found = crossing(search, sampling, [100, 400])
        >>> round(found.point), found.ends
        (200, (100.0, 400.0))
    """

    search: str
    sampling: str
    cost: np.ndarray
    advantage: np.ndarray
    low: np.ndarray
    high: np.ndarray
    point: float
    ends: tuple[float, float]
    unit: str = "tokens"

    def rows(self) -> tuple[LawRow, ...]:
        """Return the crossing as a row."""
        name = f"{self.unit} at which it loses to {self.sampling}"
        return (LawRow(name, self.point, *self.ends, WORDS, self.search),)


def crossing(
    search: ArrayLike,
    sampling: ArrayLike,
    cost: ArrayLike,
    *,
    names: tuple[str, str] = ("search", "sampling"),
    unit: str = "tokens",
) -> Crossing:
    """Return where a search loses to sampling, from successes on the same problems at equal costs.

    Args:
        search: how often it succeeded on each problem at each cost, shape (I, K), I at least 2.
        sampling: the same of sampling, shape (I, K).
        cost: positive, rising, shape (K,), K at least 2.
        names: of the search and of sampling.
        unit: of the costs, for captions.

    Raises:
        ValueError: the shapes differ, there are fewer than two problems or costs, a number is not
            finite, or costs do not rise.

    Example:
        >>> import numpy as np
        >>> from motes.evaluation.laws import crossing
        >>> ahead = np.array([[1, 1], [1, 0], [0, 1], [1, 1]])
        >>> crossing(ahead, 1 - ahead, [10, 20]).point
        inf
    """
    ours, theirs = np.asarray(search, np.float64), np.asarray(sampling, np.float64)
    costs = np.asarray(cost, np.float64)
    if ours.ndim != 2 or ours.shape != theirs.shape or costs.shape != ours.shape[1:]:
        raise ValueError(
            "search, sampling and cost must have the shapes (I, K), (I, K) and (K,), not "
            f"{ours.shape}, {theirs.shape} and {costs.shape}"
        )
    if len(ours) < 2 or len(costs) < 2:
        raise ValueError(f"a crossing needs two problems and two costs at least, not {ours.shape}")
    if not np.isfinite(ours - theirs).all():
        raise ValueError("search and sampling must be finite")
    if not np.isfinite(costs).all() or costs[0] <= 0 or np.any(np.diff(costs) <= 0):
        raise ValueError(f"cost must be positive and rise, not {checks.shown(costs.tolist())}")
    difference = ours - theirs
    mean, spread = _mean_and_spread(difference)
    return Crossing(
        *names, costs, mean, mean - spread, mean + spread,
        _zero(falling(mean), costs), _ends(mean, spread, costs), unit,
    )  # fmt: skip


def crossing_of_methods(
    evaluation: Results,
    search: str,
    sampling: str,
    *,
    success: Success = "answer",
    costs: Sequence[float] | None = None,
    unit: str = "tokens",
) -> Crossing:
    """Return where one method of an evaluation loses to another, at equal costs.

    Between budgets, the success of `sampling` on each problem is on a line in the logarithm of the
    cost; costs of `search` that lie outside those of `sampling` are left out.

    Args:
        evaluation: of two methods with two budgets or more each.
        search, sampling: names of methods in `evaluation.methods`.
        success: "answer", that the run's answer is right, or "any draw", that one of its draws is
            (so that selection plays no part).
        costs: of each arm, mean over problems, such as `equivalent_flops_of_arms` gives; generated
            tokens when None.
        unit: of the costs, for captions.

    Raises:
        TypeError, ValueError: an argument is not of its kind; a method has one budget; fewer than
            two costs of the search lie within those of sampling; no problem is done, or draws were
            not kept.

    Example:
        >>> import motes, tempfile
        >>> from pathlib import Path
        >>> from motes.evaluation.laws import crossing_of_methods
        >>> from motes.models import FunctionReward, TableLM
        >>> from motes.samplers import BestOfN, ParticleFilter
        >>> evaluation = motes.evaluate(
        ...     [(f"{i}?", i % 2) for i in range(6)],
        ...     samplers={
        ...         "filter": [ParticleFilter(particles=n) for n in (2, 4, 8)],
        ...         "best": [BestOfN(particles=n) for n in (1, 16)],
        ...     },
        ...     answer=lambda x: str(x.token_ids[0]) if x.finished else None,
        ...     lm=TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2),
        ...     prm=FunctionReward(lambda x: 1.0 - x.token_ids[0]), max_steps=6, progress=False,
        ...     results=Path(tempfile.mkdtemp()) / "results.jsonl",
        ... )
        >>> crossing_of_methods(evaluation, "filter", "best").cost.shape
        (3,)
    """
    checks.choice("search", search, evaluation.methods)
    checks.choice("sampling", sampling, evaluation.methods)
    checks.choice("success", success, get_args(Success))
    if not evaluation.whole:
        raise ValueError("a crossing needs at least one problem that all samplers are done with")
    shares = evaluation.right / evaluation.repeats
    if success == "any draw":
        shares = _any_draw(evaluation)
    spent = evaluation.tokens.mean(axis=0) if costs is None else np.asarray(costs, np.float64)
    if spent.shape != (len(evaluation.arms),):
        raise ValueError(f"costs must be one for each of {len(evaluation.arms)} arms")
    if not np.all(np.isfinite(spent) & (spent > 0)):
        raise ValueError(f"costs of arms must be positive, not {checks.shown(spent.tolist())}")
    ours, theirs = (_arms(evaluation, name, spent) for name in (search, sampling))
    inside = [arm for arm in ours if spent[theirs[0]] <= spent[arm] <= spent[theirs[-1]]]
    if len(inside) < 2:
        raise ValueError(
            f"a crossing needs two costs of {search!r} or more within those of {sampling!r}, not "
            f"{len(inside)}"
        )
    equal = _interpolated(shares[:, theirs], spent[theirs], spent[inside])
    names = search, sampling
    return crossing(shares[:, inside], equal, spent[inside], names=names, unit=unit)


def plot_crossing(crossings: Sequence[Crossing], *, ax: Axes | None = None) -> Axes:
    """Plot by how much each search is ahead of sampling at equal cost, and where it loses.

    Bands are 95% intervals at each cost; the dot is the crossing, the thick line at the bottom its
    interval, up to the edge where it has no end.

    Args:
        crossings: of one unit.
        ax: where to draw; on a new figure when None.

    Returns:
        The axes.

    Raises:
        ValueError: there are none, or they are of several units.

    Example:
        >>> import numpy as np
        >>> from motes.evaluation.laws import crossing, plot_crossing
        >>> ahead = np.array([[1, 0], [1, 0], [1, 1]])
        >>> plot_crossing([crossing(ahead, 1 - ahead, [10, 20])]).get_xlabel()
        'tokens'
    """
    units = {found.unit for found in crossings}
    if len(units) != 1:
        raise ValueError(f"crossings must be one or more of one unit, not of {sorted(units)}")
    ax = one(ax, 6.4, 3.8)
    ax.axhline(0, color=FAINT, linewidth=1)
    ends = [end for found in crossings for end in (found.cost[0], found.cost[-1])]
    least, most = float(min(ends)) / 1.3, float(max(ends)) * 1.3
    lines = []
    for place, found in enumerate(crossings):
        colour = NAMED[place % len(NAMED)]
        label = f"{readable(found.search)} - {readable(found.sampling)}"
        ax.fill_between(found.cost, found.low, found.high, color=colour, alpha=BAND, linewidth=0)
        lines += ax.plot(found.cost, found.advantage, "-", color=colour, label=label)
        interval = np.clip(found.ends, least, most)
        height = 0.02 + 0.03 * place  # share of the axes' height
        bottom = ax.get_xaxis_transform()
        ax.plot(interval, [height, height], color=colour, linewidth=4, transform=bottom)
        if least <= found.point <= most:
            ax.plot([found.point], [0], "o", color=colour, markersize=8)
    ax.set_xscale("log", base=2)
    ax.set_xlim(least, most)
    ax.xaxis.set_major_formatter(lambda value, _: _short(value))
    title = "Where search loses to sampling (bands: 95% intervals)"
    frame(ax, title=title, x=units.pop(), y="advantage of the search", grid="both")
    legend(ax, lines)
    return ax


def _short(value: float) -> str:
    """Return a cost for an axis: in full, or as a power of ten where it is large."""
    return f"{value:,.0f}" if value < 1e6 else f"{value:.1e}"


def falling(values: np.ndarray) -> np.ndarray:
    """Return the falling sequence that is closest to this one in squares (isotonic regression).

    Example:
        >>> falling(np.array([3.0, 1.0, 2.0, 0.0])).tolist()
        [3.0, 1.5, 1.5, 0.0]
    """
    blocks: list[tuple[float, int]] = []
    for value in values.tolist():
        total, size = value, 1
        while blocks and blocks[-1][0] / blocks[-1][1] < total / size:
            before, count = blocks.pop()
            total, size = total + before, size + count
        blocks.append((total, size))
    return np.array([total / size for total, size in blocks for _ in range(size)])


def _mean_and_spread(difference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean over problems, and half the width of its 95% interval, both (K,)."""
    from scipy.special import stdtrit

    problems = len(difference)
    error = difference.std(axis=0, ddof=1) / np.sqrt(problems)
    return difference.mean(axis=0), float(stdtrit(problems - 1, 1 - LEVEL)) * error


def _ends(mean: np.ndarray, spread: np.ndarray, costs: np.ndarray) -> tuple[float, float]:
    """Return the last cost up to which the search is surely ahead, the first from which behind."""
    low, high = 0.0, inf
    for cost, surely in zip(costs.tolist(), (mean > spread).tolist(), strict=True):
        if not surely:
            break
        low = cost
    for cost, surely in zip(costs[::-1].tolist(), (mean < -spread)[::-1].tolist(), strict=True):
        if not surely:
            break
        high = cost
    return low, high


def _zero(advantage: np.ndarray, costs: np.ndarray) -> float:
    """Return where a falling advantage crosses zero, on a line in the logarithm of the cost."""
    ahead = int(np.sum(advantage > 0))
    if ahead == 0:
        return 0.0
    if ahead == len(costs):
        return inf
    above, below = float(advantage[ahead - 1]), float(advantage[ahead])
    start, end = log(costs[ahead - 1]), log(costs[ahead])
    return exp(start + (end - start) * above / (above - below))


def _arms(evaluation: Results, name: str, costs: np.ndarray) -> list[int]:
    """Return the arms of a method by rising cost."""
    arms = [place for place, arm in enumerate(evaluation.arms) if arm.name == name]
    if len(arms) < 2:
        raise ValueError(f"a crossing needs two budgets or more of {name!r}")
    return sorted(arms, key=costs.tolist().__getitem__)


def _any_draw(evaluation: Results) -> np.ndarray:
    """Return how often one of a run's draws is right, shape (I', K)."""
    rows = {number: row for row, number in enumerate(evaluation.whole)}
    shares = np.zeros((len(rows), len(evaluation.arms)))
    for record in evaluation.records:
        if record.problem not in rows:
            continue
        if record.right_answers is None and record.error is None:
            raise ValueError("the success of any draw needs records that keep their draws")
        shares[rows[record.problem], record.arm] += bool(record.right_answers)
    return shares / evaluation.repeats


def _interpolated(shares: np.ndarray, costs: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return shares of each problem at the wanted costs, on lines in the logarithm of the cost."""
    columns = [np.interp(np.log(wanted), np.log(costs), row) for row in shares]
    return np.array(columns)
