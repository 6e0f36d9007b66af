"""Targets of calibrated rewards: what matters of a score is only its rank among prior draws.

The calibrated reward of x is C(x) = P(R(z) <= R(x)) with z from the prior; it is uniform on [0, 1]
under the prior whatever the scale of R, and is estimated from N draws by mid-ranks. Targets:

    best of n        p(x) n C(x)^(n - 1): the density of the best of n draws, for any real n >= 1
    transformed      p(x) exp(Phi(C(x)) / beta): the best policy for an inference-time procedure,
                     with Phi that procedure's own transform (Balashankar et al. 2024, InfAlign,
                     arXiv:2412.19792)
    pessimistic      p(x) max(R(x) / beta + lambda, 0), lambda such that it sums to one: regularised
                     by chi-squared instead of KL, so that a large error of R cannot take all the
                     weight (Huang et al. 2025, arXiv:2503.21878)
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ... import checks
from .answer_pool import Pool
from .decision import Decision, by_weight


def calibrated_rewards(pool: Pool, *, score: str = "last") -> np.ndarray:
    """Return C(x_i) of each draw by its mid-rank: the share below it and half of its equals.

    Args:
        pool: of N independent draws from the prior, with scores.
        score: how R is made of the steps' probabilities: "last", "min", "product" or "mean".

    Returns:
        Shape (N,), between 0 and 1, with mean one half.

    Raises:
        ValueError: the draws are not of the prior, or have no scores.

    Example:
        >>> import motes
        >>> from motes.models import FunctionReward, TableLM
        >>> from motes.ppl.decisions import calibrated_rewards, pool_of
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> prm = FunctionReward(lambda x: float(x.token_ids[0]))
        >>> ask = {"lm": lm, "prm": prm, "sampler": "importance_sampling", "particles": 9}
        >>> float(calibrated_rewards(pool_of(motes.solve("?", **ask))).mean())
        0.5
    """
    pool.need_prior_draws("a calibrated reward")
    scores = pool.log_scores(score, "a calibrated reward")
    ranks = np.sort(scores)
    below = np.searchsorted(ranks, scores, side="left")
    up_to = np.searchsorted(ranks, scores, side="right")
    return (below + up_to) / (2 * len(pool))


def best_of_n_target(pool: Pool, *, n: float, score: str = "last") -> Decision:
    """Return the mode of the target p(x) n C(x)^(n - 1), the density of the best of n.

    Args:
        pool: of N independent draws from the prior, with scores.
        n: at least 1; need not be a whole number.
        score: as `calibrated_rewards` takes it.

    Raises:
        ValueError: as `calibrated_rewards` raises it, or n is out of its range.

    Example:
        >>> import motes
        >>> from motes.models import FunctionReward, TableLM
        >>> from motes.ppl.decisions import best_of_n_target, pool_of
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> prm = FunctionReward(lambda x: float(x.token_ids[0]))
        >>> first = lambda x: str(x.token_ids[0]) if x.finished else None
        >>> ask = {"lm": lm, "prm": prm, "sampler": "importance_sampling", "particles": 64}
        >>> best_of_n_target(pool_of(motes.solve("?", answer=first, **ask)), n=16).answer
        '2'
    """
    n = checks.number("n", n, least=1)
    law = f"the mode of p(x) n C(x)^(n - 1) with n = {n:g}: best of n as a declared target"
    calibrated = calibrated_rewards(pool, score=score)
    return by_weight(pool, (n - 1) * np.log(calibrated), law=law)


def transformed_reward(
    pool: Pool, transform: Callable[[np.ndarray], np.ndarray], *, beta: float, score: str = "last"
) -> Decision:
    """Return the mode of the target p(x) exp(Phi(C(x)) / beta).

    Args:
        pool: of N independent draws from the prior, with scores.
        transform: Phi, maps calibrated rewards, shape (N,), to numbers of the same shape.
        beta: of the regularisation, above 0.
        score: as `calibrated_rewards` takes it.

    Raises:
        TypeError, ValueError: as `calibrated_rewards` raises them, or `transform` is no function
            or gives something else than N numbers.

    Example:
        >>> import numpy as np
        >>> import motes
        >>> from motes.models import FunctionReward, TableLM
        >>> from motes.ppl.decisions import pool_of, transformed_reward
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> prm = FunctionReward(lambda x: float(x.token_ids[0]))
        >>> first = lambda x: str(x.token_ids[0]) if x.finished else None
        >>> ask = {"lm": lm, "prm": prm, "sampler": "importance_sampling", "particles": 64}
        >>> pool = pool_of(motes.solve("?", answer=first, **ask))
        >>> transformed_reward(pool, lambda c: 10 * c, beta=1.0).answer
        '2'
    """
    transform = checks.function("transform", transform, "calibrated rewards to numbers")
    beta = checks.positive("beta", beta)
    calibrated = calibrated_rewards(pool, score=score)
    values = np.asarray(transform(calibrated), np.float64)
    if values.shape != calibrated.shape or not np.isfinite(values).all():
        raise ValueError(
            f"transform must give {len(pool)} finite numbers, not {checks.shown(values)}"
        )
    law = f"the mode of p(x) exp(Phi(C(x)) / {beta:g}), with C the calibrated score {score!r}"
    return by_weight(pool, values / beta, law=law)


def pessimistic(pool: Pool, *, beta: float, score: str = "last") -> Decision:
    """Return the mode of the target p(x) max(R(x) / beta + lambda, 0).

    Args:
        pool: of N independent draws from the prior, with scores.
        beta: of the regularisation, above 0; the smaller, the more the score counts.
        score: how R, a probability, is made of the steps'.

    Raises:
        ValueError: as `calibrated_rewards` raises it, or beta is out of its range.

    Example:
        >>> import motes
        >>> from motes.models import FunctionReward, TableLM
        >>> from motes.ppl.decisions import pessimistic, pool_of
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> prm = FunctionReward(lambda x: 4.0 * x.token_ids[0] - 4.0)
        >>> first = lambda x: str(x.token_ids[0]) if x.finished else None
        >>> ask = {"lm": lm, "prm": prm, "sampler": "importance_sampling", "particles": 64}
        >>> pool = pool_of(motes.solve("?", answer=first, **ask))
        >>> pessimistic(pool, beta=10.0).answer, pessimistic(pool, beta=0.01).answer
        ('0', '2')
    """
    beta = checks.positive("beta", beta)
    pool.need_prior_draws("a pessimistic target")
    rewards = np.exp(pool.log_scores(score, "a pessimistic target"))
    with np.errstate(divide="ignore"):
        log_weights = np.log(pessimistic_weights(rewards, beta))
    law = f"the mode of p(x) max(R(x) / {beta:g} + lambda, 0), with R the score {score!r}"
    return by_weight(pool, log_weights, law=law)


def pessimistic_weights(rewards: np.ndarray, beta: float) -> np.ndarray:
    """Return max(R / beta + lambda, 0) of N equally probable draws, with mean one, shape (N,).

    Args:
        rewards: finite, shape (N,).
        beta: above 0.

    Example:
        >>> pessimistic_weights(np.array([0.0, 1.0]), 1.0)
        array([0.5, 1.5])
    """
    scaled = rewards / beta
    best = np.sort(scaled)[::-1]
    # with the k largest positive: lambda = (N - their sum) / k, for the largest such k
    offsets = (len(best) - np.cumsum(best)) / np.arange(1, len(best) + 1)
    positive = np.flatnonzero(best + offsets > 0)
    return np.maximum(scaled + offsets[positive[-1]], 0.0)
