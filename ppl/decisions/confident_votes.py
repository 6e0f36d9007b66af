"""Votes by the language model's own confidence: DeepConf and self-certainty.

A draw's confidence is a summary of its tokens' confidences C_1..C_T (`motes.models.confidence`),
with means over sliding windows (the whole draw where that is shorter):

    mean       of all tokens
    tail       of the last window
    lowest     the lowest window
    bottom     the mean of the lowest tenth of the windows

DeepConf (Fu et al. 2025, arXiv:2508.15260) weighs each vote by it, and may let only the surest
share vote. Self-certainty (Kang et al. 2025, arXiv:2502.18581) lets draws vote by rank: the r-th
surest of N has (N - r + 1)^p votes. Neither follows a declared target: a confidence is no
likelihood.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Literal, TypeAlias, get_args

import numpy as np

from ... import checks
from .answer_pool import Pool
from .decision import Decision, by_weight
from .votes import base_log_weights

Summary: TypeAlias = Literal["mean", "tail", "lowest", "bottom"]

WINDOW = 2048  # tokens, as published
LOWEST = 0.1  # share of the windows that "bottom" averages, as published


def confidence_vote(
    pool: Pool,
    confidences: Sequence[np.ndarray],
    *,
    summary: Summary = "mean",
    window: int = WINDOW,
    keep: float = 1.0,
) -> Decision:
    """Return the answer of a vote weighed by confidence.

    Args:
        pool: of N draws.
        confidences: of each draw's tokens, not negative, as `motes.models.token_confidences` gives
            them.
        summary: what is made of them.
        window: tokens of a sliding window, at least 1.
        keep: the share of the draws that vote, the surest; in (0, 1].

    Raises:
        TypeError, ValueError: an argument is not of its kind or out of its range, or there is not
            one row of confidences for each draw.

    Example:
        >>> import motes
        >>> from motes.models import TableLM, token_confidences
        >>> from motes.ppl.decisions import confidence_vote, pool_of
        >>> lm = TableLM(lambda prefix: [0.1, 0.9, 0] if not prefix else [0.01, 0, 0.99], eos=2)
        >>> first = lambda x: str(x.token_ids[0]) if x.finished else None
        >>> vote = motes.samplers.MajorityVote(samples=16)
        >>> posterior = motes.solve("?", sampler=vote, lm=lm, prm=None, answer=first)
        >>> sure = token_confidences(lm, posterior.trajectories)
        >>> confidence_vote(pool_of(posterior), sure).answer
        '1'
    """
    keep = checks.number("keep", keep, most=1, above=0)
    values = summarised(pool, confidences, summary, window)
    votes = ceil(keep * len(pool) - 1e-9)
    bar = np.sort(values)[-votes]
    with np.errstate(divide="ignore"):
        log_values = np.where(values >= bar, np.log(values), -np.inf)
    law = (
        f"heuristic: votes weighed by the model's own confidence ({summary}), of the surest "
        f"{int((values >= bar).sum())} of {len(pool)} draws"
    )
    return by_weight(pool, base_log_weights(pool) + log_values, law=law)


def self_certainty_vote(
    pool: Pool, confidences: Sequence[np.ndarray], *, power: float = 0.5
) -> Decision:
    """Return the answer of a Borda vote by self-certainty: the r-th surest has (N - r + 1)^p votes.

    Args:
        pool: of N draws.
        confidences: of each draw's tokens: `motes.models.token_confidences` with `top=None`.
        power: p, at least 0; 0 is the majority vote. Published values lie between 0.3 and 1.2.

    Raises:
        TypeError, ValueError: as `confidence_vote` raises them.

    Example:
        >>> import motes
        >>> from motes.models import TableLM, token_confidences
        >>> from motes.ppl.decisions import pool_of, self_certainty_vote
        >>> lm = TableLM(lambda prefix: [0.1, 0.9, 0] if not prefix else [0.01, 0, 0.99], eos=2)
        >>> first = lambda x: str(x.token_ids[0]) if x.finished else None
        >>> vote = motes.samplers.MajorityVote(samples=16)
        >>> posterior = motes.solve("?", sampler=vote, lm=lm, prm=None, answer=first)
        >>> sure = token_confidences(lm, posterior.trajectories, top=None)
        >>> self_certainty_vote(pool_of(posterior), sure).answer
        '1'
    """
    power = checks.number("power", power, least=0)
    values = summarised(pool, confidences, "mean", WINDOW)
    below = np.searchsorted(np.sort(values), values, side="left")
    up_to = np.searchsorted(np.sort(values), values, side="right")
    points = (below + 1 + up_to) / 2  # N - r + 1, equal ones share their ranks
    law = f"heuristic: a Borda vote by self-certainty, to the power {power:g}"
    return by_weight(pool, base_log_weights(pool) + power * np.log(points), law=law)


def summarised(
    pool: Pool, confidences: Sequence[np.ndarray], summary: str, window: int
) -> np.ndarray:
    """Return the confidence of each draw, shape (N,). Raises as `confidence_vote` does.

    A draw without tokens has confidence 0.
    """
    summary = checks.choice("summary", summary, get_args(Summary))
    window = checks.count("window", window)
    if len(confidences) != len(pool):
        raise ValueError(
            f"confidences must be {len(pool)} rows, one for each draw, not {len(confidences)}"
        )
    return np.array([_summary(np.asarray(row), summary, window) for row in confidences])


def _summary(values: np.ndarray, summary: str, window: int) -> float:
    """Return the confidence of one draw."""
    if not len(values):
        return 0.0
    if summary == "mean":
        return float(values.mean())
    if summary == "tail":
        return float(values[-window:].mean())
    width = min(window, len(values))
    sums = np.cumsum(np.concatenate([[0.0], values]))
    means = (sums[width:] - sums[:-width]) / width
    lowest = 1 if summary == "lowest" else ceil(LOWEST * len(means) - 1e-9)
    return float(np.sort(means)[:lowest].mean())
