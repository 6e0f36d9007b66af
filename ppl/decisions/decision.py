"""A decision: the answer that a rule gives, with what it is worth and what the rule follows.

Rules give every answer a share s(a) and answer with the largest. Where the shares are weights v_i
of draws, s(a) = sum_i v_i 1[a_i = a] / sum_i v_i, and the draws are independent, the standard error
is that of a ratio of means (the delta method; Owen 2013, equation 9.8):

    se^2 = sum_i v_i^2 (1[a_i = a] - s(a))^2 / (sum_i v_i)^2.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from math import nan, sqrt

import numpy as np

from ...smc import ess
from .answer_pool import Pool

TIE = 1e-12  # shares that differ by less are equal: sums of weights are rounded


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What a rule decides.

    Attributes:
        answer: with the largest share; None only where no draw states one. Among equals the first
            by spelling, as `Posterior.answer` has it.
        value: its share: a probability, or whatever else the rule maximises.
        error: the Monte Carlo standard error of `value`; NaN where nothing tells it.
        shares: of every answer, the largest first; None stands for no answer.
        law: which distribution the rule follows, or what it guarantees, in words.
        ess: effective sample size of the rule's weights; NaN where it uses none.
        notes: what was seen that casts doubt on it, in sentences.

    Example:
        >>> decision = Decision(answer="7", value=0.5, shares={"7": 0.5, "9": 0.5}, law="a coin")
        >>> decision.tied, decision.credit({"9"})
        (('7', '9'), 0.5)
    """

    answer: str | None
    value: float
    error: float = nan
    shares: Mapping[str | None, float] = field(default_factory=dict)
    law: str
    ess: float = nan
    notes: tuple[str, ...] = ()

    @property
    def tied(self) -> tuple[str, ...]:
        """The answers whose share is the largest, by spelling; one where there is no tie."""
        return tuple(leaders(self.shares))

    def credit(self, right: Collection[str]) -> float:
        """Return which part of the answers that are tied for the first place is right, in [0, 1].

        Args:
            right: the answers that are, as the pool spells them.
        """
        tied = self.tied
        return sum(answer in right for answer in tied) / len(tied) if tied else 0.0


def leaders(shares: Mapping[str | None, float]) -> list[str]:
    """Return the answers with the largest share, by spelling; no answer is never among them."""
    stated = {answer: share for answer, share in shares.items() if answer is not None}
    if not stated:
        return []
    most = max(stated.values())
    slack = TIE * max(abs(most), 1e-300)
    return sorted(answer for answer, share in stated.items() if share >= most - slack)


def ordered(shares: Mapping[str | None, float]) -> dict[str | None, float]:
    """Return shares with the largest first; equal ones by spelling, and no answer after them."""
    pairs = sorted(shares.items(), key=lambda item: (-item[1], item[0] is None, item[0] or ""))
    return dict(pairs)


def decide(
    shares: Mapping[str | None, float],
    *,
    law: str,
    errors: Mapping[str | None, float] | None = None,
    ess: float = nan,
    notes: tuple[str, ...] = (),
) -> Decision:
    """Return the decision for the answer with the largest share.

    Args:
        shares: of every answer; None stands for no answer.
        law, ess, notes: as a decision has them.
        errors: the standard error of each share, where it is known.
    """
    first = leaders(shares)
    answer = first[0] if first else None
    return Decision(
        answer=answer,
        value=shares.get(answer, 0.0),
        error=nan if errors is None else errors.get(answer, nan),
        shares=ordered(shares),
        law=law,
        ess=ess,
        notes=notes,
    )


def totals(pool: Pool, weights: np.ndarray) -> dict[str | None, float]:
    """Return the sum of the weights of each answer's draws.

    Args:
        pool: of N draws.
        weights: not negative, shape (N,); an answer all of whose draws have weight zero is left
            out.
    """
    sums: dict[str | None, float] = {}
    for answer, weight in zip(pool.answers, weights.tolist(), strict=True):
        if weight > 0:
            sums[answer] = sums.get(answer, 0.0) + weight
    return sums


def by_weight(
    pool: Pool, log_weights: np.ndarray, *, law: str, notes: tuple[str, ...] = ()
) -> Decision:
    """Return the decision of a vote in which draw i has weight exp(log_weights[i]).

    Args:
        pool: of N draws.
        log_weights: up to a constant, nats, shape (N,); minus infinity for no vote.
        law, notes: as a decision has them.

    Raises:
        ValueError: no draw has a vote.
    """
    most = float(log_weights.max())
    if most == -np.inf:
        raise ValueError("no draw of this pool has a positive weight: there is nothing to decide")
    weights = np.exp(log_weights - most)
    weights = weights / weights.sum()
    shares = totals(pool, weights)
    errors = None
    if pool.independent and len(shares) > 1:
        errors = {answer: ratio_error(pool, weights, answer, shares[answer]) for answer in shares}
    worth = float(ess(log_weights - most))
    return decide(shares, law=law, errors=errors, ess=worth, notes=notes)


def ratio_error(pool: Pool, weights: np.ndarray, answer: str | None, share: float) -> float:
    """Return the standard error of a share of independent weighted draws; see this module."""
    stated = np.array([name == answer for name in pool.answers], np.float64)
    return sqrt(float((weights**2) @ (stated - share) ** 2))
