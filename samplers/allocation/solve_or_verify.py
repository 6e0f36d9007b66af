"""Solve or verify: whether the next tokens are worth more in a new solution or in a verdict.

The right answer T is taken to be one more draw from the law theta of the model's answers, with a
Dirichlet process prior of strength 1 for theta. After n solutions, c_a of them with answer a, and
s_a passes and f_a failures in verifications of those, with pass rates e1 of right answers and e0 of
wrong ones,

    q_a prop. to c_a (e1 / e0)^{s_a} ((1 - e1) / (1 - e0))^{f_a},    q_unseen prop. to 1,

is the probability that a is right; max_a q_a is the chance that the answer given is. A further
solution is a' with probability sum_T q_T (c_a' + 1[a' = T]) / (n + 2), and a verification of a
passes with probability q_a e1 + (1 - q_a) e0. So the expected gain of m solutions, or of m
verifications of one answer, is known, and what gains most for its price is done. As for votes, one
step ahead is often worth nothing, so that up to three solutions and eight verifications are looked
ahead. With verdicts that do not depend on each other given the answer all of this is exact; those
of one verifier on one solution do, and each solution is verified once where it is deterministic.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import log
from typing import NamedTuple

import numpy as np
from scipy.stats import binom

from ... import checks

SOLUTIONS_AHEAD = (1, 2, 3)
VERDICTS_AHEAD = (1, 2, 4, 8)


class Verdicts(NamedTuple):
    """Verifications of solutions with one answer.

    Attributes:
        passes, failures: how many of each.

    Example:
        >>> Verdicts(passes=3).failures
        0
    """

    passes: int = 0
    failures: int = 0


class Action(NamedTuple):
    """What to do next.

    Attributes:
        answer: whose solutions are to be verified; None for new solutions.
        times: how many.
        gain: by how much that is expected to raise the chance to be right.

    Example:
        >>> Action(answer=None, times=2, gain=0.01).answer is None
        True
    """

    answer: str | None
    times: int
    gain: float


@dataclass(frozen=True, kw_only=True)
class SolveOrVerify:
    """A budget shared between solutions and verifications of one question.

    The published rule (Singhi et al. 2025, arXiv:2504.01005) fixes S solutions with V verifications
    each, at the cost S (1 + price V); here each is bought where it is worth most.

    Attributes:
        budget: in solutions.
        price: of a verification, in solutions.
        pass_right, pass_wrong: e1 and e0, how often right and wrong solutions pass, as measured on
            questions with known answers; e1 above e0.
        least: solutions at first.

    Raises:
        TypeError, ValueError: an attribute is not of its kind, or out of its range.

    Example:
        >>> rule = SolveOrVerify(budget=16, price=0.25)
        >>> rule.next({"17": 3, "18": 3}, {}).answer
        '17'
    """

    budget: float
    price: float = 1.0
    pass_right: float = 0.8
    pass_wrong: float = 0.3
    least: int = 2

    def __post_init__(self) -> None:
        checks.settle(
            self,
            budget=checks.number("budget", self.budget, least=1),
            price=checks.number("price", self.price, above=0),
            pass_right=checks.number("pass_right", self.pass_right, above=0, below=1),
            pass_wrong=checks.number("pass_wrong", self.pass_wrong, above=0, below=1),
            least=checks.count("least", self.least),
        )
        if self.pass_right <= self.pass_wrong:
            raise ValueError(
                f"pass_right must be above pass_wrong, which is {self.pass_wrong:g}, not "
                f"{self.pass_right:g}"
            )

    def beliefs(
        self, counts: Mapping[str, int], verdicts: Mapping[str, Verdicts]
    ) -> dict[str | None, float]:
        """Return the probability that each answer is right; None for one that was not seen.

        Args:
            counts: solutions with each answer.
            verdicts: of answers that were verified.

        Example:
            >>> rule = SolveOrVerify(budget=8, pass_right=0.8, pass_wrong=0.2)
            >>> rule.beliefs({"17": 1, "18": 1}, {"18": Verdicts(passes=1)})["18"]
            0.6666666666666666
        """
        weights: dict[str | None, float] = {None: 1.0}
        for answer, count in counts.items():
            weights[answer] = count * np.exp(self._log_ratio(verdicts.get(answer, Verdicts())))
        total = sum(weights.values())
        return {answer: float(weight / total) for answer, weight in weights.items()}

    def next(
        self,
        counts: Mapping[str, int],
        verdicts: Mapping[str, Verdicts],
        able: Mapping[str, int] | None = None,
    ) -> Action:
        """Return what gains most for its price.

        Args:
            counts, verdicts: as of `beliefs`.
            able: how many verifications of each answer can be had; None for any number.
        """
        actions = []
        for m in SOLUTIONS_AHEAD:
            gain = self.gain_of_solutions(counts, verdicts, m)
            actions.append((gain / m, Action(None, m, gain)))
        for answer in counts:
            for m in VERDICTS_AHEAD:
                if able is None or m <= able.get(answer, 0):
                    gain = self.gain_of_verdicts(counts, verdicts, answer, m)
                    actions.append((gain / (m * self.price), Action(answer, m, gain)))
        best = max(worth for worth, _ in actions)
        # of equals the first: a rounding error decides nothing
        return next(action for worth, action in actions if worth >= best - 1e-12)

    def gain_of_verdicts(
        self,
        counts: Mapping[str, int],
        verdicts: Mapping[str, Verdicts],
        answer: str,
        m: int,
    ) -> float:
        """Return by how much m verifications of an answer raise the chance to be right."""
        beliefs = self.beliefs(counts, verdicts)
        now, own = verdicts.get(answer, Verdicts()), beliefs[answer]
        k = np.arange(m + 1)
        chances = own * binom.pmf(k, m, self.pass_right)
        chances += (1 - own) * binom.pmf(k, m, self.pass_wrong)
        after = 0.0
        for passes, chance in enumerate(chances.tolist()):
            later = Verdicts(now.passes + passes, now.failures + m - passes)
            after += chance * _best(self.beliefs(counts, {**verdicts, answer: later}))
        return after - _best(beliefs)

    def gain_of_solutions(
        self, counts: Mapping[str, int], verdicts: Mapping[str, Verdicts], m: int
    ) -> float:
        """Return by how much m further solutions raise the chance to be right."""
        return self._after_solutions(counts, verdicts, m) - _best(self.beliefs(counts, verdicts))

    def _after_solutions(
        self, counts: Mapping[str, int], verdicts: Mapping[str, Verdicts], m: int
    ) -> float:
        """Return the expected chance to be right after m further solutions."""
        beliefs = self.beliefs(counts, verdicts)
        if not m:
            return _best(beliefs)
        urn = sum(counts.values()) + 2
        new = f"new answer {m}"  # a name of its own, which no spelling of an answer has here
        chances = {answer: (count + beliefs[answer]) / urn for answer, count in counts.items()}
        chances[new] = (1 + beliefs[None]) / urn
        after = 0.0
        for answer, chance in chances.items():
            grown = {**counts, answer: counts.get(answer, 0) + 1}
            after += chance * self._after_solutions(grown, verdicts, m - 1)
        return after

    def _log_ratio(self, verdicts: Verdicts) -> float:
        """Return by how much verdicts speak for an answer, in nats."""
        e1, e0 = self.pass_right, self.pass_wrong
        passed, failed = log(e1 / e0), log((1 - e1) / (1 - e0))
        return verdicts.passes * passed + verdicts.failures * failed


def _best(beliefs: Mapping[str | None, float]) -> float:
    """Return the chance that the answer given is right; 0 where none was seen."""
    return max((q for answer, q in beliefs.items() if answer is not None), default=0.0)
