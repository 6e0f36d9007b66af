"""What weighted trajectories add up to: by their answers, and by their tokens."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp

import numpy as np

from ...models import Trajectory


def answer_probabilities(
    labels: Sequence[str | None], log_weights: np.ndarray
) -> dict[str | None, float]:
    """Add up the weights of each answer, the most probable first.

    Args:
        labels: the answer of each trajectory; None for no answer.
        log_weights: normalised, shape (N,).

    Returns:
        The answers of positive weight. Of equally probable ones None comes last, and texts by the
        alphabet.
    """
    totals: dict[str | None, float] = {}
    for label, log_weight in zip(labels, log_weights.tolist(), strict=True):
        if log_weight > -np.inf:
            totals[label] = totals.get(label, 0.0) + exp(log_weight)
    ordered = sorted(totals.items(), key=lambda item: (-item[1], item[0] is None, item[0] or ""))
    return {answer: min(probability, 1.0) for answer, probability in ordered}


def distinct_trajectories(
    trajectories: Sequence[Trajectory], log_weights: np.ndarray
) -> dict[Trajectory, float]:
    """Add up the weights of the trajectories with the same tokens, the most probable first.

    Args:
        trajectories: N of them.
        log_weights: normalised, shape (N,).

    Returns:
        Those of positive weight; the first with its tokens (and its end) stands for the others.
    """
    firsts: dict[object, Trajectory] = {}
    totals: dict[Trajectory, float] = {}
    for trajectory, log_weight in zip(trajectories, log_weights.tolist(), strict=True):
        if log_weight > -np.inf:
            first = firsts.setdefault(_mark(trajectory), trajectory)
            totals[first] = totals.get(first, 0.0) + exp(log_weight)
    return dict(sorted(totals.items(), key=lambda item: -item[1]))


def of_equal_trajectories(trajectories: Sequence[Trajectory], values: np.ndarray) -> np.ndarray:
    """Give trajectories with the same tokens the value of the first of them; shape (N,)."""
    firsts: dict[object, float] = {}
    pairs = zip(map(_mark, trajectories), values.tolist(), strict=True)
    return np.array([firsts.setdefault(mark, value) for mark, value in pairs], np.float64)


def _mark(trajectory: Trajectory) -> tuple[object, ...]:
    """Return what two trajectories have in common that count as one."""
    return trajectory.token_ids, trajectory.finished, trajectory.truncated
