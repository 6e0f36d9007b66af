"""An allocation over solutions that were drawn already: what it would have given to each question.

One pool of solutions for each question, drawn once, shows what every rule makes of a budget.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...ppl.decisions import Pool
from ..stopping.drawn_solutions import Solutions
from .allocation_base import Allocation


def replayed(rule: Allocation, pools: Sequence[Solutions]) -> list[int]:
    """Return how many solutions a rule gives to each question, the first ones of its pool.

    The same as of live runs of as many solutions at most, whose draws the pools hold.

    Args:
        rule: the allocation.
        pools: of each of Q questions all solutions that it can get, in the order of their slots.

    Raises:
        ValueError: the budget does not suffice to begin with.

    Example:
        >>> import numpy as np
        >>> from motes.samplers.allocation import EqualShares
        >>> replayed(EqualShares(budget=8, least=1), [Solutions(("1",) * 8, np.zeros(8))] * 2)
        [4, 4]
    """
    most = [len(pool) for pool in pools]
    seen = [pool.first(0) for pool in pools]
    grants, round = rule.first(most), 0
    while grants:
        for grant in grants:
            seen[grant.question] = pools[grant.question].first(grant.draws)
        round += 1
        grants = rule.next(seen, most, round)
    return [len(solutions) for solutions in seen]


def solutions_of(pool: Pool, *, weighted: bool = True) -> Solutions:
    """Return the draws of a pool as solutions that rules look at.

    Args:
        pool: of independent draws, of a posterior or of the record of an evaluation.
        weighted: whether they keep their weights; False for votes. A bound of the weights is known
            of equal ones alone.

    Raises:
        ValueError: the draws are not independent.

    Example:
        >>> import motes
        >>> from motes.models import TableLM
        >>> from motes.ppl.decisions import pool_of
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> vote = motes.samplers.MajorityVote(samples=8)
        >>> posterior = motes.solve("?", sampler=vote, lm=lm, prm=None, answer=lambda x: x.text)
        >>> len(solutions_of(pool_of(posterior)))
        8
    """
    pool.need_independence("a rule for independent solutions")
    scored = all(len(row) for row in pool.log_odds)
    odds = tuple(row.tolist() for row in pool.log_odds) if scored else None
    if not weighted or pool.equally_weighted:
        return Solutions(pool.answers, 0.0 * pool.tokens, 0.0, odds)
    return Solutions(pool.answers, pool.log_weights, log_odds=odds)
