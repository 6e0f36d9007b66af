"""What an allocation is: a frozen configuration that says which questions get the next solutions.

A budget of B solutions is given out in rounds. At first every question gets `least`; then, in each
round, the `width` questions to which the rule gives most worth get a batch each, until the budget
is used up. (A quarter of all questions at most: a round for all would be no choice.) Whatever the
rule, what question i gets are the first draws of its own run, so that only their number depends on
the other questions.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from ... import checks
from ..stopping.drawn_solutions import Solutions


class Grant(NamedTuple):
    """Solutions that a question is given.

    Attributes:
        question: its number.
        draws: how many solutions it then has, those of before included.

    Example:
        >>> Grant(question=3, draws=8).draws
        8
    """

    question: int
    draws: int


@dataclass(frozen=True, kw_only=True)
class Allocation(ABC):
    """A rule that shares a budget of solutions among questions.

    Attributes:
        budget: B, solutions for all questions together.
        least: what every question gets at first.
        batch: what a question gets at a time after that.
        width: questions that get a batch in the same round, and share forward passes, a quarter of
            all questions at most; with 1 the rule looks at all answers before each batch.

    Raises:
        TypeError, ValueError: an attribute is not of its kind, or out of its range.

    Example:
        >>> from motes.samplers.allocation import KnowledgeGradient
        >>> isinstance(KnowledgeGradient(budget=64), Allocation)
        True
    """

    budget: int
    least: int = 4
    batch: int = 4
    width: int = 8

    name: ClassVar[str]
    paper: ClassVar[str]
    looks_at_answers: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for name in ("budget", "least", "batch", "width"):
            checks.settle(self, **{name: checks.count(name, getattr(self, name))})

    @abstractmethod
    def worth(self, seen: Sequence[Solutions], round: int) -> np.ndarray:
        """Return what the next batch of each question is worth, shape (Q,), at least 0.

        Args:
            seen: the solutions of each of Q questions so far.
            round: its number, from 1.
        """

    def first(self, most: Sequence[int]) -> list[Grant]:
        """Return the grants of the beginning.

        Args:
            most: the most that each question can get.

        Raises:
            ValueError: the budget does not suffice.
        """
        grants = [Grant(i, min(self.least, each)) for i, each in enumerate(most)]
        needed = sum(grant.draws for grant in grants)
        if needed > self.budget:
            raise ValueError(
                f"budget must be at least the {needed} solutions that {len(grants)} questions get "
                f"at first (least={self.least}), not {self.budget}"
            )
        return grants

    def next(self, seen: Sequence[Solutions], most: Sequence[int], round: int) -> list[Grant]:
        """Return the grants of a round; none where the budget, or what can be given, is used up.

        Of questions with the same worth the one with the fewest solutions comes first, then the
        first.
        """
        draws = [len(solutions) for solutions in seen]
        left = self.budget - sum(draws)
        able = [i for i in range(len(seen)) if draws[i] < most[i]]
        if left <= 0 or not able:
            return []
        worth = self.worth(seen, round)
        able.sort(key=lambda i: (-worth[i], draws[i], i))
        grants = []
        for i in able[: min(self.width, max(1, len(seen) // 4))]:
            more = min(self.batch, most[i] - draws[i], left)
            if more > 0:
                grants.append(Grant(i, draws[i] + more))
                left -= more
        return grants


@dataclass(frozen=True, kw_only=True)
class EqualShares(Allocation):
    """Give every question the same number of solutions, as far as the budget divides.

    What a rule that looks at answers has to beat. No answer is looked at, and no estimate is bent.

    Attributes:
        budget, least, batch, width: as of `Allocation`.

    Example:
        >>> import numpy as np
        >>> pools = [Solutions(("1",) * 16, np.zeros(16)), Solutions(("2",) * 16, np.zeros(16))]
        >>> from motes.samplers.allocation import replayed
        >>> replayed(EqualShares(budget=24), pools)
        [12, 12]
    """

    name = "equal_shares"
    paper = ""
    looks_at_answers = False

    def first(self, most: Sequence[int]) -> list[Grant]:
        super().first(most)  # which checks the budget
        share, rest = divmod(self.budget, len(most))
        return [Grant(i, min(share + (i < rest), each)) for i, each in enumerate(most)]

    def worth(self, seen: Sequence[Solutions], round: int) -> np.ndarray:
        return np.zeros(len(seen))
