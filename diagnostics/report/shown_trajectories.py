"""The lines of reasoning that a reader is shown: the best, and those that differ most from it."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from ...models import Trajectory
from ...ppl.posterior.posterior import Posterior
from ..plots.scores import right


class Step(NamedTuple):
    """A step as it is shown.

    Attributes:
        text: of the step.
        score: the reward model's probability that it is right; None without a score.
        shared: whether the best trajectory begins with it, too.
    """

    text: str
    score: float | None
    shared: bool


class ShownTrajectory(NamedTuple):
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


def shown_trajectories(posterior: Posterior) -> list[ShownTrajectory]:
    """Select the best trajectory, the best with another answer, and the farthest from the best.

    The last two are left out where there are none.
    """
    label = dict(zip(posterior.trajectories, posterior.labels, strict=True))
    log_odds = dict(zip(posterior.trajectories, posterior.log_odds, strict=True))
    best = next((x for x in posterior.distinct if label[x] == posterior.answer), posterior.best)
    why = "The most probable of those that state the most probable answer."
    if posterior.answer is None:
        why = "The most probable trajectory: none states an answer."
    reasons = {best: ("The best", why)}
    others = [x for x in posterior.distinct if label[x] != label[best]]
    if others:
        other = next((x for x in others if label[x] is not None), others[0])
        title = "The best with another answer"
        if label[other] is None:
            title = "The best without an answer"
        why = "The most probable of those that do not state the most probable answer."
        reasons[other] = (title, why)
    distances = {x: token_distance(best, x) for x in posterior.distinct}
    farthest = max(distances, key=distances.__getitem__)
    distance = distances[farthest]
    if distance > 0:
        title, before = reasons.get(farthest, ("The farthest from the best", ""))
        why = (
            "It shares the fewest pairs of neighbouring tokens with the best: "
            f"{100 - 100 * distance:.0f}% of the longer one's."
        )
        reasons[farthest] = (title, f"{before} {why}".strip())
    shown = []
    for x, (title, why) in reasons.items():
        steps = _steps(x, best, log_odds[x])
        probability = posterior.distinct[x]
        tokens = len(x.token_ids)
        shown.append(ShownTrajectory(title, why, label[x], probability, _ending(x), tokens, steps))
    return shown


def token_distance(x: Trajectory, y: Trajectory) -> float:
    """Measure how different two trajectories are, by their pairs of neighbouring tokens.

    Of the trajectory with more pairs, it is the share that the other does not have; in [0, 1].
    """
    first, second = (Counter(pairwise((None, *z.token_ids, None))) for z in (x, y))
    return 1 - (first & second).total() / max(first.total(), second.total())


def _steps(x: Trajectory, best: Trajectory, log_odds: np.ndarray) -> list[Step]:
    """Describe the steps of a trajectory; those that begin the best one too are shared."""
    scores = [*right(log_odds).tolist(), *[None] * x.depth]
    of_best = [*(node.step_token_ids for node in best.path[1:]), *[None] * x.depth]
    shared = x is not best
    steps = []
    for node, tokens, score in zip(x.path[1:], of_best, scores, strict=False):
        shared = shared and node.step_token_ids == tokens
        steps.append(Step(node.step_text.strip(), score, shared))
    return steps


def _ending(x: Trajectory) -> str:
    """Name how a trajectory ends."""
    if x.finished:
        return "finished"
    return "truncated" if x.truncated else "unfinished"
