"""How many solutions of each configuration: the best mix for a budget, from runs that were graded.

A configuration k (a model, a prompt, a temperature) costs w_k a solution, and solved training
question x in c_xk of m_xk runs. With n_k solutions of each, question x is solved with probability

    1 - prod_k f_xk(n_k),    f_xk(n) = the chance that none of n is right,

and the mean over x is maximised over n with sum_k w_k n_k <= B. The published code puts
(1 - c/m)^n for f, which is too large on average (Jensen's inequality). Here it is

    C(m - c, n) / C(m, n)                           "unbiased", for n <= m, or
    B(1 + c, 1 + m - c + n) / B(1 + c, 1 + m - c)   "beta", the mean under a uniform prior.

For one question log f falls and gains shrink; the sum over questions has diminishing returns, so
that adding what gains most for its cost, again and again, is within a factor 1 - 1/e of the best
where all costs are equal. Exchanges of one solution for others then go on until none gains.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import betaln, gammaln

from ... import checks

ESTIMATORS = ("beta", "unbiased", "published")
GAINS = 1e-12  # what counts as a gain, in solved questions


class Mix(NamedTuple):
    """Solutions of each configuration.

    Attributes:
        draws: n_k, shape (K,).
        solved: the expected share of questions that are solved.
        cost: of all solutions on a question.

    Example:
        >>> Mix(draws=(3, 0), solved=0.5, cost=3.0).draws
        (3, 0)
    """

    draws: tuple[int, ...]
    solved: float
    cost: float


def best_mix(
    right: Sequence[Sequence[int]],
    runs: Sequence[Sequence[int]],
    budget: float,
    *,
    costs: Sequence[float] | None = None,
    estimator: str = "beta",
) -> Mix:
    """Choose how many solutions each configuration gets, by greedy steps and exchanges.

    Source: Zhang et al. (2024), arXiv:2410.22480 (OSCA); estimates and greedy steps derived here.

    Args:
        right: c_xk, shape (X, K).
        runs: m_xk, shape (X, K), at least 1.
        budget: B, for one question.
        costs: w_k, above 0, shape (K,); 1 for each where None.
        estimator: of f: "beta", "unbiased" (n_k is then at most the fewest runs of k) or
            "published".

    Returns:
        The mix; its share of solved questions is that of the training questions, by the same
        estimator, and so too high.

    Raises:
        ValueError: counts do not fit each other, or the budget buys nothing.

    Example:
        >>> best_mix([[4, 0], [0, 4]], [[8, 8], [8, 8]], budget=4).draws
        (2, 2)
    """
    counts, tries = np.asarray(right, np.int64), np.asarray(runs, np.int64)
    checks.choice("estimator", estimator, ESTIMATORS)
    if counts.ndim != 2 or counts.shape != tries.shape or not counts.size:
        raise ValueError(
            "right and runs must be tables of questions by configurations, of one shape, not of "
            f"{counts.shape} and {tries.shape}"
        )
    if (tries < 1).any() or (counts < 0).any() or (counts > tries).any():
        raise ValueError("right must be between 0 and runs, and runs at least 1")
    prices = np.ones(counts.shape[1]) if costs is None else np.asarray(costs, np.float64)
    if prices.shape != counts.shape[1:] or not (prices > 0).all():
        raise ValueError(f"costs must be {counts.shape[1]} numbers above 0, not {costs!r}")
    most = (checks.number("budget", budget, above=0) / prices + 1e-9).astype(int)
    if estimator == "unbiased":
        most = np.minimum(most, tries.min(0))
    if not most.any():
        raise ValueError(f"budget must buy one solution, not {budget:g} where each costs {prices}")
    tables = [
        log_failure(counts[:, k], tries[:, k], int(most[k]), estimator) for k in range(len(prices))
    ]
    draws = _exchanged(tables, prices, budget, _greedy(tables, prices, budget))
    return Mix(tuple(draws), _solved(tables, draws), float(prices @ draws))


def log_failure(right: np.ndarray, runs: np.ndarray, most: int, estimator: str) -> np.ndarray:
    """Return log f(n) for n = 0, ..., most, shape (X, most + 1); see this module.

    Example:
        >>> np.exp(log_failure(np.array([1]), np.array([2]), 2, "unbiased")).round(6).tolist()
        [[1.0, 0.5, 0.0]]
    """
    c, m, n = right[:, None], runs[:, None], np.arange(most + 1)
    if estimator == "beta":
        return betaln(1 + c, 1 + m - c + n) - betaln(1 + c, 1 + m - c)
    with np.errstate(divide="ignore", invalid="ignore"):
        if estimator == "published":
            return np.where(n == 0, 0.0, n * np.log1p(-c / m))
        left = m - c - n
        values = gammaln(m - c + 1) - gammaln(left + 1) - gammaln(m + 1) + gammaln(m - n + 1)
    return np.where(left >= 0, values, -np.inf)


def _solved(tables: Sequence[np.ndarray], draws: Sequence[int]) -> float:
    """Return the mean over questions of the chance that one of these solutions is right."""
    logs = sum(table[:, n] for table, n in zip(tables, draws, strict=True))
    return float(-np.expm1(logs).mean())


def _greedy(tables: Sequence[np.ndarray], prices: np.ndarray, budget: float) -> list[int]:
    """Add the solution that gains most for its cost, until none can be paid."""
    draws = [0] * len(tables)
    while True:
        left, now = budget - float(prices @ draws), _solved(tables, draws)
        able = [k for k in range(len(tables)) if _can_add(tables, prices, draws, k, left)]
        if not able:
            return draws
        gains = {k: (_solved(tables, _moved(draws, k)) - now) / prices[k] for k in able}
        draws = _moved(draws, max(able, key=lambda k: (gains[k], -k)))


def _exchanged(
    tables: Sequence[np.ndarray], prices: np.ndarray, budget: float, draws: list[int]
) -> list[int]:
    """Exchange one solution of a configuration for what its price buys, while that gains."""
    while True:
        best, found = _solved(tables, draws) + GAINS, None
        for source in [k for k, n in enumerate(draws) if n]:
            fewer = _moved(draws, source, -1)
            for target in range(len(tables)):
                changed = fewer
                while _can_add(tables, prices, changed, target, budget - float(prices @ changed)):
                    changed = _moved(changed, target)
                if target != source and _solved(tables, changed) > best:
                    best, found = _solved(tables, changed), changed
        if found is None:
            return draws
        draws = found


def _can_add(
    tables: Sequence[np.ndarray], prices: np.ndarray, draws: Sequence[int], k: int, left: float
) -> bool:
    """Say whether another solution of configuration k can be had."""
    return bool(prices[k] <= left + 1e-9) and draws[k] + 1 < tables[k].shape[1]


def _moved(draws: Sequence[int], k: int, by: int = 1) -> list[int]:
    """Return the draws with one more, or less, of configuration k."""
    return [n + by if place == k else n for place, n in enumerate(draws)]
