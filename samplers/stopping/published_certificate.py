"""The Martingale Majority Certificate, as its code has it.

Two processes of wins s and losses f, each of the form 2^(s+f) q^s (1-q)^f: the leader against the
runner-up, and the leader against all answers but the first three. Who they are is taken from the
counts before each solution; the counts s and f are never begun anew when the leader changes. It
stops when both reach 1 / error.

The code raises the newest estimate q = (s + 1/2) / (s + f + 1) to the whole history. No such
process is a martingale: at q = 1/2 it passes 20 in 4.5% of runs of 32 solutions, in 6.4% of 100, in
11.3% of 1000, and goes on rising, where a valid one stays under 5%. The whole rule stops in 8% of
runs of 400 solutions with two equally probable answers. `motes.samplers.stopping.Certificate`
repairs that.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import log, log1p
from typing import NamedTuple

from ... import checks
from .drawn_solutions import Solutions
from .stopping_rule import StoppingRule, Verdict

CONTENDERS = 3
LEAST_UPDATES = 2
LOWEST, HIGHEST = 0.50001, 0.99999


class Bet(NamedTuple):
    """One process: the leader against others.

    Attributes:
        wins, losses: of the leader.
        log_value: the log of the process, in nats.
    """

    wins: int = 0
    losses: int = 0
    log_value: float = 0.0

    def after(self, won: bool) -> Bet:
        """Return the process after one more comparison."""
        q = (self.wins + 0.5) / (self.wins + self.losses + 1)
        q = min(max(q, LOWEST), HIGHEST)
        wins, losses = self.wins + won, self.losses + (not won)
        value = (wins + losses) * log(2) + wins * log(q) + losses * log1p(-q)
        return Bet(wins, losses, value)

    def reaches(self, error: float) -> bool:
        """Return whether it has had two comparisons or more, and is at least 1 / error."""
        return self.wins + self.losses >= LEAST_UPDATES and self.log_value >= -log(error)


@dataclass(frozen=True, kw_only=True)
class PublishedCertificate(StoppingRule):
    """Stop when the published certificate says so, which is not valid at any time.

    For plain solutions; weights do not count. Source: Cordero-Encinar and Duncan (2025),
    arXiv:2510.17472, and its code; see this module for what is wrong with it, and `Certificate` for
    the repair.

    Attributes:
        error: the bound that is claimed for the probability of a wrong certificate, in (0, 1).

    Raises:
        TypeError, ValueError: `error` is not of its kind, or out of its range.

    Example:
        >>> import numpy as np
        >>> rule = PublishedCertificate()
        >>> rule.stop(Solutions(("18",) * 3, np.zeros(3))) is None
        True
    """

    error: float = 0.05

    name = "published_certificate"
    paper = "Cordero-Encinar and Duncan (2025), arXiv:2510.17472"

    def __post_init__(self) -> None:
        checks.settle(self, error=checks.number("error", self.error, above=0, below=1))

    def stop(self, solutions: Solutions) -> Verdict | None:
        counts: Counter[str] = Counter()
        pair, rest = Bet(), Bet()
        first: str | None = None
        for label in solutions.labels:
            if label is None:
                continue
            ranked = sorted(counts, key=lambda answer: (-counts[answer], answer))[:CONTENDERS]
            first = ranked[0] if ranked else None
            second = ranked[1] if len(ranked) > 1 else None
            counts[label] += 1
            if first is not None and second is not None and label in (first, second):
                pair = pair.after(label == first)
            if first is not None and (label == first or label not in ranked):
                rest = rest.after(label == first)
        if first is None or not (pair.reaches(self.error) and rest.reaches(self.error)):
            return None
        if first != min(counts, key=lambda answer: (-counts[answer], answer)):
            return None
        return Verdict(
            first,
            f"the published certificate names {first} the model's most probable answer at the "
            f"error {self.error:g}, a bound that does not hold when one looks again and again",
        )
