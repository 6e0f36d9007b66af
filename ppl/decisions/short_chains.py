"""The shortest chains: the first to finish, and the majority of the first m of k.

Chains that run side by side finish in the order of their lengths. First-finish search answers with
the first (Agarwal et al. 2025, arXiv:2505.18149); short-m@k stops at the m-th of k and lets those m
vote, a tie going to the shortest chain (Hassid et al. 2025, arXiv:2505.17813). Neither follows the
declared prior: the first of k has the law

    P(a) = sum_t (S(t-1)^k - S(t)^k) P(a | length = t),    S(t) = P(length > t),

that of the best of k with minus the length for its score. Both save tokens where the long chains
are the wrong ones, and only there. Chains that were cut off finish after all others.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ... import checks
from .answer_pool import Pool
from .decision import Decision, decide
from .order_statistics import by_rank


def first_finish(pool: Pool, k: int | None = None) -> Decision:
    """Return what the first of k chains to finish answers.

    Args:
        pool: of M independent draws from the prior.
        k: at most M; None for all M, where the shortest draw of the pool answers.

    Returns:
        The decision. Its shares are unbiased estimates of how often the first of k fresh chains
        gives each answer; equally short ones share. Standard errors are the jackknife's.

    Raises:
        TypeError, ValueError: the draws are not of the prior, or k is out of its range.

    Example:
        >>> import motes
        >>> from motes.models import TableLM
        >>> from motes.ppl.decisions import first_finish, pool_of
        >>> lm = TableLM(lambda prefix: [0.5, 0.5], eos=1)
        >>> length = lambda x: str(len(x.token_ids)) if x.finished else None
        >>> vote = motes.samplers.MajorityVote(samples=16)
        >>> pool = pool_of(motes.solve("?", sampler=vote, lm=lm, prm=None, answer=length))
        >>> first_finish(pool).answer
        '1'
    """
    pool.need_prior_draws("first finish")
    k = len(pool) if k is None else checks.count("k", k, most=len(pool))
    law = f"heuristic: the law of the shortest of {k} draws from the declared prior"
    return by_rank(pool, -_lengths(pool), k, law=law)


def short_majority(pool: Pool, m: int = 3) -> Decision:
    """Return the majority of the m shortest of the pool's draws: short-m@k, with k = all of them.

    Args:
        pool: of k independent draws from the prior.
        m: how many vote, from 1 to k.

    Returns:
        The decision. Its shares are those of the m votes; a tie goes to the answer of the shortest
        draw among those tied. Of draws of equal length those that came first in the pool vote.

    Raises:
        TypeError, ValueError: the draws are not of the prior, or m is out of its range.

    Example:
        >>> import motes
        >>> from motes.models import TableLM
        >>> from motes.ppl.decisions import pool_of, short_majority
        >>> lm = TableLM(lambda prefix: [0.5, 0.5], eos=1)
        >>> length = lambda x: str(len(x.token_ids)) if x.finished else None
        >>> vote = motes.samplers.MajorityVote(samples=16)
        >>> pool = pool_of(motes.solve("?", sampler=vote, lm=lm, prm=None, answer=length))
        >>> short_majority(pool, m=3).shares
        {'1': 1.0}
    """
    pool.need_prior_draws("short-m@k")
    m = checks.count("m", m, most=len(pool))
    order = np.argsort(_lengths(pool), kind="stable")[:m]
    votes: dict[str | None, int] = {}
    for place in order.tolist():  # the shortest first, so that a tie goes to the shorter one
        votes[pool.answers[place]] = votes.get(pool.answers[place], 0) + 1
    law = f"heuristic: the majority of the {m} shortest of {len(pool)} draws from the prior"
    decision = decide({answer: count / m for answer, count in votes.items()}, law=law)
    first = next((answer for answer in votes if answer in decision.tied), None)
    return replace(decision, answer=first)


def _lengths(pool: Pool) -> np.ndarray:
    """Return the number of tokens of each draw; infinite where it did not finish, shape (N,)."""
    finished = np.array([end == "finished" for end in pool.ends])
    return np.where(finished, pool.tokens.astype(np.float64), np.inf)
