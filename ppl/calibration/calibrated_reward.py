"""A calibrated reward model: what a filter sees when the calibration itself is uncertain.

M posterior draws theta_1..theta_M of the reliability model are held through a run. Each gives every
step a probability r_s(theta), and what is averaged is the likelihood, the product over steps, not
its factors: the score of x_1:t is the log-odds of

    G_t = E_theta prod_{s<=t} r_s(theta) / E_theta prod_{s<t} r_s(theta)

the probability that step t is right given that the earlier ones are, theta being uncertain and the
same for all of them. The product of these over a trajectory is E_theta prod_t r_t(theta) exactly,
which is then the likelihood of the target `product`. Other targets take G_t for their r_t: `odds`
multiplies its odds, `final` with the last step's takes that last step's conditional probability,
which is not E_theta r_tau. An average of each step's probability by itself would forget that a
reward model which was mistaken about one step of a problem is likely mistaken about the next.

No score is infinite: a step that the reward model holds impossible is right with the false negative
rate.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast
from weakref import WeakKeyDictionary

import numpy as np
from scipy.special import logsumexp
from xarray import DataTree

from ... import checks
from ...models import Cost, RewardModel, Trajectory, calls
from ...models.identity import identify
from .calibration import Calibration
from .reliability import CLIP, log_rates
from .streams import unseen

HELD = 100


class CalibratedReward:
    """A reward model seen through a fitted model of its reliability, as a `RewardModel`.

    Args:
        prm: the reward model that was calibrated.
        calibration: the fit.
        held: M, how many posterior draws to hold, evenly spaced along the chains.

    A problem that was among the labelled ones has its own posterior effect; every other has
    sigma_problem z, with M standard normal numbers z, drawn once from the fit's seed. A depth that
    was never seen has sigma_depth z, with numbers z of its own.

    Raises:
        TypeError: `prm` is not a reward model, or `held` not an integer.
        ValueError: the fit is of another reward model, or `held` lies outside 1 to the number of
            draws.

    Example:
        >>> import warnings
        >>> from motes.models import FunctionReward, Trajectory
        >>> from motes.ppl import LabelledStep, calibrate
        >>> prm = FunctionReward(lambda x: 3.0, name="sure")
        >>> root = Trajectory(question="?")
        >>> step = root.child("", (1,), logprob=0.0, proposal_logprob=0.0)
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter("ignore")  # two steps and so few draws are not enough
        ...     both = [LabelledStep(step, True), LabelledStep(step, False)]
        ...     fit = calibrate(prm, both, chains=1, warmup=50, draws=20, held=10).calibration
        >>> CalibratedReward(prm, fit, held=5).score([step]).shape
        (1,)
    """

    def __init__(self, prm: RewardModel, calibration: Calibration, *, held: int = HELD) -> None:
        check_reward(prm)
        if prm.name != calibration.prm:
            raise ValueError(
                f"the calibration is of the reward model {calibration.prm!r}, not of {prm.name!r}"
            )
        mark = str(identify(prm).text)
        if calibration.mark not in ("", mark):
            raise ValueError(
                f"the calibration is of another reward model of this name: {calibration.mark!r}, "
                f"not {mark!r}"
            )
        self.prm, self.calibration = prm, calibration
        self.held = checks.count("held", held, most=calibration.size)
        self.name = f"{prm.name}, calibrated on {len(calibration.labels.right)} steps"
        self._draws = calibration.evenly(self.held)
        self._problems = {
            question: self._draws["problem_effect"][:, j]
            for j, question in enumerate(calibration.labels.questions)
        }
        self._depths = {
            int(depth): self._draws["depth_effect"][:, d]
            for d, depth in enumerate(calibration.labels.depths)
        }
        self._new_problem = self._draws["sigma_problem"] * unseen(calibration.seed, self.held)
        self._log_products: WeakKeyDictionary[Trajectory, np.ndarray] = WeakKeyDictionary()
        self._scores: WeakKeyDictionary[Trajectory, float] = WeakKeyDictionary()

    @property
    def cost(self) -> Cost:
        """What the reward model underneath has computed since it was made."""
        return self.prm.cost

    def can_read(self, trajectory: Trajectory) -> bool:
        """Return whether the context of the reward model underneath holds a trajectory."""
        return calls.can_read(self.prm, trajectory)

    def score(self, trajectories: Sequence[Trajectory]) -> np.ndarray:
        """Return the finite log-odds of G_t of each trajectory's last step, float64, shape (N,).

        The reward model underneath is asked once about each node, ancestors included, in one batch;
        what it said is remembered as long as the node lives.

        Raises:
            ValueError: a trajectory has no step.
            FloatingPointError: a score is NaN; the message names the trajectory.
        """
        if new := self._new(trajectories):
            log_right, log_wrong = self._log_rates(new, calls.score(self.prm, new))
            for node, right, wrong in zip(new, log_right, log_wrong, strict=True):
                before = self._before(node)
                self._log_products[node] = before + right
                right_mass = cast("float", logsumexp(before + right))
                wrong_mass = cast("float", logsumexp(before + wrong))
                self._scores[node] = float(right_mass - wrong_mass)
        return np.array([self._scores[trajectory] for trajectory in trajectories], np.float64)

    def log_products(self, trajectory: Trajectory) -> np.ndarray:
        """Compute log prod_{s<=t} r_s(theta_m) of each draw held, nats, shape (M,).

        It is the trajectory's likelihood before the average.
        """
        self.score([trajectory])
        return self._log_products[trajectory].copy()

    @classmethod
    def from_datatree(
        cls, prm: RewardModel, tree: DataTree, *, held: int = HELD
    ) -> CalibratedReward:
        """Make the calibrated reward model whose fit was kept as this data tree.

        Raises:
            ValueError: the tree is of something else, or of another reward model.
        """
        return cls(prm, Calibration.from_datatree(tree), held=held)

    def _new(self, trajectories: Sequence[Trajectory]) -> list[Trajectory]:
        """List the nodes that have no score yet, each after its parent."""
        new: dict[Trajectory, None] = {}
        for trajectory in trajectories:
            if trajectory.parent is None:
                raise ValueError("trajectories must have at least one step to be scored")
            unknown, node = [], trajectory
            while node.parent is not None and node not in self._scores and node not in new:
                unknown.append(node)
                node = node.parent
            new |= dict.fromkeys(reversed(unknown))
        return list(new)

    def _before(self, node: Trajectory) -> np.ndarray:
        parent = node.parent
        if parent is None or parent.parent is None:
            return np.zeros(self.held)
        return self._log_products[parent]

    def _log_rates(
        self, nodes: Sequence[Trajectory], log_odds: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return log r and log(1 - r) of each node's step under each draw, shape (N, M) both."""
        draws = self._draws
        effects = np.array(
            [
                self._problems.get(node.question, self._new_problem) + self._depth(node.depth)
                for node in nodes
            ]
        )
        logit = (
            draws["intercept"] + draws["slope"] * np.clip(log_odds, -CLIP, CLIP)[:, None] + effects
        )
        return log_rates(logit, draws["false_positive"], draws["false_negative"])

    def _depth(self, depth: int) -> np.ndarray:
        if depth not in self._depths:
            self._depths[depth] = self._draws["sigma_depth"] * unseen(
                self.calibration.seed, self.held, depth
            )
        return self._depths[depth]

    def __repr__(self) -> str:
        return f"<CalibratedReward {self.name!r}, {self.held} draws held>"


def check_reward(prm: object) -> None:
    """Raise TypeError where `prm` is not a reward model."""
    if not isinstance(prm, RewardModel):
        raise TypeError(f"prm must be a reward model (see motes.load_prm), not {prm!r}")
