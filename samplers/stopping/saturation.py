"""Saturation: a number of solutions fixed beforehand, after which another adds too little.

If a question is solved by one solution with probability p, N of them solve it with probability
F(N) = F_max (1 - (1 - p)^N), as published, and solution N + 1 adds F_max p (1 - p)^N. That is at
most eps from

    N* = ceil(ln(eps / (F_max p)) / ln(1 - p))

on. Questions differ, though, and the mean over questions of (1 - p)^N falls like a power of N where
p has mass near 0. With p ~ Beta(a, b) over questions, solution N + 1 adds

    F_max B(a + 1, b + N) / B(a, b),

of which the published form is the limit of one p for all. F is a chance that some solution is
right; a vote gains less.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, inf, log1p

import numpy as np
from scipy.optimize import curve_fit
from scipy.special import betaln

from ... import checks
from .drawn_solutions import Solutions
from .stopping_rule import StoppingRule, Verdict, leader

WIDEST = 1e6  # the largest concentration that a fit tries


@dataclass(frozen=True, kw_only=True)
class Saturation(StoppingRule):
    """Stop where one more solution adds too little to the chance that one is right.

    How many are drawn is known beforehand: no estimate is bent, and nothing is certified. Source:
    arXiv:2505.20522 for the published form (`concentration` infinite); derived here for questions
    that differ.

    Attributes:
        gain: eps, the least that a solution must add to be worth drawing, in (0, 1).
        ceiling: F_max, the share of questions that can be solved at all, in (0, 1].
        rate: the mean of p over those, in (0, 1).
        concentration: a + b of the Beta law of p; infinity where all questions have one p. With
            rate 1/2 and concentration 2 p is uniform.

    Raises:
        TypeError, ValueError: an attribute is not of its kind, or out of its range.

    Example:
        >>> Saturation(gain=0.01).needed, Saturation(gain=0.01, concentration=inf).needed
        (9, 6)
    """

    gain: float = 0.01
    ceiling: float = 1.0
    rate: float = 0.5
    concentration: float = 2.0

    name = "saturation"
    paper = "arXiv:2505.20522; derived for questions that differ"
    looks_at_answers = False

    def __post_init__(self) -> None:
        checks.settle(
            self,
            gain=checks.number("gain", self.gain, above=0, below=1),
            ceiling=checks.number("ceiling", self.ceiling, above=0, most=1),
            rate=checks.number("rate", self.rate, above=0, below=1),
        )
        if self.concentration != inf:
            checks.settle(self, concentration=checks.positive("concentration", self.concentration))

    def gain_after(self, count: int) -> float:
        """Return what solution number count + 1 adds to F.

        Example:
            >>> round(Saturation().gain_after(9), 4)  # 1 / ((9 + 1) (9 + 2))
            0.0091
        """
        unsolved = solved_at_next(self.rate, self.concentration, count)
        return self.ceiling * float(unsolved)

    @property
    def needed(self) -> int:
        """N*, at least 1."""
        most = 1
        while self.gain_after(most) > self.gain:
            most *= 2
        least = most // 2 + 1
        while least < most:
            middle = (least + most) // 2
            if self.gain_after(middle) > self.gain:
                least = middle + 1
            else:
                most = middle
        return most

    def stop(self, solutions: Solutions) -> Verdict | None:
        if self.gain_after(len(solutions)) > self.gain:
            return None
        said = (
            f"another solution than these {len(solutions)} adds {self.gain:g} at most to the "
            "chance that one is right, if questions are as the fit says; the answer is their vote"
        )
        return Verdict(leader(solutions), said)


def solved_at_next(rate: float, concentration: float, count: float) -> float:
    """Return E[p (1 - p)^N], with p of this mean and concentration.

    Example:
        >>> round(solved_at_next(0.5, 2.0, 1), 6)
        0.166667
    """
    if concentration == inf:
        return rate * exp(count * log1p(-rate))
    a, b = rate * concentration, (1 - rate) * concentration
    return float(np.exp(betaln(a + 1, b + count) - betaln(a, b)))


def fit_saturation(
    draws: Sequence[int], solved: Sequence[float], *, gain: float = 0.01, mixed: bool = True
) -> Saturation:
    """Fit the law of saturation to a curve of coverage, by least squares.

    Args:
        draws: N, at least as many points as there are parameters (3, or 2 of the published form).
        solved: F(N), the share of questions of which one of N solutions is right, such as unbiased
            pass@k.
        gain: of the rule that comes back.
        mixed: whether questions may differ; False for the published form.

    Raises:
        ValueError: there are too few points, or they are not one share for each N.

    Example:
        >>> draws = [1, 2, 4, 8, 16]
        >>> rule = fit_saturation(draws, [0.8 * (1 - 0.7**n) for n in draws], mixed=False)
        >>> round(rule.ceiling, 3), round(rule.rate, 3)
        (0.8, 0.3)
    """
    counts = np.array([checks.count("draws", count) for count in draws], np.float64)
    shares = np.array([checks.fraction("solved", share) for share in solved])
    least = 3 if mixed else 2
    if len(counts) != len(shares) or len(set(draws)) < least:
        raise ValueError(
            f"draws and solved must be {least} different points or more, and as many, not "
            f"{len(counts)} and {len(shares)}"
        )

    def curve(n: np.ndarray, ceiling: float, rate: float, log_width: float = inf) -> np.ndarray:
        if log_width == inf:
            return ceiling * -np.expm1(n * np.log1p(-rate))
        a, b = rate * np.exp(log_width), (1 - rate) * np.exp(log_width)
        return ceiling * -np.expm1(betaln(a, b + n) - betaln(a, b))

    tiny, widest = 1e-6, float(np.log(WIDEST))
    begin = [min(max(shares.max(), 0.1), 0.99), 0.3, np.log(2.0)][:least]
    bounds = ([tiny, tiny, -5.0][:least], [1.0, 1 - tiny, widest][:least])
    found, _ = curve_fit(curve, counts, shares, p0=begin, bounds=bounds)
    width = float(np.exp(found[2])) if mixed else inf
    return Saturation(gain=gain, ceiling=float(found[0]), rate=float(found[1]), concentration=width)
