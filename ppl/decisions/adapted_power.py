"""A power of the prior chosen by the draws: adaptive power sampling, from one pool.

With pi_alpha prop. to p(x)^alpha,

    d/d alpha P_alpha(right) = Cov_{pi_alpha}(1[right], log p(x)),

so that sharpening helps where right solutions are the more probable ones. Which are right is not
known; the surrogate is agreement, v_i = the share of the other draws with the same answer (0
without one), against the standardised log-probability z_i:

    g = sum_i W_i (v_i - mean v) z_i,    alpha <- alpha + rate g, kept in a range,

until |g| is small or the weights W_i prop. to p(x_i)^(alpha - 1) are worth too few draws. An alpha
chosen by the draws that it then weighs bends their estimate: one part of the pool chooses, and the
other votes. Agreement rewards what is common, right or wrong, and no alpha repairs that.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ... import checks
from ...smc import ess, normalise
from .answer_pool import Pool
from .decision import Decision
from .sharpening import power_vote

ROUNDS = 200  # after which the search for alpha ends
SMALL = 0.01  # of g, below which it ends


def agreement_gradient(pool: Pool, alpha: float) -> float:
    """Return g, by how much agreement and log-probability go together at this power.

    Args:
        pool: of N draws from the prior with known log-probabilities.
        alpha: the power.

    Raises:
        ValueError: the draws are not of the prior, or a log-probability is not known.

    Example:
        >>> import motes
        >>> from motes.models import TableLM
        >>> from motes.ppl.decisions import agreement_gradient, pool_of
        >>> lm = TableLM(lambda prefix: [0.6, 0.3, 0.1] if not prefix else [0, 0, 1], eos=2)
        >>> first = lambda x: str(x.token_ids[0]) if x.finished else None
        >>> vote = motes.samplers.MajorityVote(samples=64)
        >>> pool = pool_of(motes.solve("?", sampler=vote, lm=lm, prm=None, answer=first))
        >>> agreement_gradient(pool, 1.0) > 0  # the common answer has the probable path
        True
    """
    logprobs, weights = _weighted(pool, alpha)
    totals: dict[str | None, float] = {}
    for answer, weight in zip(pool.answers, weights.tolist(), strict=True):
        totals[answer] = totals.get(answer, 0.0) + weight
    agreeing = np.zeros(len(pool))
    for i, (answer, weight) in enumerate(zip(pool.answers, weights.tolist(), strict=True)):
        if answer is not None and weight < 1:
            agreeing[i] = (totals[answer] - weight) / (1 - weight)
    spread = float(np.sqrt(weights @ (logprobs - weights @ logprobs) ** 2))
    if spread <= 1e-12:
        return 0.0
    return covariance(weights, agreeing, logprobs) / spread


def covariance(weights: np.ndarray, values: np.ndarray, logprobs: np.ndarray) -> float:
    """Return the weighted covariance of some values and log-probabilities.

    With values 1[right] and weights prop. to p^(alpha - 1) it is the derivative by alpha of the
    weighted share of right draws, exactly.

    Args:
        weights: which sum to one, shape (N,).
        values: shape (N,).
        logprobs: nats, shape (N,).

    Example:
        >>> half = np.array([0.5, 0.5])
        >>> covariance(half, np.array([0.0, 1.0]), np.array([-2.0, -1.0]))
        0.25
    """
    return float(weights @ ((values - weights @ values) * (logprobs - weights @ logprobs)))


def adapted_power_vote(
    pool: Pool,
    *,
    share: float = 0.5,
    rate: float = 0.5,
    most: float = 4.0,
    least_worth: float = 0.25,
) -> Decision:
    """Return the answer under a power of the prior that the first part of a pool chooses.

    Args:
        pool: of N independent draws from the prior with known log-probabilities, at least 4.
        share: of the draws, that choose alpha; the others vote. In (0, 1).
        rate: of the steps from alpha = 1.
        most: the largest alpha, at least 1. The smallest is 1 / most.
        least_worth: the effective sample size, as a share of the draws, below which alpha goes no
            further; in (0, 1].

    Returns:
        The decision of the fresh draws; its law names alpha. Whether the power is the better one to
        vote with nothing says: heuristic.

    Raises:
        TypeError, ValueError: an argument is not of its kind or out of its range, the draws are too
            few or not of the prior, or a log-probability is not known.

    Example:
        >>> import motes
        >>> from motes.models import TableLM
        >>> from motes.ppl.decisions import adapted_power_vote, pool_of
        >>> lm = TableLM(lambda prefix: [0.6, 0.3, 0.1] if not prefix else [0, 0, 1], eos=2)
        >>> first = lambda x: str(x.token_ids[0]) if x.finished else None
        >>> vote = motes.samplers.MajorityVote(samples=64)
        >>> pool = pool_of(motes.solve("?", sampler=vote, lm=lm, prm=None, answer=first))
        >>> adapted_power_vote(pool).answer
        '0'
    """
    share = checks.number("share", share, above=0, below=1)
    rate, most = checks.positive("rate", rate), checks.number("most", most, least=1)
    least_worth = checks.number("least_worth", least_worth, above=0, most=1)
    if len(pool) < 4:
        raise ValueError(f"an adapted power needs at least 4 draws, not {len(pool)}")
    count = min(max(round(share * len(pool)), 2), len(pool) - 2)
    choosing, voting = pool.part(0, count), pool.part(count, len(pool))
    alpha = 1.0
    for _ in range(ROUNDS):
        gradient = agreement_gradient(choosing, alpha)
        further = float(np.clip(alpha + rate * gradient, 1 / most, most))
        if abs(gradient) <= SMALL or _worth(choosing, further) < least_worth:
            break
        alpha = further
    decision = power_vote(voting, alpha=alpha)
    law = f"{decision.law}, with the power {alpha:.3g} chosen by {count} other draws"
    return replace(decision, law=f"heuristic: {law}")


def _weighted(pool: Pool, alpha: float) -> tuple[np.ndarray, np.ndarray]:
    """Return log-probabilities and normalised weights at a power."""
    rule = "an adapted power"
    pool.need_prior_draws(rule)
    logprobs = pool.need_logprobs(rule)
    return logprobs, np.exp(normalise((alpha - 1) * logprobs)[0])


def _worth(pool: Pool, alpha: float) -> float:
    """Return what the weights of a power are worth, as a share of the draws."""
    return float(ess((alpha - 1) * pool.logprobs)) / len(pool)
