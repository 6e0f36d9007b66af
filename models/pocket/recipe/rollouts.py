"""Step labels from Monte Carlo rollouts, in the manner of Math-Shepherd (Wang et al. 2024).

A step counts as right if any of several rollouts from the prefix that it ends reaches the problem's
answer (their "hard estimation"). Nothing else is known about a step: the checker of steps plays no
part in the labels.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

import jax
import numpy as np

from ...language.torch_lm import TorchLM
from ...sampling import Sampling
from ...trajectory import Trajectory
from ..problems import problems
from .solutions import complete, solved

PRIOR = Sampling(temperature=1.0)  # the prior that motes declares by default
PROBLEMS_A_ROUND = 48


class Labelled(NamedTuple):
    """One sampled solution.

    Attributes:
        question: of a training problem.
        steps: the solution's steps, as the language model wrote them.
        shares: for each step, the share of rollouts from its end that reached the answer.
    """

    question: str
    steps: tuple[str, ...]
    shares: tuple[float, ...]

    @property
    def labels(self) -> tuple[float, ...]:
        """For each step, 1 if any rollout from its end reached the answer, else 0."""
        return tuple(float(share > 0) for share in self.shares)


def label(lm: TorchLM, *, solutions: int, rollouts: int, seed: int) -> Iterator[Labelled]:
    """Sample solutions to training problems and roll out from their prefixes.

    Args:
        lm: the pocket's language model.
        solutions: how many to sample, one a problem.
        rollouts: completions from each prefix.
        seed: of problems and samples.

    Yields:
        The labelled solutions.
    """
    # not the stream that the language model was trained on
    source = problems("train", seed=seed + 1)
    key = jax.random.key(seed)
    for made in range(0, solutions, PROBLEMS_A_ROUND):
        batch = list(islice(source, min(PROBLEMS_A_ROUND, solutions - made)))
        first, second = jax.random.split(jax.random.fold_in(key, made))
        written = complete(
            lm, [lm.start(problem.question) for problem in batch], first, prior=PRIOR
        )
        prefixes = [
            (i, node) for i, trajectory in enumerate(written) for node in trajectory.path[1:]
        ]
        unfinished = [(i, node) for i, node in prefixes if node.open for _ in range(rollouts)]
        ends = complete(lm, [node for _, node in unfinished], second, prior=PRIOR)
        reached: dict[Trajectory, list[bool]] = {
            node: [solved(batch[i], node)] for i, node in prefixes if not node.open
        }
        for (i, node), end in zip(unfinished, ends, strict=True):
            reached.setdefault(node, []).append(solved(batch[i], end))
        for problem, trajectory in zip(batch, written, strict=True):
            shares = tuple(float(np.mean(reached[node])) for node in trajectory.path[1:])
            yield Labelled(problem.question, trajectory.steps, shares)
