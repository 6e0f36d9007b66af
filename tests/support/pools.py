"""Pools made by hand, and pools drawn from a law on a few paths."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from motes.ppl.decisions import Pool


class Paths(NamedTuple):
    """A law on a few complete paths.

    Attributes:
        probabilities: p(x), which sum to one.
        answers: g(x).
        scores: the reward model's log-odds of a path of one step.
        tokens: its length.
    """

    probabilities: np.ndarray
    answers: tuple[str | None, ...]
    scores: np.ndarray
    tokens: np.ndarray

    def probability(self, answer: str | None) -> float:
        """P(a) = sum of p(x) over the paths with this answer."""
        own = [name == answer for name in self.answers]
        return float(self.probabilities[own].sum())

    def pool(self, drawn: Any, **changes: Any) -> Pool:
        """The pool of these paths, by their places, as independent draws."""
        places = np.asarray(drawn, np.int64)
        return make_pool(
            [self.answers[place] for place in places],
            logprobs=np.log(self.probabilities[places]),
            log_odds=tuple(self.scores[[place]] for place in places),
            tokens=self.tokens[places],
            paths=places,
            **changes,
        )


def make_pool(answers: Any, **changes: Any) -> Pool:
    """A pool of independent, equally weighted draws from the prior, with any attributes changed."""
    size = len(answers)
    weights = changes.pop("weights", None)
    if weights is not None:
        with np.errstate(divide="ignore"):
            changes["log_weights"] = np.log(np.asarray(weights, np.float64) / np.sum(weights))
    attributes = {
        "answers": tuple(answers),
        "log_weights": np.full(size, -np.log(max(size, 1))),
        "logprobs": np.full(size, np.nan),
        "log_odds": tuple(np.zeros(0) for _ in range(size)),
        "tokens": np.ones(size, np.int64),
        "ends": ("finished",) * size,
        "paths": np.arange(size),
        "independent": True,
        "from_prior": True,
    }
    return Pool(**attributes | changes)


def sequences(paths: Paths, samples: int) -> Iterator[tuple[tuple[int, ...], float]]:
    """Every sequence of so many draws, by the paths' places, with its probability."""
    for places in product(range(len(paths.probabilities)), repeat=samples):
        yield places, float(np.prod(paths.probabilities[list(places)]))


def expected(
    paths: Paths, samples: int, rule: Callable[[Pool], Mapping[str | None, float]]
) -> dict[str | None, float]:
    """The mean of what a rule gives each answer, over every sequence of draws."""
    means: dict[str | None, float] = {}
    for places, probability in sequences(paths, samples):
        for answer, value in rule(paths.pool(places)).items():
            means[answer] = means.get(answer, 0.0) + probability * value
    return means


def by_answer(paths: Paths, law: Any) -> dict[str | None, float]:
    """A law on the paths as one on their answers."""
    sums: dict[str | None, float] = {}
    for answer, probability in zip(paths.answers, np.asarray(law).tolist(), strict=True):
        sums[answer] = sums.get(answer, 0.0) + probability
    return sums


FOUR = Paths(
    np.array([0.4, 0.3, 0.2, 0.1]),
    ("a", "b", "a", None),
    np.array([0.5, 2.0, -1.0, 2.0]),  # two are equal
    np.array([3, 5, 2, 9]),
)
"""Four paths, of which two have one answer, two one score, and one no answer."""

TENTHS = [0, 0, 0, 0, 1, 1, 1, 2, 2, 3]
"""Ten draws of `FOUR` in exact proportion: what is consistent is exact on them."""
