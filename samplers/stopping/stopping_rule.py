"""What a stopping rule is: a frozen configuration that looks at solutions and may say "enough".

A rule that looks at answers bends every plain estimate: which draws there are depends on what they
say. Such a run is marked as heuristic, whether or not the rule has stopped it. What a rule shows
all the same, it says in words.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from .drawn_solutions import Solutions


class Verdict(NamedTuple):
    """What a rule has decided.

    Attributes:
        answer: the answer that it gives; None where no solution states one.
        said: what is known of it, in words.
        voters: the numbers of the solutions that decide, where not all do.

    Example:
        >>> import numpy as np
        >>> from motes.samplers.stopping import Certificate, Solutions
        >>> verdict = Certificate().stop(Solutions(("18",) * 8, np.zeros(8), log_bound=0.0))
        >>> verdict.answer, verdict.voters
        ('18', None)
    """

    answer: str | None
    said: str
    voters: tuple[int, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class StoppingRule(ABC):
    """A rule that says when enough independent solutions have been drawn.

    A rule is asked after every solution, in the order of their slots, until it stops or all are
    drawn. Its word depends on the solutions alone.

    Example:
        >>> from motes.samplers.stopping import Agreement, Certificate
        >>> isinstance(Certificate(), StoppingRule), isinstance(Agreement(), StoppingRule)
        (True, True)
    """

    name: ClassVar[str]
    paper: ClassVar[str]
    looks_at_answers: ClassVar[bool] = True
    needs_scores: ClassVar[bool] = False
    needs_bound: ClassVar[bool] = False

    def check(self, *, scored: bool, bounded: bool) -> None:
        """Raise ValueError where the solutions to come lack what the rule needs.

        Args:
            scored: whether a reward model scores them.
            bounded: whether a bound of their weights is known, as of equal weights.
        """
        if self.needs_scores and not scored:
            raise ValueError(
                f"stop={self.name!r} needs the scores of a reward model, and there is none (prm is "
                "None, or the sampler does not ask it)"
            )
        if self.needs_bound and not bounded:
            raise ValueError(
                f"stop={self.name!r} needs weights with a known bound: draw from the prior, with "
                "the target 'product' or 'final', or without a reward model"
            )

    @abstractmethod
    def stop(self, solutions: Solutions) -> Verdict | None:
        """Return a verdict if these solutions, at least one, are enough; None to go on."""

    def exhausted(self, solutions: Solutions) -> Verdict:
        """Return the verdict on all solutions that could be drawn, none of which was enough."""
        return Verdict(
            leader(solutions),
            f"all {len(solutions)} were drawn before the rule could stop: the answer is their vote",
        )


def leader(solutions: Solutions) -> str | None:
    """Return the weightiest answer; None where none is stated."""
    return solutions.tallies[0].answer if solutions.tallies else None
