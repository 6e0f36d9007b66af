"""The knowledge gradient of the posterior modes: where solutions may still change an answer.

Of the two first answers of a question, with a and b solutions, the leader is the more probable one
with probability P(a, b) = P(q > 1/2), q ~ Beta(a + 1, b + 1), and V = max(P, 1 - P) is the chance
that the answer given is the right one of the two. After m solutions for either, k of them for the
first, k ~ Beta-Binomial(m, a + 1, b + 1), it is V(a + k, b + m - k). P is a martingale, so that

    KG_m = E V(a + k, b + m - k) - V(a, b) >= 0,

and it is 0 for every m that is too few to change the leader. One solution more is often worth
nothing where ten are worth much (Frazier and Powell 2010), so the worth is the largest KG_m / m,
times how much of a solution goes to one of the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import betainc, betaln, gammaln

from ..stopping.drawn_solutions import Solutions
from .allocation_base import Allocation

AHEAD = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)  # m


@dataclass(frozen=True, kw_only=True)
class KnowledgeGradient(Allocation):
    """Give solutions to the questions whose most probable answer they are likeliest to correct.

    Under a uniform prior of the leader's share among the two first answers; nothing is guaranteed,
    and as the two are chosen by looking, the chances are too high. Weighted solutions count by what
    their weights are worth (see `Solutions.tallies`). What is bought is knowledge of the mode, not
    that the mode is right. Source: Frazier, Powell and Dayanik (2008), doi:10.1137/070693424;
    Frazier and Powell (2010), doi:10.1287/deca.1100.0180, for looking several solutions ahead.

    Attributes:
        budget, least, batch, width: as of `Allocation`.

    Example:
        >>> import numpy as np
        >>> sure = Solutions(("1",) * 16, np.zeros(16))
        >>> unsure = Solutions(("1", "2") * 8, np.zeros(16))
        >>> from motes.samplers.allocation import replayed
        >>> replayed(KnowledgeGradient(budget=20, width=1), [sure, unsure])
        [4, 16]
    """

    name = "knowledge_gradient"
    paper = "Frazier and Powell (2010), doi:10.1287/deca.1100.0180"

    def worth(self, seen: Sequence[Solutions], round: int) -> np.ndarray:
        return np.array([_worth(solutions) for solutions in seen])


def _worth(solutions: Solutions) -> float:
    """Return the worth of one more solution of a question."""
    counts = [tally.worth for tally in solutions.tallies[:2]]
    a, b = [*counts, 0.0, 0.0][:2]
    weights = solutions.weights
    squares = float(np.square(weights).sum())
    total = float(weights.sum()) ** 2 / squares if squares else 0.0
    # of a new solution, how much its weight is worth, and how much of that goes to the two
    shared = total / len(solutions) if total else 1.0
    return best_gradient(round(a, 6), round(b, 6)) * shared * (a + b + 2) / (total + 3)


@lru_cache(maxsize=100_000)
def best_gradient(a: float, b: float) -> float:
    """Return the largest KG_m / m.

    Args:
        a, b: solutions for the first answer and for the second, at least 0.

    Example:
        >>> best_gradient(4, 4) > best_gradient(6, 2) > best_gradient(8, 0)
        True
    """
    return max(gradient(a, b, m) / m for m in AHEAD)


def gradient(a: float, b: float, m: int) -> float:
    """Return KG_m.

    Args:
        a, b: solutions for the first answer and for the second, at least 0.
        m: further solutions for one of the two.

    Example:
        >>> round(gradient(1, 1, 1), 4), gradient(4, 1, 1)
        (0.1875, 0.0)
    """
    k = np.arange(m + 1)
    ways = gammaln(m + 1) - gammaln(k + 1) - gammaln(m - k + 1)
    chances = np.exp(ways + betaln(a + 1 + k, b + 1 + m - k) - betaln(a + 1, b + 1))
    after = betainc(b + m - k + 1, a + k + 1, 0.5)
    now = float(betainc(b + 1, a + 1, 0.5))
    if (after >= 0.5).all() or (after <= 0.5).all():
        return 0.0  # no change of the leader: exactly nothing, and not a rounding error
    return float(chances @ np.maximum(after, 1 - after)) - max(now, 1 - now)
