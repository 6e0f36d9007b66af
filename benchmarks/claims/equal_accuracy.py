"""Compare what methods spend at equal accuracy, by the hierarchical model of the evaluation."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from paired import holm, sign_test

from motes.evaluation.fit import fit_scaling
from motes.evaluation.scaling_fit import ScalingFit

RIGHT, GENERATED, READ, SCORED = 0, 1, 2, 3  # columns of a row
Table = Mapping[tuple[str, int], np.ndarray]


class Ratio(NamedTuple):
    """How many times less one method spends than another at equal accuracy.

    Attributes:
        median, low, high: of the posterior; the interval has 95%.
        accuracy: at which they are compared.
        draws: of the ratio, of those in which at least one of them gets there.
    """

    median: float
    low: float
    high: float
    accuracy: float
    draws: np.ndarray

    def __str__(self) -> str:
        return f"{shown(self.median)} ({shown(self.low)} to {shown(self.high)})"

    def tail(self) -> float:
        """Return the posterior tail beyond a ratio of 1, doubled."""
        below, above = float(np.mean(self.draws <= 1)), float(np.mean(self.draws >= 1))
        return min(1.0, 2 * min(below, above))

    def share(self, least: float) -> float:
        """Return the posterior probability that it is `least` or more."""
        return float(np.mean(self.draws >= least))


def shown(value: float) -> str:
    """Write a ratio.

    Example:
        >>> shown(3.14159), shown(float("inf"))
        ('3.1', 'infinite')
    """
    if np.isnan(value):
        return "?"
    return "infinite" if np.isinf(value) else f"{value:.2g}"


def table_of(rows: Mapping[str, Sequence[Any]], arms: Sequence[tuple[str, int]]) -> Table:
    """Return the rows of each method and budget as an array, shape (problems, 4).

    They are of the first problems, as many as every one of them has been run on.
    """
    named = {arm: rows.get(f"{arm[0]} {arm[1]}", []) for arm in arms}
    size = min(len(found) for found in named.values())
    return {
        arm: np.array(found[:size], np.float64).reshape(size, 4) for arm, found in named.items()
    }


def fitted(table: Table, prices: Sequence[float]) -> ScalingFit:
    """Fit the hierarchical model of accuracy against cost.

    Args:
        table: as `table_of` returns it.
        prices: of a token that the language model generates, of one that the reward model reads,
            and of a prefix that it scores.
    """
    right = np.stack([column[:, RIGHT] for column in table.values()], axis=1).astype(int)
    spent = np.array([column[:, 1:].mean(axis=0) @ np.array(prices) for column in table.values()])
    found = fit_scaling(right, spent, [method for method, _ in table], seed=0)
    for complaint in found.check():
        warnings.warn(complaint, RuntimeWarning, stacklevel=2)
    return found


def ratio(fit: ScalingFit, a: str, b: str) -> Ratio:
    """Return how many times less a spends than b, at an accuracy that both reach."""
    found = fit.ratio(a, b)
    draws = found.draws[~np.isnan(found.draws)]
    return Ratio(found.median, *found.interval(), found.accuracy, draws)


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
