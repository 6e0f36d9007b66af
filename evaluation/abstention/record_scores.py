"""Scores of confidence in a record's answer: the larger, the more probably it is right.

Each is a function of one record alone, fixed before any right answer is seen, so that it leaves
questions exchangeable. None of them is a probability that the answer is right, nor has to be.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from ...ppl.decisions import Pool, pool_of

if TYPE_CHECKING:
    from ..records import Record

Score = Callable[["Record"], float]


def probability(record: Record) -> float:
    """Return the answer's probability, 0 where there is no answer."""
    return record.probability


def margin(record: Record) -> float:
    """Return by how much the answer's probability exceeds that of the next, or of no answer.

    It is -1 without an answer.
    """
    if record.answer is None:
        return -1.0
    shares = _shares(pool_of(record))
    others = [share for answer, share in shares.items() if answer != record.answer]
    return record.probability - max(others, default=0.0)


def agreement(record: Record) -> float:
    """Return minus the entropy of the answers, nats; the least possible one without an answer."""
    if record.answer is None:
        return -np.log(_MOST)
    shares = np.array(list(_shares(pool_of(record)).values()))
    positive = shares[shares > 0]
    return float(np.sum(positive * np.log(positive)))


def brevity(record: Record) -> float:
    """Return minus the mean tokens of the draws that state the answer."""
    if record.answer is None:
        return -float(_MOST)
    pool = pool_of(record)
    return -float(pool.tokens[_stating(pool, record)].mean())


def reward(record: Record) -> float:
    """Return the best last step's log-odds among draws that state the answer, within -700 to 700.

    Raises:
        ValueError: a draw has no scores of a reward model.
    """
    if record.answer is None:
        return -_LARGEST
    pool = pool_of(record)
    best = -_LARGEST
    for place in np.flatnonzero(_stating(pool, record)).tolist():
        if not pool.log_odds[place].size:
            raise ValueError("the score 'reward' needs a reward model's scores of every draw")
        best = max(best, float(pool.log_odds[place][-1]))
    return min(best, _LARGEST)


_MOST = 10**6  # draws, or tokens, of one run
_LARGEST = 700.0  # nats

SCORES: Mapping[str, Score] = MappingProxyType(
    {
        "probability": probability,
        "margin": margin,
        "agreement": agreement,
        "brevity": brevity,
        "reward": reward,
    }
)
"""Scores by name; `reward` needs a reward model, and all but `probability` need draws."""


def _shares(pool: Pool) -> dict[str | None, float]:
    """Return the weight of each answer."""
    shares: dict[str | None, float] = {}
    for answer, weight in zip(pool.answers, pool.weights.tolist(), strict=True):
        shares[answer] = shares.get(answer, 0.0) + weight
    return shares


def _stating(pool: Pool, record: Record) -> np.ndarray:
    """Return which draws state the record's answer, shape (N,), bool."""
    return np.array([answer == record.answer for answer in pool.answers], np.bool_)
