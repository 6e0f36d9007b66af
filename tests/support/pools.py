"""Pools made by hand, and pools drawn from a law on a few paths."""

from __future__ import annotations

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
