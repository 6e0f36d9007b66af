"""What a run does, as it does it: each step that is written, what it follows, and its score.

A run is watched by what it asks of its models, so that every sampler can be: a trajectory that is
continued several times has been resampled, one that is continued no more was dropped, or is done.
"""

from __future__ import annotations

from collections import Counter
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
            with particles {..., "nodes": [{"id", "parent", "depth", "text"}, ...], "resampled":
            whether some of these follow one particle and others none} besides, and
            {"event": "scores", "scores": {id: probability}, "closed": [ids of what has ended]}.
        particles: whether to tell of each step, and not only how many there are.
    """

    def __init__(self, tell: Callable[[dict[str, Any]], None], particles: bool) -> None:
        self._tell, self._particles = tell, particles
        self._steps = self._tokens = self._last = 0
        # Particles that say the same behind the same are one trajectory to a sampler, and a step
        # that ends is copied before it is scored: so a step is known by what it says and follows.
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
            event |= self._nodes(steps)
        self._tell(event)

    def _nodes(self, steps: Sequence[Trajectory]) -> dict[str, Any]:
        """Describe steps; those that follow several equal particles are shared out among them."""
        nodes: list[dict[str, Any]] = []
        following = Counter(step.parent for step in steps)
        placed: Counter[Trajectory] = Counter()
        resampled = False
        for step in steps:
            parent = step.parent
            assert parent is not None
            equal = self._numbered(parent)
            place = placed[parent] * len(equal) // following[parent]
            placed[parent] += 1
            resampled |= 0 < len(equal) < following[parent]
            self._last += 1
            self._said.setdefault(parent, {}).setdefault(step.step_token_ids, []).append(self._last)
            node = {
                "id": self._last,
                "parent": equal[place] if equal else 0,
                "depth": step.depth,
                "text": step.step_text[:MOST_TEXT],
            }
            nodes.append(node)
        return {"nodes": nodes, "resampled": resampled}

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
        """Return the numbers of all that say this step behind the same past; none of a root."""
        if trajectory.parent is None:
            return []
        return self._said.get(trajectory.parent, {}).get(trajectory.step_token_ids, [])
