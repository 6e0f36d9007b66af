"""What a stopping rule may look at: the solutions drawn so far, in the order of their slots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import inf
from typing import Any, NamedTuple

import numpy as np

from ...ppl.answers import group
from ...ppl.targets import Final


class Tally(NamedTuple):
    """An answer and what speaks for it.

    Attributes:
        answer: as it is spelled most often.
        worth: how many equally weighted solutions its share of the weight is worth.
    """

    answer: str
    worth: float


@dataclass(frozen=True, eq=False)
class Solutions:
    """Independent solutions from one law, in the order in which they count.

    Attributes:
        answers: of N solutions, as they are spelled; None where there is none.
        log_weights: log gamma(x) / q(x), not normalised, shape (N,).
        log_bound: the most that a log-weight can be, known before anything is drawn; infinity
            where nothing is known.
        log_odds: of each solution's steps by the reward model; None without a reward model.

    Example:
        >>> seen = Solutions(("18", "17", "18.0", None), np.zeros(4))
        >>> seen.tallies
        (Tally(answer='18', worth=2.0), Tally(answer='17', worth=1.0))
    """

    answers: tuple[str | None, ...]
    log_weights: np.ndarray
    log_bound: float = inf
    log_odds: tuple[Sequence[float], ...] | None = None

    def __len__(self) -> int:
        return len(self.answers)

    def first(self, count: int) -> Solutions:
        """Return the first `count` of them."""
        odds = None if self.log_odds is None else self.log_odds[:count]
        return Solutions(self.answers[:count], self.log_weights[:count], self.log_bound, odds)

    @cached_property
    def labels(self) -> tuple[str | None, ...]:
        """One label for answers that mean the same; None without an answer or a weight."""
        alive = (self.log_weights > -inf).tolist()
        stated = []
        for answer, living in zip(self.answers, alive, strict=True):
            stated.append(answer if living else None)
        return tuple(group(stated))

    def scores(self, score: str) -> np.ndarray:
        """Return R(x) of each solution, 0 of those without a weight; in [0, 1], shape (N,).

        Args:
            score: how R is made of the steps' probabilities: "last", "min", "product" or "mean".

        Raises:
            ValueError: there are no scores.
        """
        if self.log_odds is None:
            raise ValueError("these solutions have no scores: no reward model was asked")
        aggregate: Any = score
        target = Final(aggregate=aggregate)
        found = np.zeros(len(self))
        for i, row in enumerate(self.log_odds):
            if self.log_weights[i] > -inf and len(row):
                found[i] = np.exp(target.log_likelihood(row))
        return found

    def best(self, score: str) -> tuple[int | None, float]:
        """Return the number and the score of the best solution that states an answer.

        Of equals the first; None and 0 where none states any.

        Args:
            score: as of `scores`.
        """
        values = self.scores(score)
        stating = [i for i, label in enumerate(self.labels) if label is not None]
        if not stating:
            return None, 0.0
        best = max(stating, key=lambda i: (values[i], -i))
        return best, float(values[best])

    @cached_property
    def weights(self) -> np.ndarray:
        """The weights, the largest of which is 1; all 0 where all are dead; shape (N,)."""
        highest = float(np.max(self.log_weights, initial=-inf))
        if highest == -inf:
            return np.zeros(len(self))
        return np.exp(self.log_weights - highest)

    @cached_property
    def tallies(self) -> tuple[Tally, ...]:
        """The stated answers, the weightiest first; of equals the one that was drawn first.

        An answer with the share W_a of the weight counts as much as ESS W_a solutions of one weight
        each, with ESS = (sum w)^2 / sum w^2 of all solutions. That is the number of solutions where
        all weigh the same.
        """
        totals: dict[str, float] = {}
        for label, weight in zip(self.labels, self.weights.tolist(), strict=True):
            if label is not None:
                totals[label] = totals.get(label, 0.0) + weight
        squares = float(np.square(self.weights).sum())
        scale = float(self.weights.sum()) / squares if squares else 0.0
        ordered = sorted(totals.items(), key=lambda item: -item[1])
        return tuple(Tally(answer, scale * total) for answer, total in ordered)
