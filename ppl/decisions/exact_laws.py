"""Exact laws of rules: what a rule answers, where the distribution of one draw is known.

Over K outcomes of one draw with probabilities p_1..p_K and N independent draws, a rule's law is a
sum over the counts (c_1..c_K) of the outcomes,

    P(rule answers a) = sum_c  N! prod_j p_j^c_j / c_j!  P(a | c),

or a closed form where there is one. They are what estimates from pools are tested against, and what
tells how far a rule is from the distribution that it is said to follow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from math import comb, exp, inf, lgamma, log

import numpy as np

from ... import checks

MOST = 2_000_000  # counts to sum over


def vote_law(probabilities: Sequence[float], samples: int) -> np.ndarray:
    """Return how probable each answer is as the majority vote of N draws; ties share their part.

    Args:
        probabilities: of K answers, which sum to one.
        samples: N, at least 1.

    Returns:
        Shape (K,), which sums to one.

    Raises:
        TypeError, ValueError: an argument is not of its kind or out of its range; or there are more
            than two million counts to sum over.

    Example:
        >>> vote_law([0.6, 0.4], samples=3).round(3)
        array([0.648, 0.352])
    """
    law = np.zeros(len(probabilities))
    for counts, probability in outcomes(probabilities, samples):
        best = counts == counts.max()
        law += probability * best / best.sum()
    return law


def best_of_n_law(
    probabilities: Sequence[float], scores: Sequence[float], samples: int
) -> np.ndarray:
    """Return the law of the outcome with the best score among N draws.

    With F the distribution function of the score under p, p_N(x) = (F(x)^N - F(x-)^N) p(x) / p(of
    all with this score).

    Args:
        probabilities: of K outcomes, which sum to one.
        scores: of each outcome, on any scale.
        samples: N, at least 1.

    Returns:
        Shape (K,), which sums to one.

    Example:
        >>> best_of_n_law([0.5, 0.5], [0.0, 1.0], samples=2)
        array([0.25, 0.75])
    """
    p, samples = _law(probabilities), checks.count("samples", samples)
    values = np.asarray(scores, np.float64)
    law = np.zeros(len(p))
    below = 0.0
    for value in np.unique(values):
        own = values == value
        mass = float(p[own].sum())
        if mass > 0:
            law[own] = (min(below + mass, 1.0) ** samples - below**samples) * p[own] / mass
        below += mass
    return law


def best_of_n_divergence(
    probabilities: Sequence[float], scores: Sequence[float], samples: int
) -> float:
    """Return KL(p_N || p), how far the best of N draws is from one draw, nats.

    It is at most log N - (N - 1) / N, with equality where no two draws have equal scores: see
    Beirami et al. (2024), arXiv:2401.01879, who show that the bound is often loose.

    Args:
        probabilities: of K outcomes, which sum to one.
        scores: of each outcome, on any scale.
        samples: N, at least 1.

    Example:
        >>> round(best_of_n_divergence([0.5, 0.5], [0.0, 1.0], samples=2), 4)
        0.1308
        >>> round(best_of_n_bound(2), 4)
        0.1931
    """
    p = _law(probabilities)
    law = best_of_n_law(probabilities, scores, samples)
    own = law > 0
    return float(law[own] @ np.log(law[own] / p[own]))


def best_of_n_bound(samples: int) -> float:
    """Return log N - (N - 1) / N, the most that KL(p_N || p) can be, nats.

    Example:
        >>> best_of_n_bound(1)
        0.0
    """
    samples = checks.count("samples", samples)
    return log(samples) - (samples - 1) / samples


def soft_best_of_n_law(
    probabilities: Sequence[float], rewards: Sequence[float], samples: int, *, beta: float
) -> np.ndarray:
    """Return the law of one of N draws that is picked in proportion to exp(beta R).

    It tends to p exp(beta R) / Z as N grows, with an error of the order 1/N.

    Args:
        probabilities: of K outcomes, which sum to one.
        rewards: R of each outcome.
        samples: N, at least 1.
        beta: of the pick.

    Returns:
        Shape (K,), which sums to one.

    Example:
        >>> soft_best_of_n_law([0.5, 0.5], [0.0, 1.0], samples=2, beta=0.0)
        array([0.5, 0.5])
    """
    tilt = checks.number("beta", beta) * np.asarray(rewards, np.float64)
    factors = np.exp(tilt - tilt.max())
    law = np.zeros(len(probabilities))
    for counts, probability in outcomes(probabilities, samples):
        weights = counts * factors
        law += probability * weights / weights.sum()
    return law


def first_finish_law(
    probabilities: Sequence[float], tokens: Sequence[int], samples: int
) -> np.ndarray:
    """Return the law of the shortest of N draws; of equally short ones any is picked.

    With S(t) = P(length > t), P(x) = (S(t-1)^N - S(t)^N) P(x | length t): the law of the best of N
    whose score is minus the length.

    Args:
        probabilities: of K outcomes, which sum to one.
        tokens: the length of each outcome.
        samples: N, at least 1.

    Example:
        >>> first_finish_law([0.5, 0.5], [3, 9], samples=2)
        array([0.75, 0.25])
    """
    return best_of_n_law(probabilities, [-float(length) for length in tokens], samples)


def short_vote_law(
    probabilities: Sequence[float],
    tokens: Sequence[int],
    answers: Sequence[str],
    samples: int,
    voters: int,
) -> dict[str, float]:
    """Return the law of short-m@k: the majority of the m shortest of k draws, by answer.

    Equally short draws come in random order, and ties of votes go to the answer of the shortest
    chain of thought among those tied (to any of them where these are equally short).

    Args:
        probabilities: of K outcomes, which sum to one.
        tokens: the length of each outcome, all different.
        answers: of each outcome.
        samples: k, at least 1.
        voters: m, from 1 to k.

    Raises:
        TypeError, ValueError: an argument is not of its kind or out of its range, or two lengths
            are equal.

    Example:
        >>> law = short_vote_law([0.5, 0.5], [3, 9], ["a", "b"], samples=2, voters=1)
        >>> round(law["a"], 9)
        0.75
    """
    voters = checks.count("voters", voters, most=checks.count("samples", samples))
    if len(set(tokens)) < len(tokens):
        raise ValueError("tokens must be all different, so that the shortest draws are known")
    order = np.argsort(np.asarray(tokens))
    law: dict[str, float] = dict.fromkeys(answers, 0.0)
    for counts, probability in outcomes(probabilities, samples):
        rest, votes = voters, Counter[str]()
        shortest: dict[str, int] = {}
        for place in map(int, order):
            taken = min(rest, int(counts[place]))
            rest -= taken
            if taken:
                votes[answers[place]] += taken
                shortest.setdefault(answers[place], int(tokens[place]))
        most = max(votes.values())
        tied = [answer for answer in shortest if votes[answer] == most]
        law[min(tied, key=lambda answer: shortest[answer])] += probability
    return law


def outcomes(probabilities: Sequence[float], samples: int) -> Iterator[tuple[np.ndarray, float]]:
    """Give every count of K outcomes among N draws, with its multinomial probability.

    Raises:
        TypeError, ValueError: an argument is not of its kind or out of its range; or there are more
            than two million counts.

    Example:
        >>> [(counts.tolist(), p) for counts, p in outcomes([0.5, 0.5], 1)]
        [([0, 1], 0.5), ([1, 0], 0.5)]
    """
    p, samples = _law(probabilities), checks.count("samples", samples)
    number = comb(samples + len(p) - 1, len(p) - 1)
    if number > MOST:
        raise ValueError(
            f"{len(p)} outcomes of {samples} draws have {number} counts, more than {MOST} to sum "
            "over: join outcomes, or take fewer draws"
        )
    log_p = [log(value) if value > 0 else -inf for value in p.tolist()]
    for counts in _counts(samples, len(p)):
        total = lgamma(samples + 1)
        for count, value in zip(counts, log_p, strict=True):
            total += count * value - lgamma(count + 1) if count else 0.0
        if total > -inf:
            yield np.array(counts), exp(total)


def _counts(samples: int, kinds: int) -> Iterator[tuple[int, ...]]:
    """Give every way to write a number as the sum of so many counts."""
    if kinds == 1:
        yield (samples,)
        return
    for first in range(samples + 1):
        for rest in _counts(samples - first, kinds - 1):
            yield (first, *rest)


def _law(probabilities: Sequence[float]) -> np.ndarray:
    """Return probabilities as an array. Raises ValueError where they are none."""
    p = np.asarray(probabilities, np.float64)
    if p.ndim != 1 or not len(p) or not (p >= 0).all() or abs(p.sum() - 1) > 1e-9:
        raise ValueError(
            f"probabilities must be at least 0 and sum to one, not {checks.shown(probabilities)}"
        )
    return p
