"""What a run does, as it does it: each step that is written, what it follows, and its score.

A run is watched by what it asks of its models, so that every sampler can be: a trajectory that is
continued several times has been resampled, one that is continued no more was dropped, or is done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from ..log_odds import sigmoid
from ..models import Trajectory

MOST_TEXT = 2000  # characters of a step that are told


class Live:
    """Tells of one run.

    Args:
        tell: given each event, a plain object:
            {"event": "steps", "steps": steps written so far, "tokens": tokens generated so far},
            with particles {..., "nodes": [{"id", "parent", "depth", "text"}, ...]} besides, and
            {"event": "scores", "scores": {id: probability}, "closed": [ids of what has ended]}.
        particles: whether to tell of each step, and not only how many there are.
    """

    def __init__(self, tell: Callable[[dict[str, Any]], None], particles: bool) -> None:
        self._tell, self._particles = tell, particles
        self._steps = self._tokens = self._last = 0
        self._numbers: WeakKeyDictionary[Trajectory, int] = WeakKeyDictionary()
        # a step that ends is copied before it is scored, and known by what it says and follows
        self._said: WeakKeyDictionary[Trajectory, dict[tuple[int, ...], list[int]]]
        self._said = WeakKeyDictionary()

    def __call__(self, method: str, rows: tuple[Sequence[Any], ...], answers: Any) -> None:
        """Hear what a model was asked, and what it answered."""
        if method == "extend":
            self._written(answers)
        elif method == "score" and self._particles:
            self._scored(rows[0], answers)

    def _written(self, steps: Sequence[Trajectory]) -> None:
        self._steps += len(steps)
        self._tokens += sum(len(step.step_token_ids) for step in steps)
        event = {"event": "steps", "steps": self._steps, "tokens": self._tokens}
        if self._particles:
            event["nodes"] = [self._node(step) for step in steps]
        self._tell(event)

    def _node(self, step: Trajectory) -> dict[str, Any]:
        self._last += 1
        self._numbers[step] = self._last
        parent = step.parent
        if parent is not None:
            same = self._said.setdefault(parent, {})
            same.setdefault(step.step_token_ids, []).append(self._last)
        return {
            "id": self._last,
            "parent": 0 if parent is None else self._numbers.get(parent, 0),
            "depth": step.depth,
            "text": step.step_text[:MOST_TEXT],
        }

    def _scored(self, trajectories: Iterable[Trajectory], log_odds: Any) -> None:
        scores: dict[int, float] = {}
        closed: list[int] = []
        rewards = sigmoid(np.asarray(log_odds)).tolist()
        for trajectory, score in zip(trajectories, rewards, strict=True):
            for number in self._numbered(trajectory):
                scores[number] = round(score, 4)
                if not trajectory.open:
                    closed.append(number)
        self._tell({"event": "scores", "scores": scores, "closed": closed})

    def _numbered(self, trajectory: Trajectory) -> list[int]:
        """The numbers of a step: its own, and those of all that say the same behind the same."""
        if trajectory.parent is None:
            return []
        return self._said.get(trajectory.parent, {}).get(trajectory.step_token_ids, [])
