"""Looking at solutions as they come: where a rule stops, and what it has then shown."""

from __future__ import annotations

from typing import NamedTuple

from ...ppl.posterior.provenance import Stopping
from .drawn_solutions import Solutions
from .stopping_rule import StoppingRule


class Ended(NamedTuple):
    """The end of a run with a stopping rule.

    Attributes:
        stopping: what is told of it.
        voters: the numbers of the solutions that decide; None for all of them.
    """

    stopping: Stopping
    voters: tuple[int, ...] | None


def first_stop(rule: StoppingRule, solutions: Solutions, looked: int) -> int:
    """Return how many of the solutions are enough, looking at one more each time; 0 where none are.

    So the batches in which they were drawn do not matter.

    Args:
        rule: the stopping rule.
        solutions: all that are drawn.
        looked: how many the rule has looked at before, and gone on.
    """
    for count in range(looked + 1, len(solutions) + 1):
        if rule.stop(solutions.first(count)) is not None:
            return count
    return 0


def ended(rule: StoppingRule, solutions: Solutions, enough: int, most: int) -> Ended:
    """Say how a run has ended.

    Args:
        rule: the stopping rule.
        solutions: all that were drawn, those that are left out included.
        enough: how many of them were enough; 0 where the rule has not stopped.
        most: how many would have been drawn without the rule.
    """
    draws = enough or len(solutions)
    seen = solutions.first(draws)
    verdict = rule.stop(seen) if enough else None
    if verdict is None:
        verdict = rule.exhausted(seen)
    stopping = Stopping(
        rule=repr(rule),
        said=verdict.said,
        answer=verdict.answer,
        draws=draws,
        most=most,
        unused=len(solutions) - draws,
        enough=enough > 0,
    )
    return Ended(stopping, verdict.voters)
