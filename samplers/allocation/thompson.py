"""Thompson sampling on the posterior modes: a question gets solutions as often as it may be wrong.

The probabilities of a question's answers have the posterior Dirichlet(c_1 + 1, ..., c_K + 1, 1),
the last of an answer that was not seen yet. In every round each question is drawn from it again
and again, until the most probable answer of a draw is not the leader of the counts, so that a
mistake is plausible. The number of draws is geometric, with the posterior probability that the
leader is not the mode, and the questions with the fewest come first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ... import checks
from ..stopping.drawn_solutions import Solutions
from .allocation_base import Allocation

MOST = 1024  # draws after which a leader counts as not contradicted


@dataclass(frozen=True, kw_only=True)
class Thompson(Allocation):
    """Give solutions to questions whose leading answer a posterior draw contradicts.

    Nothing is guaranteed. Weighted solutions count by what their weights are worth. Source:
    Thompson (1933), doi:10.1093/biomet/25.3-4.285, on posteriors of modes.

    Attributes:
        budget, least, batch, width: as of `Allocation`.
        seed: of the draws, in [0, 2**32).

    Example:
        >>> import numpy as np
        >>> sure = Solutions(("1",) * 16, np.zeros(16))
        >>> unsure = Solutions(("1", "2") * 8, np.zeros(16))
        >>> from motes.samplers.allocation import replayed
        >>> replayed(Thompson(budget=20, width=1), [sure, unsure])
        [4, 16]
    """

    seed: int = 0

    name = "thompson"
    paper = "Thompson (1933), doi:10.1093/biomet/25.3-4.285"

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.settle(self, seed=checks.seed(self.seed))

    def worth(self, seen: Sequence[Solutions], round: int) -> np.ndarray:
        random = np.random.default_rng((self.seed, round))
        return np.array([1 / contradicted(solutions, random) for solutions in seen])


def contradicted(solutions: Solutions, random: np.random.Generator) -> int:
    """Return the number of the first posterior draw that contradicts the leader, at most `MOST`.

    Args:
        solutions: of a question.
        random: where draws come from.

    Example:
        >>> unseen = Solutions((None,), np.zeros(1))
        >>> contradicted(unseen, np.random.default_rng(0))  # no leader: nothing to contradict
        1
    """
    counts = np.array([*(tally.worth for tally in solutions.tallies), 0.0])
    if len(counts) == 1:
        return 1
    done = 0
    while done < MOST:
        size = min(max(16, done), MOST - done)
        drawn = random.standard_gamma(counts + 1, size=(size, len(counts)))
        wrong = np.flatnonzero(drawn.argmax(1))
        if len(wrong):
            return done + int(wrong[0]) + 1
        done += size
    return MOST
