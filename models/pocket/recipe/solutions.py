"""Sampling whole solutions from the pocket's language model, many problems in one batch."""

from __future__ import annotations

from collections.abc import Sequence

import jax

from ....aliases import PRNGKey
from ...language.torch_lm import TorchLM
from ...sampling import Sampling
from ...trajectory import Trajectory
from ..problems import MAX_STEPS, Problem

MOST_STEPS = MAX_STEPS + 4  # a solution that has not ended by then is left as it is
ROWS = 512  # trajectories a batch


def complete(
    lm: TorchLM, trajectories: Sequence[Trajectory], key: PRNGKey, *, prior: Sampling
) -> list[Trajectory]:
    """Go on from each trajectory to its end, or until it has `MOST_STEPS` steps."""
    done: list[Trajectory] = []
    for batch in range(0, len(trajectories), ROWS):
        population = list(trajectories[batch : batch + ROWS])
        for step in range(MOST_STEPS):
            places = [
                i
                for i, trajectory in enumerate(population)
                if trajectory.open and trajectory.depth < MOST_STEPS
            ]
            if not places:
                break
            keys = jax.random.split(
                jax.random.fold_in(jax.random.fold_in(key, batch), step), len(population)
            )
            for i, child in zip(
                places,
                lm.extend(
                    [population[i] for i in places], keys[jax.numpy.array(places)], prior=prior
                ),
                strict=True,
            ):
                population[i] = child
        done += population
    return done


def solved(problem: Problem, trajectory: Trajectory) -> bool:
    """Say whether a trajectory has ended with the problem's answer."""
    return trajectory.finished and trajectory.steps[-1].strip() == problem.solution[-1]
