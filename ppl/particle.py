"""The particle of a state-space model: a trajectory and what the reward model said of its steps."""

from __future__ import annotations

from math import inf
from typing import NamedTuple

from ..models import Trajectory


class Particle(NamedTuple):
    """A trajectory and the log-odds of its steps, in order; empty without a reward model.

    A step outside the prior's support has weight zero and is not scored.

    Attributes:
        trajectory: the trajectory.
        log_odds: of the reward model, one a step.
        log_twist: what its weight contains beyond its likelihood so far, in nats; 0 where nothing
            twists it, and once it is closed.

    Example:
        >>> from motes.models import Trajectory
        >>> particle = Particle(Trajectory(question="2 + 2?"), ())
        >>> particle.trajectory.depth, particle.log_odds
        (0, ())
    """

    trajectory: Trajectory
    log_odds: tuple[float, ...]
    log_twist: float = 0.0

    @property
    def open(self) -> bool:
        """Whether another step may follow."""
        return self.trajectory.open

    @property
    def length(self) -> int:
        """The number of steps."""
        return self.trajectory.depth

    @property
    def impossible(self) -> bool:
        """Whether the last step lies outside the prior's support."""
        return self.trajectory.step_logprob == -inf

    def twisted(self, log_twist: float) -> Particle:
        """Return the same with this twist."""
        return self._replace(log_twist=log_twist)

    @property
    def path(self) -> list[Particle]:
        """The particle after 0, 1, ... steps, without twists."""
        return [Particle(node, self.log_odds[:t]) for t, node in enumerate(self.trajectory.path)]
