"""Votes: the posterior's mode, one vote for each draw, and votes by score.

    posterior mode    s(a) = sum_i W_i 1[a_i = a], the posterior's own weights
    majority vote     s(a) = the same of the draws before they were weighed by any score
    weighted vote     s(a) prop. to sum_i V_i R(x_i)^beta 1[a_i = a], with V_i as the majority
                      vote has them

Draws from the prior that were weighed afterwards (importance sampling) vote equally in a majority
vote: they are a sample of the prior. Of a filter or of chains the weights themselves are what makes
the draws a sample, and they count in every vote. Self-consistency: Wang et al. (2023),
arXiv:2203.11171; best-of-N weighted: Li et al. (2023), arXiv:2206.02336.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ... import checks
from .answer_pool import Pool
from .decision import Decision, by_weight

OF_PRIOR = "the declared prior"
OF_RUN = "the run's own target, as far as its guarantee goes"


def posterior_mode(pool: Pool) -> Decision:
    """Return the most probable answer under the pool's own weights.

    Args:
        pool: of N draws.

    Returns:
        The decision; its value is the answer's posterior probability, with the run's own standard
        error.

    Example:
        >>> import motes
        >>> from motes.models import FunctionReward, TableLM
        >>> from motes.ppl.decisions import pool_of, posterior_mode
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> prm = FunctionReward(lambda x: 1.0 - x.token_ids[-1])
        >>> first = lambda x: str(x.token_ids[0]) if x.finished else None
        >>> posterior = motes.solve("?", lm=lm, prm=prm, particles=16, answer=first, max_steps=4)
        >>> posterior_mode(pool_of(posterior)).answer == posterior.answer
        True
    """
    law = f"the most probable answer under {OF_RUN}"
    decision = by_weight(pool, pool.log_weights, law=law)
    if decision.answer in pool.errors:
        return replace(decision, error=pool.errors[decision.answer])
    return decision


def majority_vote(pool: Pool) -> Decision:
    """Return the commonest answer: one draw, one vote.

    Args:
        pool: of N draws.

    Returns:
        The decision; its value is the share of the votes.

    Example:
        >>> import motes
        >>> from motes.models import TableLM
        >>> from motes.ppl.decisions import majority_vote, pool_of
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> first = lambda x: str(x.token_ids[0]) if x.finished else None
        >>> vote = motes.samplers.MajorityVote(samples=64)
        >>> pool = pool_of(motes.solve("?", sampler=vote, lm=lm, prm=None, answer=first))
        >>> majority_vote(pool).answer
        '0'
    """
    law = f"the most probable answer under {base_law(pool)}"
    return by_weight(pool, base_log_weights(pool), law=law)


def weighted_vote(pool: Pool, *, score: str = "last", beta: float = 1.0) -> Decision:
    """Return the answer with the largest sum of scores: a vote weighted by a reward model.

    Args:
        pool: of N draws with scores.
        score: how the score R(x) is made of the steps' probabilities: "last", "min", "product" or
            "mean".
        beta: the power of the score, at least 0.

    Returns:
        The decision. Of draws from the prior its weights are self-normalised importance weights,
        so that its value estimates the posterior probability under the target p(x) R(x)^beta.

    Raises:
        ValueError: a draw has no scores, or an argument is out of its range.

    Example:
        >>> import motes
        >>> from motes.models import FunctionReward, TableLM
        >>> from motes.ppl.decisions import pool_of, weighted_vote
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> prm = FunctionReward(lambda x: 4.0 * x.token_ids[0])
        >>> first = lambda x: str(x.token_ids[0]) if x.finished else None
        >>> ask = {"lm": lm, "prm": prm, "answer": first, "sampler": "importance_sampling"}
        >>> weighted_vote(pool_of(motes.solve("?", particles=400, **ask)), beta=2.0).answer
        '1'
    """
    beta = checks.number("beta", beta, least=0)
    log_scores = pool.log_scores(score, "a weighted vote")
    powered = beta * log_scores if beta else np.zeros(len(pool))
    return by_weight(
        pool,
        base_log_weights(pool) + powered,
        law=(
            f"the most probable answer under {base_law(pool)} times the score {score!r} to the "
            f"power {beta:g}"
        ),
    )


def base_log_weights(pool: Pool) -> np.ndarray:
    """Return the weights of draws before any score: equal of draws from the prior, nats, (N,)."""
    return np.zeros(len(pool)) if pool.from_prior else pool.log_weights


def base_law(pool: Pool) -> str:
    """Return what the draws with these weights are a sample of, in words."""
    return OF_PRIOR if pool.from_prior else OF_RUN
