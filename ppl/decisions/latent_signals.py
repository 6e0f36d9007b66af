"""Signals of a solution's path through a model's hidden states.

The hidden states of one layer are averaged over chunks of tokens: h_1, ..., h_M. Then

    net         |h_M - h_1| / (M - 1)
    cumulative  sum_m |h_m - h_{m-1}|
    aligned     mean_m cos(h_m - h_{m-1}, h_M - h_1)

say how far, along how long a way, and how straight the solution went. They are features for a
calibrated judge of solutions; which of them, of which layer and with which sign, must be chosen on
questions with known answers. None is a likelihood. Source: arXiv:2510.10494 and its code.
"""

from __future__ import annotations

from math import ceil, nan
from typing import NamedTuple

import numpy as np

from ... import checks
from .answer_pool import Pool
from .decision import Decision, by_weight
from .votes import base_log_weights

CHUNK = 500  # tokens, as published


class LatentSignals(NamedTuple):
    """Three numbers of a path, NaN where it has fewer than two chunks.

    Attributes:
        net: the distance from its first chunk to its last, by chunk.
        cumulative: the length of its way.
        aligned: how straight it is, from -1 to 1.

    Example:
        >>> latent_signals(np.arange(6.0)[:, None], chunk=2)
        LatentSignals(net=2.0, cumulative=4.0, aligned=1.0)
    """

    net: float
    cumulative: float
    aligned: float


def latent_signals(states: np.ndarray, *, chunk: int = CHUNK) -> LatentSignals:
    """Return the signals of a solution.

    Args:
        states: of one layer, one row for each token that was generated, shape (T, D).
        chunk: tokens of a chunk; the last may have fewer.

    Returns:
        The signals. Steps of length zero count as no movement, with cosine 0.

    Raises:
        ValueError: the states are not a table of finite numbers.

    Example:
        >>> latent_signals(np.zeros((3, 2)), chunk=500).net
        nan
    """
    chunk = checks.count("chunk", chunk)
    rows = np.asarray(states, np.float64)
    if rows.ndim != 2 or not len(rows) or not np.isfinite(rows).all():
        raise ValueError(
            f"states must be finite numbers of shape (tokens, dimensions), not of {rows.shape}"
        )
    parts = [rows[begin : begin + chunk].mean(0) for begin in range(0, len(rows), chunk)]
    if len(parts) < 2:
        return LatentSignals(nan, nan, nan)
    means = np.array(parts)
    steps, whole = np.diff(means, axis=0), means[-1] - means[0]
    lengths, distance = np.linalg.norm(steps, axis=1), float(np.linalg.norm(whole))
    scales = lengths * distance
    cosines = np.divide(steps @ whole, scales, out=np.zeros(len(steps)), where=scales > 0)
    return LatentSignals(distance / (len(means) - 1), float(lengths.sum()), float(cosines.mean()))


def signal_vote(pool: Pool, signals: np.ndarray, *, keep: float = 0.5) -> Decision:
    """Return the answer of the draws with the largest signals.

    Args:
        pool: of N draws.
        signals: one for each draw, the larger the better (turn the sign where it is the other
            way), shape (N,); NaN where a draw has none, which is then not kept while others are.
        keep: the share of the draws that vote, in (0, 1]; equals of the last one vote too.

    Returns:
        The decision, by a rule that follows no declared law.

    Raises:
        TypeError, ValueError: `keep` is out of its range, or there is not one signal for each draw.

    Example:
        >>> import motes
        >>> from motes.models import TableLM
        >>> from motes.ppl.decisions import pool_of, signal_vote
        >>> lm = TableLM(lambda prefix: [0.9, 0.1, 0] if not prefix else [0, 0, 1], eos=2)
        >>> first = lambda x: str(x.token_ids[0]) if x.finished else None
        >>> vote = motes.samplers.MajorityVote(samples=8)
        >>> pool = pool_of(motes.solve("?", sampler=vote, lm=lm, prm=None, answer=first))
        >>> signal_vote(pool, np.arange(8.0), keep=1.0).answer
        '0'
    """
    keep = checks.number("keep", keep, most=1, above=0)
    values = np.asarray(signals, np.float64)
    if values.shape != (len(pool),):
        raise ValueError(
            f"signals must be one number for each of {len(pool)} draws, not of shape {values.shape}"
        )
    values = np.where(np.isnan(values), -np.inf, values)
    bar = np.sort(values)[-ceil(keep * len(pool) - 1e-9)]
    kept = values >= bar
    law = f"heuristic: the vote of {int(kept.sum())} of {len(pool)} draws with the largest signals"
    return by_weight(pool, np.where(kept, base_log_weights(pool), -np.inf), law=law)
