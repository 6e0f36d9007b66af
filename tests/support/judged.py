"""Reward models and judged steps for the tests of calibration. On the tests' path: see
pyproject.toml."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from motes.models import Cost, Trajectory
from motes.ppl.calibration import LabelledStep


class Recorder:
    """A reward model given by a function, which remembers what it was asked."""

    def __init__(self, fn: Callable[[Trajectory], float], name: str = "recorder") -> None:
        self.fn, self.name, self.batches = fn, name, []

    @property
    def cost(self) -> Cost:
        return Cost(prm_tokens=sum(map(len, self.batches)))

    def score(self, trajectories):
        self.batches.append(list(trajectories))
        return np.array([self.fn(trajectory) for trajectory in trajectories])


def tree(question: str, depth: int, branches: int = 2) -> list[Trajectory]:
    """All nodes of a tree of steps but its root, parents first."""
    level, nodes = [Trajectory(question=question)], []
    for _ in range(depth):
        level = [
            x.child(f"{b} ", (b,), logprob=-1.0, proposal_logprob=-1.0)
            for x in level
            for b in range(branches)
        ]
        nodes += level
    return nodes


def simulated(
    seed: int,
    probability: Callable[..., float],
    *,
    problems: int = 10,
    depth: int = 3,
    each: int = 4,
):
    """A reward model whose log-odds are normal, and judged steps: problems * depth * each of them.

    `probability` maps log-odds, depth (1 for the first) and the problem's number to the true r.
    """
    random = np.random.default_rng(seed)
    table: dict[Trajectory, float] = {}
    labelled = []
    for j in range(problems):
        for _ in range(each):
            node = Trajectory(question=f"problem {j}")
            for t in range(1, depth + 1):
                node = node.child("step ", (t,), logprob=-1.0, proposal_logprob=-1.0)
                table[node] = random.normal(0, 2)
                labelled.append(
                    LabelledStep(node, bool(random.random() < probability(table[node], t, j)))
                )
    return Recorder(table.__getitem__), labelled
