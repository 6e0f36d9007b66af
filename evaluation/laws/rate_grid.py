"""Scaled beta laws of rates on a grid: their binomial probabilities, coverage, and finer grids.

A rate is p = c x with x ~ Beta(a, b). Expectations over x are by the double exponential rule: with
x = 1 / (1 + exp(-pi sinh u)), the trapezoidal rule in u (Takahasi and Mori 1974), whose error falls
exponentially even where the density is infinite at an end.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ... import checks

FARTHEST = 10**6  # runs
MOST_RUNS = 500  # of a problem: more would need a finer rule
STEP, LAST = 0.03, 5.5  # of u
POINTS = 16  # of each axis of a finer grid
TAIL = 1e-5  # posterior probability that a finer grid may leave out at each end of an axis
ROUNDS = 2  # of refinement


@dataclass(frozen=True, eq=False)
class RateGrid:
    """Laws with every a, b and c of three axes.

    Attributes:
        a, b: parameters of the beta law, in geometric progression, shapes (A,) and (B,).
        c: scales in (0, 1], in arithmetic progression, shape (C,).

    Example:
        >>> grid = RateGrid(np.array([1.0, 2.0]), np.array([1.0, 2.0]), np.array([0.5, 1.0]))
        >>> grid.coverage(1)[0, 0].round(6).tolist()  # means of uniform rates
        [0.25, 0.5]
    """

    a: np.ndarray
    b: np.ndarray
    c: np.ndarray

    @property
    def shape(self) -> tuple[int, int, int]:
        """The numbers of a, b and c."""
        return len(self.a), len(self.b), len(self.c)

    @property
    def volumes(self) -> np.ndarray:
        """The prior's measure of each cell, in units of log a, log b and c, shape (A, B, C)."""
        sides = []
        for values in (np.log(self.a), np.log(self.b), self.c):
            side = np.full(len(values), values[1] - values[0])
            side[[0, -1]] /= 2  # the trapezoidal rule
            sides.append(side)
        return sides[0][:, None, None] * sides[1][:, None] * sides[2]

    @cached_property
    def shares(self) -> np.ndarray:
        """The probabilities of the nodes x under each beta law, shape (A B, nodes)."""
        _, log_x, log_rest, log_slope = _NODES
        logs = self.a[:, None, None] * log_x + self.b[:, None] * log_rest + log_slope
        logs = logs.reshape(-1, logs.shape[-1])
        shares = np.exp(logs - logs.max(axis=1, keepdims=True))
        return shares / shares.sum(axis=1, keepdims=True)

    def log_law(self, runs: int) -> np.ndarray:
        """Return the log-probability of 0, ..., n right runs in each cell, (A, B, C, n + 1)."""
        from scipy.special import gammaln, xlog1py, xlogy

        right = np.arange(runs + 1)
        ways = gammaln(runs + 1) - gammaln(right + 1) - gammaln(runs - right + 1)
        law = np.empty((*self.shape, runs + 1))
        for place, scale in enumerate(self.c):
            rate = scale * _NODES[0][:, None]
            each = np.exp(ways + xlogy(right, rate) + xlog1py(runs - right, -rate))
            law[:, :, place] = (self.shares @ each).reshape(*self.shape[:2], -1)
        return np.log(np.maximum(law, np.finfo(np.float64).tiny))

    def coverage(self, k: int) -> np.ndarray:
        """Return how often one of k runs is right under each cell, shape (A, B, C).

        Raises:
            TypeError, ValueError: k is not an integer from 1 to a million.
        """
        k = checks.count("k", k, most=FARTHEST)
        with np.errstate(divide="ignore"):
            failed = np.exp(k * np.log1p(-self.c * _NODES[0][:, None]))
        return 1 - (self.shares @ failed).reshape(self.shape)

    def finer(self, weights: np.ndarray) -> RateGrid:
        """Return a grid of as many points as are wanted where these weights of cells are."""
        ranges: list[tuple[float, float]] = []
        for axis, values in enumerate((self.a, self.b, self.c)):
            others = tuple(other for other in range(3) if other != axis)
            total = np.cumsum(weights.sum(axis=others))
            low = int(np.searchsorted(total, TAIL)) - 1
            high = int(np.searchsorted(total, total[-1] - TAIL)) + 1
            low, high = max(low, 0), min(high, len(values) - 1)
            ranges.append((float(values[low]), float(values[high])))
        (a, most_a), (b, most_b), (c, most_c) = ranges
        return RateGrid(
            np.geomspace(a, most_a, POINTS),
            np.geomspace(b, most_b, POINTS),
            np.linspace(c, most_c, POINTS),
        )


def _nodes() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return x, log x, log(1 - x), and the log of what turns a density into a weight."""
    u = np.arange(-LAST, LAST + STEP / 2, STEP)
    logit = np.pi * np.sinh(u)
    log_x, log_rest = -np.logaddexp(0, -logit), -np.logaddexp(0, logit)
    # dx = x (1 - x) dlogit; a density's x^(a-1) (1-x)^(b-1) takes up the first two
    return np.exp(log_x), log_x, log_rest, np.log(np.cosh(u))


_NODES = _nodes()

COARSE = RateGrid(
    np.geomspace(0.05, 12.0, 24), np.geomspace(0.05, 60.0, 24), np.linspace(0.1, 1.0, 10)
)
"""The prior's range: flat in log a, log b and c."""
