"""Spoil a reward model by a known amount: what becomes of an inference as the judge gets worse.

For a trajectory x the spoiled log-odds are ::

    logit r'(x) = logit r(x) + bias + noise * z(x),    z(x) standard normal,

with z a fixed function of the question and of the trajectory's tokens. So a node has one score,
however often and in whatever company it is asked about, equal texts have equal scores in every run
and on every machine, and the scores of different texts are off independently. The noise spoils the
*ranking*: with noise sigma, a right step that leads a wrong one by d in log-odds falls behind it
with probability Phi(-d / (sigma sqrt(2))). The bias spoils the *calibration* only: a judge that
says yes, or no, too easily.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
from scipy.special import ndtri

from ... import checks
from .. import calls
from ..cost import Cost
from ..protocols import RewardModel
from ..trajectory import Trajectory


class Tampered:
    """A reward model whose log-odds are off, by the same in every run.

    Args:
        prm: the reward model to spoil.
        noise: the standard deviation of what is added to a trajectory's log-odds, in nats; 0 adds
            nothing.
        bias: what is added to all log-odds, in nats.
        seed: another seed gives other noise.

    Raises:
        TypeError: `prm` is not a reward model, or `seed` not an integer.
        ValueError: `noise` is negative or not finite, or `bias` is not finite.

    Example:
        >>> from motes.models import FunctionReward, TableLM
        >>> judge = FunctionReward(lambda trajectory: 2.0)
        >>> root = TableLM(lambda prefix: [0.5, 0.5]).start("Heads or tails?")
        >>> heads, tails = (root.child(text, (i,), logprob=-0.7, proposal_logprob=-0.7)
        ...                 for i, text in enumerate(["heads", "tails"]))
        >>> Tampered(judge, bias=-1.5).score([heads, tails])
        array([0.5, 0.5])
        >>> worse = Tampered(judge, noise=1.0)
        >>> worse.score([heads, tails]).round(2)
        array([2.9 , 2.53])
        >>> bool(worse.score([heads])[0] == worse.score([tails, heads])[1])
        True
    """

    def __init__(
        self, prm: RewardModel, *, noise: float = 0.0, bias: float = 0.0, seed: int = 0
    ) -> None:
        if not isinstance(prm, RewardModel):
            raise TypeError(f"prm must be a reward model, with score, name and cost, not {prm!r}")
        self.prm, self.noise, self.bias = (
            prm,
            checks.number("noise", noise, least=0),
            checks.number("bias", bias),
        )
        self.seed = checks.count("seed", seed, least=-checks.MOST)
        self.name = (
            f"{prm.name}, tampered with (noise {self.noise:g}, bias {self.bias:g}, seed "
            f"{self.seed})"
        )

    @property
    def cost(self) -> Cost:
        """What the reward model underneath has computed since it was made."""
        return self.prm.cost

    def can_read(self, trajectory: Trajectory) -> bool:
        """Return whether the context of the reward model underneath holds a trajectory."""
        return calls.can_read(self.prm, trajectory)

    def score(self, trajectories: Sequence[Trajectory]) -> np.ndarray:
        """Return the spoiled log-odds of each trajectory's last step; see `RewardModel.score`."""
        scores = np.asarray(self.prm.score(trajectories), np.float64) + self.bias
        if self.noise == 0:
            return scores
        return scores + self.noise * np.array(
            [self._normal(trajectory) for trajectory in trajectories]
        )

    def _normal(self, trajectory: Trajectory) -> float:
        """Draw a standard normal number, fixed by the seed, the question and the tokens."""
        said = repr((self.seed, trajectory.question, trajectory.token_ids)).encode()
        drawn = int.from_bytes(blake2b(said, digest_size=8).digest(), "big") >> 12
        return float(ndtri((drawn + 0.5) / 2.0**52))  # 52 bits: neither 0 nor 1 by rounding
