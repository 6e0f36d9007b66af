"""Which lines of reasoning a reader is shown: the best, and those that differ most from it."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from ...models import Trajectory
from ...ppl.posterior.posterior import Posterior
from ..plots.scores import right


class Step(NamedTuple):
    """A step as it is shown: its text, the reward model's probability that it is right (None without), whether the best one has it too."""

    text: str
    score: float | None
    shared: bool


class Chosen(NamedTuple):
    """A trajectory, why it is shown, and its steps.

    Attributes:
        title: which it is.
        why: how it was chosen.
        answer: the key of its answer; None without one.
        probability: of it and of those with the same tokens.
        ended: "finished", "truncated" or "unfinished".
        tokens: how many.
        steps: all of them.
    """

    title: str
    why: str
    answer: str | None
    probability: float
    ended: str
    tokens: int
    steps: list[Step]


def chosen(posterior: Posterior) -> list[Chosen]:
    """The best trajectory first; then the best with another answer, and the farthest, where there are any."""
    label = dict(zip(posterior.trajectories, posterior.labels, strict=True))
    log_odds = dict(zip(posterior.trajectories, posterior.log_odds, strict=True))
    best = next((x for x in posterior.distinct if label[x] == posterior.answer), posterior.best)
    why = (
        "trajectory: none states an answer"
        if posterior.answer is None
        else "of those that state the most probable answer"
    )
    found = {best: ("The best", f"The most probable {why}.")}
    others = [x for x in posterior.distinct if label[x] != label[best]]
    if others:
        other = next((x for x in others if label[x] is not None), others[0])
        title = (
            "The best without an answer" if label[other] is None else "The best with another answer"
        )
        found[other] = (
            title,
            "The most probable of those that do not state the most probable answer.",
        )
    distance, farthest = max(
        ((apart(best, x), x) for x in posterior.distinct), key=lambda item: item[0]
    )
    if distance > 0:
        title, before = found.get(farthest, ("The farthest from the best", ""))
        why = (
            "It shares the fewest pairs of neighbouring tokens with the best: "
            f"{100 - 100 * distance:.0f}% of the longer one's."
        )
        found[farthest] = (title, f"{before} {why}".strip())
    return [
        _told(x, best, title, why, label[x], posterior.distinct[x], log_odds[x])
        for x, (title, why) in found.items()
    ]


def apart(x: Trajectory, y: Trajectory) -> float:
    """Which share of the pairs of neighbouring tokens of the one with more of them the two do not have in common; in [0, 1]."""
    first, second = (Counter(pairwise((None, *z.token_ids, None))) for z in (x, y))
    return 1 - (first & second).total() / max(first.total(), second.total())


def _told(
    x: Trajectory,
    best: Trajectory,
    title: str,
    why: str,
    answer: str | None,
    probability: float,
    log_odds: np.ndarray,
) -> Chosen:
    scores = [*right(log_odds).tolist(), *[None] * x.depth]
    steps, together = [], x is not best
    against = [node.step_token_ids for node in best.path[1:]] + [None] * x.depth
    for node, same, score in zip(x.path[1:], against, scores, strict=False):
        together = together and node.step_token_ids == same
        steps.append(Step(node.step_text.strip(), score, together))
    ended = "finished" if x.finished else "truncated" if x.truncated else "unfinished"
    return Chosen(title, why, answer, probability, ended, len(x.token_ids), steps)
