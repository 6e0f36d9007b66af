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
        score: the mean probability r_t of its last step over its descendants, by weight; not a
            number where it has none, (T, N).
    """

    rows: np.ndarray
    shade: np.ndarray
    score: np.ndarray


def forest(posterior: Posterior, groups: list[Shade]) -> Forest:
    """The forest of a posterior that has a genealogy."""
    assert posterior.genealogy is not None
    ancestors, weights = posterior.genealogy.ancestors, np.exp(posterior.log_weights)
    steps, slots = ancestors.shape
    numbers, lineage = shade_numbers(posterior, groups), lineages(ancestors)[1:]
    mass = np.zeros((steps, slots, len(groups)))
    told, worth = np.zeros((steps, slots)), np.zeros((steps, slots))
    scores = _scores(posterior, steps)
    for t in range(steps):
        living = numbers >= 0
        np.add.at(mass[t], (lineage[t][living], numbers[living]), weights[living])
        scored = living & ~np.isnan(scores[t])
        np.add.at(told[t], lineage[t][scored], weights[scored])
        np.add.at(worth[t], lineage[t][scored], (weights * scores[t])[scored])
    shade = np.where(mass.any(axis=2), mass.argmax(axis=2), -1)
    with np.errstate(invalid="ignore"):
        return Forest(_rows(ancestors, shade), shade, worth / told)


def _rows(ancestors: np.ndarray, shade: np.ndarray) -> np.ndarray:
    """Heights by the parents' heights, then by shade, those without descendants last."""
    steps, slots = ancestors.shape
    rows, above = np.empty((steps, slots), np.int64), np.zeros(slots, np.int64)
    for t in range(steps):
        rank = np.where(shade[t] < 0, shade.max() + 1, shade[t])
        order = np.lexsort((np.arange(slots), rank, above[ancestors[t]] if t else above))
        rows[t, order] = np.arange(slots)
        above = rows[t]
    return rows


def _scores(posterior: Posterior, steps: int) -> np.ndarray:
    """r of the step that each final trajectory wrote at each step of the filter; not a number where it wrote none; (T, N)."""
    scores = np.full((steps, len(posterior.trajectories)), np.nan)
    # with it the filter knows the next steps before one of them is chosen
    behind = int(posterior.provenance.look_ahead)
    apart = posterior.provenance.generations_apart  # generations, and steps that are written
    if apart or max(map(len, posterior.log_odds)) > steps - behind:
        return scores
    for i, log_odds in enumerate(posterior.log_odds):
        scores[behind : behind + len(log_odds), i] = right(log_odds)
    return scores
