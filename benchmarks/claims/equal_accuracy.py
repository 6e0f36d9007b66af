"""Compare what methods spend at equal accuracy: lines between budgets, and a bootstrap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from paired import holm, interval, resampled, sign_test

RIGHT, GENERATED, READ, SCORED = 0, 1, 2, 3  # columns of a row
MOST, ROUNDING = 1e9, 1e-9  # of a ratio that is shown; of accuracies that are equal
Table = Mapping[tuple[str, int], np.ndarray]


class Ratio(NamedTuple):
    """How many times less one method spends than another at equal accuracy.

    Attributes:
        estimate, low, high: the interval has 95%.
        accuracy: at which they are compared.
        draws: of a bootstrap over problems, of those in which at least one of them gets there.
    """

    estimate: float
    low: float
    high: float
    accuracy: float
    draws: np.ndarray

    def __str__(self) -> str:
        return f"{shown(self.estimate)} ({shown(self.low)} to {shown(self.high)})"

    def tail(self) -> float:
        """Return the share of draws beyond a ratio of 1, doubled: a two-sided p-value."""
        below, above = float(np.mean(self.draws <= 1)), float(np.mean(self.draws >= 1))
        return min(1.0, 2 * min(below, above))

    def share(self, least: float) -> float:
        """Return the share of draws of `least` or more."""
        return float(np.mean(self.draws >= least))


def shown(value: float) -> str:
    """Write a ratio.

    Example:
        >>> shown(3.14159), shown(float("inf"))
        ('3.1', 'infinite')
    """
    if np.isnan(value):
        return "?"
    return "infinite" if value >= MOST else f"{value:.2g}"


def table_of(rows: Mapping[str, Sequence[Any]], arms: Sequence[tuple[str, int]]) -> Table:
    """Return the rows of each method and budget as an array, shape (problems, 4).

    They are of the first problems, as many as every one of them has been run on.
    """
    named = {arm: rows.get(f"{arm[0]} {arm[1]}", []) for arm in arms}
    size = min(len(found) for found in named.values())
    return {
        arm: np.array(found[:size], np.float64).reshape(size, 4) for arm, found in named.items()
    }


def ratio(table: Table, a: str, b: str, prices: Sequence[float]) -> Ratio:
    """Return how many times less a spends than b at an accuracy that both reach.

    Between budgets accuracy is a line over the logarithm of what is spent, and never falls.
    The accuracy is the middle of what both curves have in common, or where one begins above the
    other's end, that end. Draws are of a bootstrap over problems; where only one of the two reaches
    the accuracy the ratio is 0 or infinite, and where a curve begins above it, it counts with what
    its least budget spends.

    Args:
        table: as `table_of` returns it.
        a, b: methods.
        prices: of a token that the language model generates, of one that the reward model reads,
            and of a prefix that it scores.
    """
    curves = {method: _curve(table, method, prices, None) for method in (a, b)}
    ends = [(float(right[0]), float(right[-1])) for _, right in curves.values()]
    highest = min(high for _, high in ends)
    accuracy = min((max(low for low, _ in ends) + highest) / 2, highest)
    samples = resampled(len(next(iter(table.values()))))
    spent = {}
    for method in (a, b):
        tokens, right = _curve(table, method, prices, samples)
        spent[method] = np.array([reached(accuracy, tokens, each) for each in right.T])
    with np.errstate(invalid="ignore"):
        draws = spent[b] / spent[a]
    draws = draws[~np.isnan(draws)]
    at = [reached(accuracy, *curves[method]) for method in (a, b)]
    return Ratio(at[1] / at[0], *interval(np.minimum(draws, MOST)), accuracy, draws)


def reached(accuracy: float, tokens: np.ndarray, right: np.ndarray) -> float:
    """Return the tokens at which a curve that never falls reaches an accuracy; or infinity.

    Example:
        >>> round(reached(0.5, np.array([10.0, 40.0]), np.array([0.4, 0.6])), 6)
        20.0
    """
    if right[-1] < accuracy - ROUNDING:
        return float("inf")
    k = int(np.argmax(right >= accuracy - ROUNDING))
    if k == 0:
        return float(tokens[0])
    share = (accuracy - right[k - 1]) / (right[k] - right[k - 1])
    return float(np.exp(np.log(tokens[k - 1]) + share * np.log(tokens[k] / tokens[k - 1])))


def _curve(
    table: Table, method: str, prices: Sequence[float], samples: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return what is spent on a problem, and accuracies that never fall, by budget."""
    columns = [column for (name, _), column in table.items() if name == method]
    spent = np.array([column[:, 1:].mean(axis=0) @ np.array(prices) for column in columns])
    truth = np.stack([column[:, RIGHT] for column in columns])
    right = truth.mean(axis=1) if samples is None else truth[:, samples].mean(axis=2)
    return spent, np.maximum.accumulate(right, axis=0)


def signs(
    table: Table, a: tuple[str, int], others: Sequence[tuple[str, int]]
) -> list[tuple[int, float]]:
    """Compare who is right without a model.

    Returns:
        For each other arm, on how many problems the two differ, and the p-value of the sign test
        after Holm.
    """
    truth = {arm: table[arm][:, RIGHT].astype(bool) for arm in (a, *others)}
    corrected = holm([sign_test(truth[a], truth[other]) for other in others])
    differ = [int(np.sum(truth[a] != truth[other])) for other in others]
    return list(zip(differ, corrected.tolist(), strict=True))
