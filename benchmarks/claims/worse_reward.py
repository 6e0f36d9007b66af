"""Make a reward model worse little by little, without making it surer or less sure of itself.

The log-odds of the worse one are ::

    centre + quality * (logit r(x) - centre) + spread * sqrt(1 - quality^2) * z(x)

with z(x) standard normal, fixed by question and tokens (`motes.models.Tampered`). If centre and
spread are the mean and the standard deviation of logit r(x), both stay what they are, and only the
correlation with the given reward model falls: at quality 1 it is the given one, at 0 pure noise.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from motes.models import Cost, RewardModel, Tampered, Trajectory


class Shrunk:
    """A reward model whose log-odds are drawn towards a centre.

    Args:
        prm: the reward model.
        factor: what differences from the centre are multiplied with.
        centre: in nats.
    """

    def __init__(self, prm: RewardModel, factor: float, centre: float) -> None:
        self.prm, self.factor, self.centre = prm, factor, centre
        self.name = f"{prm.name}, shrunk (factor {factor:g}, centre {centre:g})"

    @property
    def cost(self) -> Cost:
        """What the reward model underneath has computed since it was made."""
        return self.prm.cost

    def score(self, trajectories: Sequence[Trajectory]) -> np.ndarray:
        """Return the log-odds of each trajectory's last step."""
        return self.centre + self.factor * (np.asarray(self.prm.score(trajectories)) - self.centre)


def worse(prm: RewardModel, quality: float, centre: float, spread: float) -> RewardModel:
    """Return a reward model of this quality, in [0, 1]."""
    noise = spread * float(np.sqrt(1 - quality**2))
    return Tampered(Shrunk(prm, quality, centre), noise=noise)
