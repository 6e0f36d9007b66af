"""Intervals of a curve of risk against coverage, and of the areas under it.

At each coverage the risk is a frequency, with Jeffreys' interval; several runs on one question
count once. Areas are statistics of all questions and of their order: their intervals are quantiles
of the Bayesian bootstrap (Rubin 1981, doi:10.1214/aos/1176345338), which weighs questions by
Dirichlet(1, ..., 1) weights. Where all answers are right, or all wrong, it has nothing to weigh,
and the interval has no width.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..frequencies import jeffreys

DRAWS = 1000  # of the bootstrap
LEVELS = (0.025, 0.975)


class Ranked(NamedTuple):
    """Answers, surest first.

    Attributes:
        wrong: whether each is, shape (n,), bool.
        group: of equal confidence, rising from 0, shape (n,), int64.
        question: that each is an answer to, from 0, shape (n,), int64.
    """

    wrong: np.ndarray
    group: np.ndarray
    question: np.ndarray


def risk_ends(risk: np.ndarray, answers: Ranked) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends of the 95% credible interval of the risk at each coverage, both (n,).

    Args:
        risk: of the first m answers, shape (n,).
        answers: that it is of.

    Example:
        >>> answers = Ranked(np.array([False, True]), np.array([0, 1]), np.array([0, 1]))
        >>> low, high = risk_ends(np.array([0.0, 0.5]), answers)
        >>> low.round(2).tolist(), high.round(2).tolist()
        ([0.0, 0.06], [0.85, 0.94])
    """
    _, first = np.unique(answers.question, return_index=True)
    questions = np.cumsum(np.isin(np.arange(len(risk)), first))
    return jeffreys(risk * questions, questions)


def area_ends(answers: Ranked) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the 95% intervals of the areas under the curve of risk, and of risk times coverage.

    Example:
        >>> answers = Ranked(np.array([False, True]), np.array([0, 1]), np.array([0, 1]))
        >>> [round(end, 2) for end in area_ends(answers)[1]]
        [0.0, 0.96]
    """
    generator = np.random.default_rng(0)
    questions = int(answers.question.max()) + 1
    areas = np.empty((DRAWS, 2))
    for draw in areas:
        draw[:] = _areas(answers, generator.standard_exponential(questions))
    (a, c), (b, d) = np.quantile(areas, LEVELS, axis=0).tolist()
    return (a, b), (c, d)


def _areas(answers: Ranked, weight: np.ndarray) -> tuple[float, float]:
    """Return both areas of answers whose questions have these weights."""
    weights = weight[answers.question] / weight[answers.question].sum()
    # in a random order, each place of a group of ties has the mean loss of the group
    loss = np.bincount(answers.group, weights * answers.wrong)
    mean = loss / np.bincount(answers.group, weights)
    losses, covered = np.cumsum(weights * mean[answers.group]), np.cumsum(weights)
    return float(weights @ (losses / covered)), float(weights @ losses)
