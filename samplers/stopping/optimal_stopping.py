"""Optimal stopping with recall: stop when one more solution is worth less than it costs.

Solutions have scores R in [0, 1], the best so far can be taken at any time, and each costs c. Where
the law F of scores is known, the best rule (Weitzman's, of one box that is opened again and again)
stops at the first best b with

    E_F[(R - b)_+] <= c.

Where it is not, F is given the Dirichlet process prior of strength m around a law F_0. After n
scores the next one is drawn from (m F_0 + sum_i delta(R_i)) / (m + n); no score that was seen lies
above the best, so that one more is worth

    m / (m + n) E_{F_0}[(R - b)_+],

which falls with n and with b. Once it is worth its price no more, it never will be again: the rule
that looks one solution ahead is then the best of all rules, under that prior (Rothschild 1974).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import get_args

import numpy as np

from ... import checks
from ...ppl.targets import Aggregate
from .drawn_solutions import Solutions
from .stopping_rule import StoppingRule, Verdict


@dataclass(frozen=True, kw_only=True)
class OptimalStopping(StoppingRule):
    """Stop when the best solution's score leaves too little to be gained by another.

    What is maximised is the score of the best solution less the price of all, in expectation over
    the assumed law of scores; the answer is the best solution's. Nothing is said about whether it
    is right. Source: Weitzman (1979), doi:10.2307/1910412; Rothschild (1974), doi:10.1086/260229,
    for a law that is not known.

    Attributes:
        price: c, of one solution, in units of the score.
        score: R, of the reward model's step probabilities: "product", "min", "mean" or "last".
        known: scores in [0, 1], equally probable, that make up F_0, such as those of other
            questions; None for the uniform law.
        strength: m, how many solutions the belief in F_0 is worth, above 0; infinity where F_0 is
            known to be the law.

    Raises:
        TypeError, ValueError: an attribute is not of its kind, or out of its range.

    Example:
        >>> import numpy as np
        >>> seen = Solutions(("17", "18"), np.zeros(2), log_odds=((0.0,), (3.0,)))
        >>> verdict = OptimalStopping(price=0.01).stop(seen)
        >>> verdict.answer, verdict.voters
        ('18', (1,))
    """

    price: float = 0.01
    score: str = "product"
    known: tuple[float, ...] | None = None
    strength: float = 2.0

    name = "optimal_stopping"
    paper = "Weitzman (1979), doi:10.2307/1910412; Rothschild (1974), doi:10.1086/260229"
    needs_scores = True

    def __post_init__(self) -> None:
        checks.choice("score", self.score, get_args(Aggregate))
        checks.settle(self, price=checks.number("price", self.price, above=0))
        if self.strength != inf:
            checks.settle(self, strength=checks.positive("strength", self.strength))
        if self.known is not None:
            known = tuple(checks.fraction("a score of known", value) for value in self.known)
            if not known:
                raise ValueError("known must hold one score or more, or be None")
            checks.settle(self, known=known)

    def gain(self, best: float, count: int) -> float:
        """Return by how much one more solution is expected to raise the best score.

        Args:
            best: b, the best score so far, in [0, 1].
            count: n, solutions drawn.

        Example:
            >>> OptimalStopping(strength=2.0).gain(0.5, 2)  # 2 / 4 of (1 - 0.5)^2 / 2
            0.0625
        """
        if self.known is None:
            excess = (1 - best) ** 2 / 2
        else:
            excess = float(np.maximum(np.array(self.known) - best, 0).mean())
        return excess if self.strength == inf else excess * self.strength / (self.strength + count)

    def stop(self, solutions: Solutions) -> Verdict | None:
        best, value = solutions.best(self.score)
        gain = self.gain(value, len(solutions))
        if gain > self.price or best is None:
            return None
        answer = solutions.labels[best]
        return Verdict(
            answer,
            f"the best of {len(solutions)} solutions, {answer}, has the score {value:.3g}; by the "
            f"assumed law of scores another would add {gain:.2g}, and costs {self.price:g}; that "
            "is not that it is right",
            (best,),
        )

    def exhausted(self, solutions: Solutions) -> Verdict:
        return best_of(solutions, self.score)


def best_of(solutions: Solutions, score: str) -> Verdict:
    """Return the verdict for the best solution, where all were drawn before a rule could stop."""
    best, value = solutions.best(score)
    if best is None:
        return Verdict(None, f"none of {len(solutions)} solutions states an answer")
    answer = solutions.labels[best]
    said = (
        f"all {len(solutions)} were drawn before the rule could stop: the answer is that of the "
        f"best one, whose score is {value:.3g}"
    )
    return Verdict(answer, said, (best,))
