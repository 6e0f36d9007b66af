"""Whole solutions inside a program: what refinement loops draw, score and speak about.

A loop is a program without observations: its posterior is the law of what the loop returns, and
every particle is one run of the loop. So `importance_sampling` with N particles repeats it N times,
with the steps of all runs drawn in one batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpyro

from ...models import LanguageModel, Sampling, Trajectory
from ..answers import Answer
from ..programs.sites import start, step

ScoreOf: TypeAlias = Callable[[Trajectory], float]
"""A verifier: how good a complete solution is, on any scale."""


class Scored(NamedTuple):
    """A solution and what the verifier says of it.

    Attributes:
        trajectory: the solution, complete.
        score: on the verifier's scale.

    Example:
        >>> from motes.models import Trajectory
        >>> Scored(Trajectory(question="2 + 2?"), 0.5).score
        0.5
    """

    trajectory: Trajectory
    score: float


def solution(
    name: str,
    lm: LanguageModel,
    prompt: str,
    *,
    most_steps: int,
    prior: Sampling = Sampling(),
    answer: Answer | None = None,
) -> Trajectory:
    """Draw a whole solution at sites `name_1`, `name_2`, ...

    Args:
        name: of its sites, unlike that of any other solution of the program.
        lm: the language model.
        prompt: what is asked.
        most_steps: after which it is left as it is.
        prior: how steps are sampled, by declaration.
        answer: reads the answer; see `motes.ppl.step`.
    """
    x = start(lm, prompt)
    while x.open and x.depth < most_steps:
        x = numpyro.sample(f"{name}_{x.depth + 1}", step(lm, x, prior=prior, answer=answer))
        assert isinstance(x, Trajectory)
    return x
