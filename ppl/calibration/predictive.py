"""Posterior predictive checks: would the fitted model produce such labels?

The judged steps are grouped, by score and by depth. For every draw theta of the parameters the
labels are drawn anew, and the discrepancy of replicated labels is held against that of the observed
ones (Gelman, Meng and Stern 1996, equation 5),

    T(y, theta) = sum_groups (k_g - E k_g)^2 / Var k_g,    k_g right steps in group g,
                                                           their mean and variance given theta

    p = P(T(y_replicated, theta) > T(y, theta)) + P(equal) / 2

A small p says that the observed shares lie further from the fitted ones than the model can explain.
(A large one says nothing: the parameters have been fitted to these very labels, so that p leans to
the middle and above.)
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .calibration_draws import CalibrationDraws
from .labels import Labels
from .reliability import CLIP, log_rates_of
from .streams import replicate_uniforms

REPLICATES = 1000  # of all chains together, at most: shares need no more
MOST_BINS, FEWEST_IN_BIN = 10, 20


class Predictive(NamedTuple):
    """How the shares of right steps are replicated, by group.

    Attributes:
        groups: what the G groups are: the mean log-odds of a group's steps, or their depth; shape
            (G,).
        counts: steps in each, shape (G,).
        observed: the share of right steps in each, shape (G,).
        replicated: the same in replicated labels, shape (R, G).
        p: the posterior predictive p-value, in [0, 1]; small where the model does not fit.
    """

    groups: np.ndarray
    counts: np.ndarray
    observed: np.ndarray
    replicated: np.ndarray
    p: float


def predictive(calibration: CalibrationDraws) -> dict[str, Predictive]:
    """Check the shares by "score" (bins of about equal counts) and by "depth"."""
    labels = calibration.labels
    probabilities, replicates = replicated(calibration)
    clipped = np.clip(labels.log_odds, -CLIP, CLIP)
    place = binned(labels)
    middles = np.bincount(place, clipped) / np.bincount(place)
    return {
        "score": _compared(place, middles, labels.right, probabilities, replicates),
        "depth": _compared(
            labels.depth, labels.depths.astype(np.float64), labels.right, probabilities, replicates
        ),
    }


def replicated(calibration: CalibrationDraws) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities r of the judged steps, and labels drawn with them, shape (R, n) both.

    R is at most `REPLICATES`, and as many of every chain.
    """
    chains, draws = calibration.draws["slope"].shape
    of_each = min(draws, max(1, REPLICATES // chains))
    log_right, _ = log_rates_of(calibration.labels, calibration.evenly(of_each * chains))
    probabilities = np.exp(log_right)
    return probabilities, replicate_uniforms(calibration.seed, probabilities.shape) < probabilities


def binned(labels: Labels) -> np.ndarray:
    """Give the bin of every judged step by its score, shape (n,).

    Bins have about equal counts, equal scores are together, and there are at most ten.
    """
    count = max(1, min(MOST_BINS, len(labels.right) // FEWEST_IN_BIN))
    edges = np.quantile(np.clip(labels.log_odds, -CLIP, CLIP), np.linspace(0, 1, count + 1)[1:-1])
    bins = np.searchsorted(edges, np.clip(labels.log_odds, -CLIP, CLIP), side="right")
    return np.unique(bins, return_inverse=True)[1]


def _compared(
    place: np.ndarray,
    groups: np.ndarray,
    right: np.ndarray,
    probabilities: np.ndarray,
    replicates: np.ndarray,
) -> Predictive:
    member = np.eye(len(groups))[place]  # (n, G)
    counts = member.sum(axis=0)
    mean, variance = probabilities @ member, (probabilities * (1 - probabilities)) @ member
    observed, drawn = right @ member, replicates @ member
    excess = ((drawn - mean) ** 2 / variance).sum(axis=1) - ((observed - mean) ** 2 / variance).sum(
        axis=1
    )
    p = float(np.mean(excess > 0) + np.mean(excess == 0) / 2)
    return Predictive(groups, counts.astype(int), observed / counts, drawn / counts, p)
