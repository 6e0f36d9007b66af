r"""The scaling-rate ratio: how many times fewer tokens one sampler needs than another.

    ratio = n_b / n_a,    n_s = min { n >= least_s : accuracy_s(n) >= accuracy }

draw by draw of the fitted model, least_s being the least tokens that sampler s was measured at:
nobody is asked to run it with less. So n_s is infinite where the accuracy lies above the ceiling,
or where more tokens do not help; beyond the largest measured budget the curve extrapolates. Each of
these is reported with its share of the draws. No draw is left out, but where neither sampler gets
there: that ratio is undefined.

The comparison of test-time scaling by such ratios: Snell et al. (2024), arXiv:2408.03314; Puri et
al. (2025), arXiv:2502.01618.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .scaling import needed
from .scaling_draws import ScalingDraws, tails

WORTH_A_WORD = 0.005  # shares of draws below this one are not reported
POINTS = 65  # of a curve whose range is looked for
ROUNDING = 1e-9  # relative, of numbers of tokens


@dataclass(frozen=True, eq=False)
class Ratio:
    """How many times fewer tokens sampler a needs than b for the same accuracy, as posterior draws.

    Attributes:
        a, b: the samplers.
        accuracy: that both are to reach.
        tokens_a, tokens_b: that they need; plus infinity where a sampler never gets there; shape
            (C, D).
        measured_a, measured_b: least and largest tokens that they were measured at.

    Example:
        >>> import numpy as np
        >>> draws = np.random.default_rng(0).lognormal(0.0, 0.1, (4, 500))
        >>> ratio = Ratio("filter", "vote", 0.8, 100 * draws, 400 * draws, (50, 900), (50, 900))
        >>> round(float(ratio.median), 1)
        4.0
    """

    a: str
    b: str
    accuracy: float
    tokens_a: np.ndarray
    tokens_b: np.ndarray
    measured_a: tuple[float, float]
    measured_b: tuple[float, float]

    @property
    def draws(self) -> np.ndarray:
        """n_b / n_a, shape (C, D).

        It is 0 where only a never gets there, infinite where only b does not, NaN where neither
        does.
        """
        with np.errstate(invalid="ignore", over="ignore"):
            return self.tokens_b / self.tokens_a

    @property
    def never(self) -> dict[str, float]:
        """The probability that a sampler never gets there: each alone, by its name, and "both"."""
        a, b = np.isinf(self.tokens_a), np.isinf(self.tokens_b)
        return {
            self.a: float(np.mean(a & ~b)),
            self.b: float(np.mean(b & ~a)),
            "both": float(np.mean(a & b)),
        }

    @property
    def extrapolated(self) -> float:
        """The probability that a sampler gets there beyond its largest measured budget."""
        beyond_a = _beyond(self.tokens_a, self.measured_a[1])
        beyond_b = _beyond(self.tokens_b, self.measured_b[1])
        return float(np.mean(beyond_a | beyond_b))

    @property
    def at_least_budget(self) -> float:
        """The probability that a sampler is there at its least measured budget.

        It might then have needed still less.
        """
        least_a = self.tokens_a <= self.measured_a[0] * (1 + ROUNDING)
        least_b = self.tokens_b <= self.measured_b[0] * (1 + ROUNDING)
        return float(np.mean(least_a | least_b))

    @property
    def median(self) -> float:
        """The median of the draws in which one of them gets there; NaN where there is none."""
        return self._quantile(0.5)

    def interval(self, probability: float = 0.95) -> tuple[float, float]:
        """Return the credible interval between equal tails.

        It is of the draws in which at least one of them gets there; its ends may be 0 or infinite.

        Raises:
            ValueError: the probability does not lie between 0 and 1.
        """
        low, high = tails(probability)
        return self._quantile(low), self._quantile(high)

    def __str__(self) -> str:
        low, high = self.interval()
        sentence = (
            f"{self.a} needs {_figure(self.median)} times fewer tokens than {self.b} for an "
            f"accuracy of {self.accuracy:.3f}"
        )
        interval = f"(95% credible interval {_figure(low)} to {_figure(high)})"
        never = self.never
        shares = {
            f"only {self.a} never gets there": never[self.a],
            f"only {self.b} never gets there": never[self.b],
            "neither ever gets there": never["both"],
            "one of them gets there beyond what was measured": self.extrapolated,
            "one of them gets there already at a least budget": self.at_least_budget,
        }
        clauses = [f"{sentence} {interval}"]
        for event, share in shares.items():
            if share >= WORTH_A_WORD:
                clauses.append(f"probability {share:.2f} that {event}")
        return "; ".join(clauses)

    def _quantile(self, at: float) -> float:
        """Return a quantile of the draws that are not NaN; NaN where there are none."""
        draws = self.draws[~np.isnan(self.draws)]
        if not draws.size:
            return np.nan
        # one of the draws, since between infinities there is no line
        return float(np.quantile(draws, at, method="inverted_cdf"))


def ratio(fit: ScalingDraws, a: str, b: str, accuracy: float) -> Ratio:
    """Return the ratio at this accuracy. Raises ValueError where a sampler is unknown."""
    return Ratio(
        a,
        b,
        accuracy,
        _tokens(fit, a, accuracy),
        _tokens(fit, b, accuracy),
        fit.measured(a),
        fit.measured(b),
    )


def common_accuracy(fit: ScalingDraws, a: str, b: str) -> float:
    """Return the middle of the accuracies that both curves take within what was measured.

    The curves are posterior means. Where they share no accuracy, because one sampler's worst is
    better than the other's best, it is that best.
    """
    curves = []
    for sampler in (a, b):
        fit.of(sampler)  # which checks the name
        least, most = fit.measured(sampler)
        curves.append(fit.accuracies(sampler, np.geomspace(least, most, POINTS)).mean(axis=(0, 1)))
    low = max(curve.min() for curve in curves)
    high = min(curve.max() for curve in curves)
    return float(min((low + high) / 2, high))


def _tokens(fit: ScalingDraws, sampler: str, accuracy: float) -> np.ndarray:
    """Return the tokens needed in each draw, shape (C, D)."""
    least = np.log2(fit.measured(sampler)[0]) - fit.centre
    with np.errstate(over="ignore"):
        return np.exp2(needed(accuracy, *fit.of(sampler), least) + fit.centre)


def _beyond(tokens: np.ndarray, most: float) -> np.ndarray:
    """Return in which draws a sampler gets there with more tokens than `most`, shape (C, D)."""
    return (tokens > most * (1 + ROUNDING)) & np.isfinite(tokens)


def _figure(value: float) -> str:
    """Return a ratio in words."""
    if np.isinf(value):
        return "infinitely many"
    if np.isnan(value):
        return "?"
    return f"{value:.3g}"
