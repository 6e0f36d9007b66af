"""Confidence: stop when a solution, or an answer's share of it, is sure enough.

Self-calibration as published, with k_i the confidence in solution i:

    first    the first solution with k_i >= level
    share    the answer whose share of the summed k is at least the level, from the second on

Here k is a reward model's score, mapped to a probability by a curve that was fitted on solutions
with known answers (`isotonic_curve`). A curve that is right for single solutions is not right for
those at which the rule stops: a question on which few solutions are sure still has a sure one among
many, and such questions are the hard ones. So the level is no probability of being right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
from scipy.optimize import isotonic_regression

from ... import checks
from ...ppl.targets import Aggregate
from .drawn_solutions import Solutions
from .optimal_stopping import best_of
from .stopping_rule import StoppingRule, Verdict

CRITERIA = ("first", "share")
FALLBACKS = ("best", "last")


@dataclass(frozen=True, kw_only=True)
class Confidence(StoppingRule):
    """Stop at the first solution, or share of an answer, of which a calibrated score is sure.

    The answer is that solution's, or that of the largest share; nothing bounds the probability
    that it is wrong. Source: Huang et al. (2025), arXiv:2503.00031, and its code, whose confidences
    are the model's own, trained to be calibrated.

    Attributes:
        criterion: "first" or "share", see this module's description.
        level: of the confidence or the share at which it stops, in (0, 1).
        score: of the reward model's step probabilities: "product", "min", "mean" or "last".
        curve: (score, probability) pairs, both rising, by which scores become confidences, with
            straight lines between them; None where scores are confidences, as those of a
            calibrated reward model.
        fallback: what answers where "first" never stops: the "best" solution, as the paper has it,
            or the "last", as its code has it.

    Raises:
        TypeError, ValueError: an attribute is not of its kind, or out of its range.

    Example:
        >>> import numpy as np
        >>> seen = Solutions(("17", "18"), np.zeros(2), log_odds=((0.0,), (3.0,)))
        >>> rule = Confidence(level=0.8)
        >>> rule.stop(seen.first(1)), rule.stop(seen).answer
        (None, '18')
    """

    criterion: str = "first"
    level: float = 0.8
    score: str = "last"
    curve: tuple[tuple[float, float], ...] | None = None
    fallback: str = "best"

    name = "confidence"
    paper = "Huang et al. (2025), arXiv:2503.00031"
    needs_scores = True

    def __post_init__(self) -> None:
        checks.choice("criterion", self.criterion, CRITERIA)
        checks.choice("score", self.score, get_args(Aggregate))
        checks.choice("fallback", self.fallback, FALLBACKS)
        checks.settle(self, level=checks.number("level", self.level, above=0, below=1))
        if self.curve is not None:
            checks.settle(self, curve=_checked(self.curve))

    def confidences(self, solutions: Solutions) -> np.ndarray:
        """Return k of each solution, 0 of those without an answer; shape (N,)."""
        values = solutions.scores(self.score)
        if self.curve is not None:
            places, heights = np.array(self.curve).T
            values = np.interp(values, places, heights)
        return np.where([label is not None for label in solutions.labels], values, 0.0)

    def stop(self, solutions: Solutions) -> Verdict | None:
        if self.criterion == "share":
            return self._by_share(solutions)
        value = float(self.confidences(solutions)[-1])
        if value < self.level:
            return None
        answer = solutions.labels[-1]
        said = (
            f"solution {len(solutions)} says {answer} with the confidence {value:.3g}, level "
            f"{self.level:g}, which at the solution where one stops is no probability"
        )
        return Verdict(answer, said, (len(solutions) - 1,))

    def _by_share(self, solutions: Solutions) -> Verdict | None:
        """Return the verdict by shares of the summed confidence."""
        values = self.confidences(solutions)
        if len(solutions) < 2 or not values.any():
            return None
        answer, share = _largest_share(solutions, values)
        if share < self.level:
            return None
        said = (
            f"{answer} has the share {share:.3g} of the confidence in {len(solutions)} solutions, "
            f"level {self.level:g}, which is no error probability"
        )
        return Verdict(answer, said, _stating(solutions, answer))

    def exhausted(self, solutions: Solutions) -> Verdict:
        values = self.confidences(solutions)
        if self.criterion == "share" and values.any():
            answer, share = _largest_share(solutions, values)
            said = (
                f"after all {len(solutions)} solutions {answer} has the largest share, {share:.3g}"
            )
            return Verdict(answer, said, _stating(solutions, answer))
        last = solutions.labels[-1]
        if self.fallback == "best" or last is None:
            return best_of(solutions, self.score)
        said = f"none of {len(solutions)} solutions was sure enough: the answer is the last one's"
        return Verdict(last, said, (len(solutions) - 1,))


def isotonic_curve(
    scores: Sequence[float], right: Sequence[bool]
) -> tuple[tuple[float, float], ...]:
    """Fit the rising curve from scores to probabilities of being right, by least squares.

    Args:
        scores: of solutions with known answers, in [0, 1].
        right: whether each is.

    Returns:
        (score, probability) at the ends of each flat piece, as `Confidence` takes it.

    Raises:
        ValueError: there are no scores, or not as many of both.

    Example:
        >>> isotonic_curve([0.1, 0.2, 0.3, 0.9], [False, True, False, True])
        ((0.1, 0.0), (0.2, 0.5), (0.3, 0.5), (0.9, 1.0))
    """
    values = np.asarray(scores, np.float64)
    if not len(values) or len(values) != len(right):
        raise ValueError(
            f"scores and right must be as many, and at least one, not {len(values)} and "
            f"{len(right)}"
        )
    places, groups = np.unique(values, return_inverse=True)
    sizes = np.bincount(groups)
    means = np.bincount(groups, np.asarray(right, np.float64)) / sizes
    heights = isotonic_regression(means, weights=sizes).x
    ends = [
        place
        for place in range(len(places))
        if place in (0, len(places) - 1)
        or heights[place] != heights[place - 1]
        or heights[place] != heights[place + 1]
    ]
    return tuple((float(places[i]), float(heights[i])) for i in ends)


def _largest_share(solutions: Solutions, values: np.ndarray) -> tuple[str, float]:
    """Return the answer with most of the summed confidence, and its share; of equals the first."""
    totals: dict[str, float] = {}
    for label, value in zip(solutions.labels, values.tolist(), strict=True):
        if label is not None:
            totals[label] = totals.get(label, 0.0) + value
    answer = max(totals, key=lambda label: totals[label])
    return answer, totals[answer] / float(values.sum())


def _stating(solutions: Solutions, answer: str) -> tuple[int, ...]:
    """Return the numbers of the solutions that state an answer."""
    return tuple(i for i, label in enumerate(solutions.labels) if label == answer)


def _checked(curve: object) -> tuple[tuple[float, float], ...]:
    """Return a curve in plain numbers.

    Raises:
        ValueError: it is no rising curve from [0, 1] to [0, 1].
    """
    points = np.asarray(curve, np.float64)
    rising = points.ndim == 2 and points.shape[1:] == (2,) and len(points) > 0
    if (
        not rising
        or not (np.diff(points[:, 0]) > 0).all()
        or not (np.diff(points[:, 1]) >= 0).all()
    ):
        raise ValueError(
            f"curve must hold (score, probability) pairs, rising in both, not {curve!r:.80}"
        )
    if not ((points >= 0) & (points <= 1)).all():
        raise ValueError("curve must hold scores and probabilities in [0, 1]")
    return tuple((float(x), float(y)) for x, y in points)
