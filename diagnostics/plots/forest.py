"""The forest that resampling makes of a filter's particles, laid out so that no two lines cross.

Slot i at step t descends from slot a_t^i at step t - 1. Each step's particles are put in the order
of their parents, siblings in the order of what their descendants answer, those without descendants
last.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ...ppl.posterior.posterior import Posterior
from ...smc import lineages
from .scores import right
from .shades import Shade, shade_numbers


class Forest(NamedTuple):
    """Where the particles of T steps stand.

    Attributes:
        rows: the height at which each slot is drawn, 0 being the uppermost, int64, (T, N).
        shade: number of the shade to which most of its descendants' weight belongs; -1 without any;
            int64, (T, N).
        score: the mean probability r_t of its last step over its descendants, by weight; NaN
            where it has none, (T, N).
    """

    rows: np.ndarray
    shade: np.ndarray
    score: np.ndarray


def forest(posterior: Posterior, groups: list[Shade]) -> Forest:
    """Lay out the forest of a posterior that has a genealogy."""
    assert posterior.genealogy is not None
    ancestors = posterior.genealogy.ancestors
    weights = np.exp(posterior.log_weights)
    steps, slots = ancestors.shape
    numbers = shade_numbers(posterior, groups)
    lineage = lineages(ancestors)[1:]
    living = numbers >= 0
    # sums over each particle's descendants: weight by shade, weight that has a score, and weight
    # times score
    by_shade = np.zeros((steps, slots, len(groups)))
    scored_weight = np.zeros((steps, slots))
    score_sum = np.zeros((steps, slots))
    scores = _scores(posterior, steps)
    for t in range(steps):
        np.add.at(by_shade[t], (lineage[t][living], numbers[living]), weights[living])
        scored = living & ~np.isnan(scores[t])
        np.add.at(scored_weight[t], lineage[t][scored], weights[scored])
        np.add.at(score_sum[t], lineage[t][scored], (weights * scores[t])[scored])
    shade = np.where(by_shade.any(axis=2), by_shade.argmax(axis=2), -1)
    with np.errstate(invalid="ignore"):  # 0 / 0 is NaN: no descendant has a score
        score = score_sum / scored_weight
    return Forest(_rows(ancestors, shade), shade, score)


def _rows(ancestors: np.ndarray, shade: np.ndarray) -> np.ndarray:
    """Order each step by the parents' heights, then by shade, those without descendants last."""
    steps, slots = ancestors.shape
    rows = np.empty((steps, slots), np.int64)
    parent_height = np.zeros(slots, np.int64)  # the first step has one root
    for t in range(steps):
        rank = np.where(shade[t] < 0, shade.max() + 1, shade[t])
        order = np.lexsort((np.arange(slots), rank, parent_height))
        rows[t, order] = np.arange(slots)
        if t + 1 < steps:
            parent_height = rows[t][ancestors[t + 1]]
    return rows


def _scores(posterior: Posterior, steps: int) -> np.ndarray:
    """Place the scores r of each final trajectory's steps at the filter's steps that wrote them.

    Returns:
        Shape (T, N); NaN where a trajectory wrote no step.
    """
    scores = np.full((steps, len(posterior.trajectories)), np.nan)
    # with look-ahead, the filter draws the next steps one generation before it chooses one of them
    delay = int(posterior.provenance.look_ahead)
    if posterior.provenance.generations_apart:  # a generation is not a step that is written
        return scores
    if max(map(len, posterior.log_odds)) > steps - delay:
        return scores
    for i, log_odds in enumerate(posterior.log_odds):
        scores[delay : delay + len(log_odds), i] = right(log_odds)
    return scores
