"""What a language model and a reward model must offer; anything that does can be used everywhere in motes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from .cost import Cost
from .sampling import Sampling
from .trajectory import Trajectory


@runtime_checkable
class LanguageModel(Protocol):
    """Writes reasoning steps.

    Attributes:
        name: what to call the model in reports.
        cost: what it has computed since it was made.
    """

    name: str

    @property
    def cost(self) -> Cost: ...

    def start(self, question: str) -> Trajectory:
        """The root of a new tree, without steps.

        Raises:
            ValueError: the question is empty, or leaves no room in the model's context.
        """
        ...

    def extend(
        self, trajectories: Sequence[Trajectory], keys: Any, *, sampling: Sampling | None = None, prior: Sampling | None = None
    ) -> list[Trajectory]:
        """Draw one step for each trajectory, in one batch.

        Args:
            trajectories: N open trajectories; one may occur several times.
            keys: JAX random keys, shape (N,); slot i's random numbers depend on keys[i] alone.
            sampling: the proposal that steps are drawn from; the prior when None.
            prior: the declared prior, which `logprob` refers to; `Sampling()` when None.

        Returns:
            N children, one each, in order.

        Raises:
            ValueError: a trajectory is not open.
            FloatingPointError: the model's output is not a number; the message names the trajectory.
        """
        ...


@runtime_checkable
class TractableLanguageModel(LanguageModel, Protocol):
    """A language model that also tells how probable a given text is: what ancestor sampling needs.

    The trajectories of one that cannot tell even how probable its own draws are have not a number for `logprob` and
    `proposal_logprob`; it serves where no weight depends on them.
    """

    def logprob(
        self, trajectories: Sequence[Trajectory], continuations: Sequence[Sequence[int]], *, prior: Sampling | None = None
    ) -> np.ndarray:
        """Log-probability, under the prior, that trajectory i goes on with the token ids continuations[i].

        Returns:
            float64, shape (N,), in nats.
        """
        ...


@runtime_checkable
class RewardModel(Protocol):
    """Judges reasoning steps.

    Attributes:
        name: what to call the model in reports.
        cost: what it has computed since it was made.
    """

    name: str

    @property
    def cost(self) -> Cost: ...

    def score(self, trajectories: Sequence[Trajectory]) -> np.ndarray:
        """Log-odds logit(r_t) that the last step of each trajectory is right, in one batch.

        Returns:
            float64, shape (N,); minus and plus infinity are allowed.

        Raises:
            FloatingPointError: a score is not a number; the message names the trajectory.
        """
        ...
