"""Perplexity consistency: answers weighed by how probable their paths are, as coded and repaired.

Of N independent draws from the prior, let D be the set of distinct paths. Three estimates of P(a):

    sum                  PC(a) = sum_{x in D, g(x) = a} p(x)
    horvitz_thompson     HT(a) = sum_{x in D, g(x) = a} p(x) / (1 - (1 - p(x))^N)
    published            as PC, with the geometric mean of the tokens' probabilities for p(x),
                         then normalised

PC is too small by sum_{g(x) = a} p(x) (1 - p(x))^N in expectation, exactly: it counts a path only
if it was drawn. HT divides by the probability of that (Horvitz and Thompson 1952), and so is
unbiased; it tends to PC where paths are likely, and to the share of votes where they are rare, as
all long ones are. Its variance is estimated without bias from the same draws,

    V = sum_{x, y in D} (1 - pi_x pi_y / pi_xy) p(x) p(y) / (pi_x pi_y)

with pi_xy = 1 - (1 - p(x))^N - (1 - p(y))^N + (1 - p(x) - p(y))^N the probability that both are
drawn. The published form (Zhou et al. 2025, arXiv:2502.00511 and its code) uses numbers that are no
probabilities of paths: no sum of them estimates P(a).

Reasoning pruning, of the same paper, fits a mixture of two Weibull laws to the draws' probabilities
and removes what the lower one explains. It has no guarantee.
"""

from __future__ import annotations

from math import nan, sqrt
from typing import Literal, TypeAlias

import numpy as np
from scipy.optimize import minimize
from scipy.special import gamma

from ... import checks
from .answer_pool import Pool
from .decision import Decision, decide

Mode: TypeAlias = Literal["horvitz_thompson", "sum", "published"]

LAWS: dict[str, str] = {
    "horvitz_thompson": (
        "unbiased estimates of each answer's probability under the declared prior, which therefore "
        "need not sum to one"
    ),
    "sum": (
        "a lower bound of each answer's probability under the declared prior: too small, in "
        "expectation, by the paths that were not drawn"
    ),
    "published": (
        "heuristic: sums of geometric means of the tokens' probabilities, which estimate no "
        "probability"
    ),
}
FEWEST = 8  # draws that a mixture of two laws can be fitted to
SMALL = -30.0  # nats: below it the weight is 1 / N, and p(x) may be too small for a float
START = (0.5, 1.0, 1.0, 1.5, 2.0)  # share, and shape and scale of both laws, as published
BOUNDS = ((0.2, 0.8), (0.01, None), (0.01, None), (0.01, None), (0.01, None))


def perplexity_consistency(
    pool: Pool, *, mode: Mode = "horvitz_thompson", pruned: bool = False
) -> Decision:
    """Return the answer whose distinct paths are the most probable; see this module.

    Args:
        pool: of N independent draws from the prior with known log-probabilities.
        mode: which estimate.
        pruned: whether the draws that look improbable are removed first, a heuristic.

    Raises:
        ValueError: the draws are not of the prior, or a log-probability is not known; or there are
            fewer than eight to be pruned.

    Example:
        >>> import motes
        >>> from motes.models import TableLM
        >>> from motes.ppl.decisions import perplexity_consistency, pool_of
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2] if not prefix else [0, 0, 1], eos=2)
        >>> first = lambda x: str(x.token_ids[0]) if x.finished else None
        >>> vote = motes.samplers.MajorityVote(samples=32)
        >>> pool = pool_of(motes.solve("?", sampler=vote, lm=lm, prm=None, answer=first))
        >>> {a: round(p, 3) for a, p in perplexity_consistency(pool).shares.items()}
        {'0': 0.5, '1': 0.3, '2': 0.2}
    """
    mode_name = checks.choice("mode", mode, tuple(LAWS))
    rule = "perplexity consistency"
    pool.need_prior_draws(rule)
    logprobs = pool.need_logprobs(rule)
    means = logprobs / np.maximum(pool.tokens, 1)
    law = LAWS[mode_name]
    kept = np.ones(len(pool), bool)
    if checks.flag("pruned", pruned):
        values = means if mode_name == "published" else logprobs - logprobs.max()
        kept = reasoning_pruning(np.exp(values))
        law = (
            f"heuristic: {law.removeprefix('heuristic: ')}, of the {int(kept.sum())} of "
            f"{len(pool)} draws that pruning left"
        )
    _, places = np.unique(pool.paths, return_index=True)
    drawn = np.array([place for place in np.sort(places).tolist() if kept[place]], np.int64)
    if mode_name == "horvitz_thompson":
        values = inclusion_weights(logprobs[drawn], len(pool))
    else:
        values = np.exp((means if mode_name == "published" else logprobs)[drawn])
    if mode_name == "published":
        values = values / values.sum()
    shares: dict[str | None, float] = {}
    for place, value in zip(drawn.tolist(), values.tolist(), strict=True):
        answer = pool.answers[place]
        shares[answer] = shares.get(answer, 0.0) + value
    errors = None
    if mode_name == "horvitz_thompson" and not pruned:
        errors = _errors(pool, logprobs, drawn, list(shares))
    return decide(shares, law=law, errors=errors)


def inclusion_weights(logprobs: np.ndarray, samples: int) -> np.ndarray:
    """Return p(x) / (1 - (1 - p(x))^N) of distinct paths, the Horvitz-Thompson weights.

    Args:
        logprobs: log p(x), nats, shape (D,).
        samples: N, how many draws there were.

    Returns:
        Shape (D,); at least 1/N, and p(x) where that is certain to be drawn.

    Example:
        >>> inclusion_weights(np.log([0.5, 1e-200]), 2).round(3)
        array([0.667, 0.5  ])
    """
    p = np.minimum(np.exp(np.maximum(logprobs, SMALL)), 1.0)
    with np.errstate(divide="ignore"):
        return p / -np.expm1(samples * np.log1p(-p))


def reasoning_pruning(values: np.ndarray) -> np.ndarray:
    """Return which draws reasoning pruning keeps; the heuristic of arXiv:2502.00511.

    A mixture of two Weibull laws is fitted by maximum likelihood, from the published start and
    within the published bounds. A draw is removed where the law with the smaller mean explains it
    better, and its value is below the average.

    Args:
        values: positive, of each draw, shape (N,), N at least 8.

    Returns:
        Truths, shape (N,).

    Raises:
        ValueError: there are too few draws.

    Example:
        >>> values = np.array([0.01, 0.012, 0.011, 0.013, 0.6, 0.7, 0.65, 0.62, 0.71, 0.68])
        >>> reasoning_pruning(values).sum()
        np.int64(6)
    """
    if len(values) < FEWEST:
        raise ValueError(f"pruning needs at least {FEWEST} draws to fit, not {len(values)}")
    log_u = np.log(np.maximum(values, 1e-300))
    fitted = minimize(_misfit, START, args=(log_u,), bounds=BOUNDS, method="L-BFGS-B").x
    share, *laws = fitted.tolist()
    means = laws[1] * gamma(1 + 1 / laws[0]), laws[3] * gamma(1 + 1 / laws[2])
    parts = _log_parts(share, laws, log_u)
    high = 0 if means[0] > means[1] else 1
    probability = np.exp(parts[high] - np.logaddexp(*parts))
    return ~((probability < 0.5) & (values < values.mean()))


def _log_parts(share: float, laws: list[float], log_u: np.ndarray) -> np.ndarray:
    """Return the log-density of both parts of the mixture, shape (2, N)."""
    rows = []
    for weight, shape, scale in ((share, *laws[:2]), (1 - share, *laws[2:])):
        z = log_u - np.log(scale)
        log_density = np.log(shape / scale) + (shape - 1) * z - np.exp(np.minimum(shape * z, 700))
        rows.append(np.log(weight) + log_density)
    return np.array(rows)


def _misfit(parameters: np.ndarray, log_u: np.ndarray) -> float:
    """Return minus the mean log-likelihood of the mixture."""
    share, *laws = parameters.tolist()
    return -float(np.logaddexp(*_log_parts(share, laws, log_u)).mean())


def _errors(
    pool: Pool, logprobs: np.ndarray, drawn: np.ndarray, answers: list[str | None]
) -> dict[str | None, float]:
    """Return the standard error of each Horvitz-Thompson sum; NaN where V is negative."""
    relative = _covariances(logprobs[drawn], len(pool))
    errors: dict[str | None, float] = {}
    for answer in answers:
        own = np.array([pool.answers[place] == answer for place in drawn.tolist()])
        variance = float(relative[np.ix_(own, own)].sum())
        errors[answer] = sqrt(variance) if variance >= 0 else nan
    return errors


def _covariances(logprobs: np.ndarray, samples: int) -> np.ndarray:
    """Return the terms of V for all pairs of distinct paths, shape (D, D).

    In terms of q_x = pi_x / p(x), which stays near N however improbable a path is:
    pi_xy / (p(x) p(y)) = q_x q_y + d_xy with d_xy = ((1 - p_x - p_y)^N - ((1 - p_x)(1 - p_y))^N) /
    (p_x p_y), and the term is d_xy / (q_x q_y + d_xy) / (q_x q_y).
    """
    p = np.exp(logprobs)
    weights = inclusion_weights(logprobs, samples)
    products = np.outer(1 / weights, 1 / weights)
    with np.errstate(divide="ignore", invalid="ignore"):
        left = np.log1p(-p)
        ratio = np.outer(p / (1 - p), p / (1 - p))
        both = np.exp(samples * (left[:, None] + left[None, :]))
        powered = np.expm1(samples * np.log1p(-np.minimum(ratio, 1.0)))
        exact = both * powered / np.outer(p, p)
        limit = -samples * both / np.outer(1 - p, 1 - p)
        gaps = np.where(ratio > 1e-12, exact, limit)
    gaps = np.nan_to_num(gaps)  # a path that is certain: nothing else is drawn
    joint = products + gaps
    terms = np.where(joint > 0, gaps / np.where(joint > 0, joint, 1.0) / products, 0.0)
    np.fill_diagonal(terms, weights**2 * np.exp(samples * left))  # (1 - pi_x) (p(x) / pi_x)^2
    return terms
