"""Best of N: the draw with the best score, and what other N would have given, from one pool.

Of M draws in the order of falling score, the best of N chosen without replacement has rank j with
probability

    w_j = C(M - j, N - 1) / C(M, N),    j = 1..M,

so that sum_j w_j f(x_j) estimates E f(best of N) without bias, for every N <= M, from one pool
(equal scores share the sum of their weights). Soft best of N picks draw i with probability
proportional to exp(beta R(x_i)): self-normalised importance sampling of p exp(beta R). Their exact
laws are in `motes.ppl.decisions.exact_laws`.
"""

from __future__ import annotations

from math import sqrt

import numpy as np

from ... import checks
from .answer_pool import Pool
from .decision import Decision, by_weight, decide, totals


def best_of_n(pool: Pool, n: int | None = None, *, score: str = "last") -> Decision:
    """Return what the best of n draws answers.

    Args:
        pool: of M independent draws from the prior, with scores.
        n: at most M; None for all M, where the best draw of the pool answers.
        score: how the score is made of the steps' probabilities: "last", "min", "product" or
            "mean".

    Returns:
        The decision. Its shares are unbiased estimates of how often the best of n fresh draws gives
        each answer; their standard errors are the jackknife's, and NaN for n = M.

    Raises:
        TypeError, ValueError: the draws are not of the prior or have no scores, or an argument is
            out of its range.

    Example:
        >>> import motes
        >>> from motes.models import FunctionReward, TableLM
        >>> from motes.ppl.decisions import best_of_n, pool_of
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> prm = FunctionReward(lambda x: float(x.token_ids[0]))
        >>> first = lambda x: str(x.token_ids[0]) if x.finished else None
        >>> ask = {"lm": lm, "prm": prm, "answer": first, "sampler": "importance_sampling"}
        >>> pool = pool_of(motes.solve("?", particles=64, **ask))
        >>> best_of_n(pool).answer, best_of_n(pool, 1).answer
        ('2', '0')
    """
    pool.need_prior_draws("best of n")
    n = len(pool) if n is None else checks.count("n", n, most=len(pool))
    scores = pool.log_scores(score, "best of n")
    return by_rank(
        pool,
        scores,
        n,
        law=(
            f"the law of the best of {n} draws from the declared prior by the score {score!r}, "
            "which is no posterior: it has no limit but the best score as n grows"
        ),
    )


def soft_best_of_n(pool: Pool, *, beta: float, score: str = "last") -> Decision:
    """Return the answer most probably picked, where draws are picked in proportion to exp(beta R).

    Args:
        pool: of N independent draws from the prior, with scores.
        beta: how much the reward R, a probability, counts.
        score: how R is made of the steps' probabilities: "last", "min", "product" or "mean".

    Returns:
        The decision, which tends to the mode of p(x) exp(beta R(x)) / Z.

    Raises:
        TypeError, ValueError: as `best_of_n` raises them.

    Example:
        >>> import motes
        >>> from motes.models import FunctionReward, TableLM
        >>> from motes.ppl.decisions import pool_of, soft_best_of_n
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> prm = FunctionReward(lambda x: 4.0 * x.token_ids[0] - 4.0)
        >>> first = lambda x: str(x.token_ids[0]) if x.finished else None
        >>> ask = {"lm": lm, "prm": prm, "answer": first, "sampler": "importance_sampling"}
        >>> soft_best_of_n(pool_of(motes.solve("?", particles=64, **ask)), beta=9.0).answer
        '2'
    """
    pool.need_prior_draws("soft best of n")
    beta = checks.number("beta", beta)
    rewards = np.exp(pool.log_scores(score, "soft best of n"))
    law = (
        f"the mode of p(x) exp({beta:g} R(x)) as N grows, with R the score {score!r} (bias of the "
        "order 1/N)"
    )
    return by_weight(pool, beta * rewards, law=law)


def order_weights(scores: np.ndarray, n: int) -> np.ndarray:
    """Return the probability of each of M draws to be the best of n chosen among them.

    Args:
        scores: of each draw, shape (M,); equal ones share their part.
        n: from 1 to M.

    Returns:
        Shape (M,), which sums to one.

    Example:
        >>> order_weights(np.array([0.1, 0.9, 0.5]), 2).round(3)
        array([0.   , 0.667, 0.333])
    """
    size = len(scores)
    n = checks.count("n", n, most=size)
    # of rank j = 1..M: C(M - j, n - 1) / C(M, n), each from the one before it
    ranked = np.zeros(size)
    ranked[0] = n / size
    for j in range(1, size - n + 1):
        ranked[j] = ranked[j - 1] * (size - j - n + 1) / (size - j)
    order = np.argsort(-scores, kind="stable")
    weights = np.empty(size)
    weights[order] = ranked
    _, group, counts = np.unique(scores, return_inverse=True, return_counts=True)
    return (np.bincount(group, weights) / counts)[group]


def by_rank(pool: Pool, scores: np.ndarray, n: int, *, law: str) -> Decision:
    """Return the decision of the best of n among a pool's draws, by any scores.

    Args:
        pool: of M independent draws.
        scores: of each, shape (M,).
        n: from 1 to M.
        law: as a decision has it.
    """
    shares = totals(pool, order_weights(scores, n))
    errors = _jackknife(pool, scores, n, list(shares)) if n < len(pool) else None
    return decide(shares, law=law, errors=errors)


def _jackknife(
    pool: Pool, scores: np.ndarray, n: int, answers: list[str | None]
) -> dict[str | None, float]:
    """Return the standard error of each share by leaving out one draw after the other."""
    if len(answers) < 2:
        return {}
    size = len(scores)
    weights = np.zeros((size, size))
    for i in range(size):
        others = np.arange(size) != i
        weights[i, others] = order_weights(scores[others], n)
    errors: dict[str | None, float] = {}
    for answer in answers:
        left = weights @ np.array([name == answer for name in pool.answers], np.float64)
        errors[answer] = sqrt((size - 1) / size * float(((left - left.mean()) ** 2).sum()))
    return errors
