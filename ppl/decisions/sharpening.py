"""Sharper targets from one pool: powers of the prior, and ranks of its log-probabilities.

With l_i = log p(x_i) of N draws from the prior,

    power      v_i prop. to exp((alpha - 1) l_i): self-normalised importance weights for p^alpha
    SoftSat    v_i prop. to exp(beta S(u_i)), u_i = #{j: l_j <= l_i} / N,
               S(u) = 1 - (1 - min(u / m, 1))^2

and the answer is that of the weighted vote (SoftSat: arXiv:2608.14420, which compares both). One
pool serves every alpha and beta. What a sharper target costs is seen in the effective sample size,
which falls towards one as alpha grows; and a sharper target need not vote better: of nine published
settings it voted worse in seven.
"""

from __future__ import annotations

import numpy as np

from ... import checks
from .answer_pool import Pool
from .decision import Decision, by_weight
from .votes import base_law, base_log_weights

POOR = 10.0  # effective draws below which a vote hangs on a few paths


def power_vote(pool: Pool, *, alpha: float) -> Decision:
    """Return the most probable answer when the prior is raised to a power.

    Args:
        pool: of N draws with known log-probabilities.
        alpha: the power; 1 leaves the draws' own law as it is.

    Returns:
        The decision; `ess` says what the weights are worth, and a note says where that is little.

    Raises:
        ValueError: a log-probability is not known, or alpha is no finite number.

    Example:
        >>> import motes
        >>> from motes.models import TableLM
        >>> from motes.ppl.decisions import pool_of, power_vote
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2] if not prefix else [0, 0, 1], eos=2)
        >>> first = lambda x: str(x.token_ids[0]) if x.finished else None
        >>> vote = motes.samplers.MajorityVote(samples=64)
        >>> pool = pool_of(motes.solve("?", sampler=vote, lm=lm, prm=None, answer=first))
        >>> flat, sharp = power_vote(pool, alpha=1), power_vote(pool, alpha=4)
        >>> sharp.value > flat.value, sharp.ess < flat.ess
        (True, True)
    """
    alpha = checks.number("alpha", alpha)
    logprobs = pool.need_logprobs("a power vote")
    law = f"the most probable answer under {base_law(pool)} times p(x)^{alpha - 1:g}"
    # at power one a draw of probability zero under the prior keeps its weight
    factors = (alpha - 1) * logprobs if alpha != 1 else np.zeros(len(pool))
    return _noted(pool, base_log_weights(pool) + factors, law)


def softsat_vote(
    pool: Pool,
    *,
    beta: float = 1.0,
    saturation: float = 0.75,
    clip: tuple[float, float] | None = None,
) -> Decision:
    """Return the answer of a vote weighted by the ranks of the draws' log-probabilities.

    Args:
        pool: of N independent draws from the prior with known log-probabilities.
        beta: how much the rank counts, at least 0.
        saturation: m in (0, 1], the rank above which all draws count the same.
        clip: the least and the largest that exp(beta S) may be; (0.75, 17) as published, which
            changes nothing up to beta = log 17, about 2.8. None for no clip.

    Returns:
        The decision. In the limit, without a clip, the target is p(x) exp(beta S(F(log p(x)))),
        with F the distribution function of log p under the prior; weights differ by exp(beta) at
        most.

    Raises:
        ValueError: the draws are not of the prior, a log-probability is not known, or an argument
            is out of its range.

    Example:
        >>> import motes
        >>> from motes.models import TableLM
        >>> from motes.ppl.decisions import pool_of, softsat_vote
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2] if not prefix else [0, 0, 1], eos=2)
        >>> first = lambda x: str(x.token_ids[0]) if x.finished else None
        >>> vote = motes.samplers.MajorityVote(samples=64)
        >>> pool = pool_of(motes.solve("?", sampler=vote, lm=lm, prm=None, answer=first))
        >>> softsat_vote(pool).answer
        '0'
    """
    beta = checks.number("beta", beta, least=0)
    saturation = checks.number("saturation", saturation, most=1, above=0)
    pool.need_prior_draws("a SoftSat vote")
    logprobs = pool.need_logprobs("a SoftSat vote")
    ranks = np.searchsorted(np.sort(logprobs), logprobs, side="right") / len(pool)
    saturated = 1 - (1 - np.minimum(ranks / saturation, 1.0)) ** 2
    law = (
        f"the mode of p(x) exp({beta:g} S(u)), with u the rank of log p(x) among draws and S flat "
        f"above u = {saturation:g}"
    )
    log_weights = beta * saturated
    if clip is not None:
        low = checks.positive("the least of clip", clip[0])
        high = checks.number("the most of clip", clip[1], least=low)
        log_weights = np.clip(log_weights, np.log(low), np.log(high))
        law += f", weights kept from {low:g} to {high:g}"
    return _noted(pool, log_weights, law)


def _noted(pool: Pool, log_weights: np.ndarray, law: str) -> Decision:
    """Return the decision by these weights, with a note where they are worth few draws."""
    decision = by_weight(pool, log_weights, law=law)
    if decision.ess >= min(POOR, len(pool) / 2):
        return decision
    note = (
        f"the weights are worth {decision.ess:.1f} of {len(pool)} draws: the vote hangs on a few "
        "paths"
    )
    return by_weight(pool, log_weights, law=law, notes=(note,))
