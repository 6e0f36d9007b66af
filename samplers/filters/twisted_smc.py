"""Twisted SMC: particles weighed by what they promise, not only by what they have shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log
from typing import TypeAlias

from ... import checks
from ...aliases import PRNGKeys
from ...log_odds import log_sigmoids
from ...models import Trajectory
from ...ppl.interfaces import Declared, Reasoning, Stepwise
from ...ppl.statespace import StateSpaceModel
from ...ppl.stepwise import Twist
from ...smc import Resampling, RunKeys, log_mean_exp
from ..base import PopulationSampler
from .bound_filter import BoundFilter

UserTwist: TypeAlias = Callable[[Trajectory, Sequence[float]], float]
"""(open trajectory, the reward model's log-odds of its steps) -> log psi, in nats, finite."""

TWISTS = ("prm", "look_ahead")


@dataclass(frozen=True, kw_only=True)
class TwistedSMC(PopulationSampler):
    """Sequential Monte Carlo with a twist psi.

    G_t = g_t psi_t / psi_t-1, where g_t is the likelihood's increment.

    Target: the model's, whatever it declares: psi is 1 at the start and once a trajectory is
    closed, and cancels in between, so that any positive twist is right, and a good one has a
    smaller variance. Guarantee: consistent as N grows; heuristic where the proposal misses part of
    the prior's support, and when cut off. Evidence: unbiased for Z. Cost of a step: the tokens of
    one step for each open living particle, and the reward model's pass over the new tokens of each
    distinct one; with `look_ahead` that of `successors` further steps for each particle that stays
    open. Source: Whiteley and Lee (2014); Zhao et al. (2024), arXiv:2404.17546.

    Attributes:
        particles, resampling, ess_threshold, proposal, budget: as of `ParticleFilter`.
        twist: "prm", psi_t = r_t^strength: a step that was right is likely to be followed by
            others; "look_ahead", psi_t is the mean increment of `successors` steps drawn from the
            proposal, but at least `floor`; or a function (trajectory, log-odds of all its steps so
            far) -> log psi_t in nats, which must be finite wherever the likelihood is not zero, for
            example `lambda trajectory, log_odds: 0.1 * log_odds[-1]`.
        strength: of the twist "prm", at least 0.
        successors: of the twist "look_ahead", at least 1.
        floor: of both, above 0 and at most 1: a trajectory must not be given up for good by a
            guess.

    Raises:
        TypeError, ValueError: an attribute is not of its kind, or out of its range.

    Example:
        >>> from motes.models import FunctionReward, TableLM
        >>> from motes.ppl import StateSpaceModel
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> prm = FunctionReward(lambda x: 1.0 - x.token_ids[-1])
        >>> model = StateSpaceModel("?", lm=lm, prm=prm, max_steps=4)
        >>> posterior = TwistedSMC(particles=8).run(model, seed=0)
        >>> posterior.guarantee, len(posterior.trajectories)
        ('consistent', 8)
    """

    resampling: str = "systematic"
    ess_threshold: float = 0.5
    twist: str | UserTwist = "prm"
    strength: float = 1.0
    successors: int = 4
    floor: float = 1e-3

    name = "twisted_smc"
    guarantee = "consistent"
    evidence = "unbiased"
    paper = "Whiteley and Lee (2014), doi:10.1214/13-AOS1167; Zhao et al. (2024), arXiv:2404.17546"
    step_cost = (
        "one step's tokens for each open living particle; the reward model reads the new tokens "
        "of each distinct one; "
        "looking ahead, as much again for each successor"
    )

    def __post_init__(self) -> None:
        if not callable(self.twist) and self.twist not in TWISTS:
            raise ValueError(
                f"twist must be one of {', '.join(TWISTS)}, or a function, not "
                f"{checks.shown(self.twist)}"
            )
        checks.settle(
            self,
            successors=checks.count("successors", self.successors),
            strength=checks.number("strength", self.strength, least=0),
            floor=checks.number("floor", self.floor, most=1, above=0),
        )
        rule = Resampling(self.resampling, self.ess_threshold)
        checks.settle(self, ess_threshold=rule.ess_threshold)
        super().__post_init__()

    def check(self, model: Declared) -> None:
        if self.twist != "prm":
            return
        if not isinstance(model, StateSpaceModel):
            raise ValueError(
                f"the twist 'prm' needs a StateSpaceModel, not {model!r}: choose 'look_ahead' or "
                "a function"
            )
        if model.prm is None:
            raise ValueError("the twist 'prm' needs a model with a reward model")

    def feynman_kac(self, model: Declared) -> Stepwise:
        twist: Twist = self._by_user
        if self.twist == "prm":
            twist = self._by_reward
        elif self.twist == "look_ahead":
            twist = self._by_looking
        return model.stepwise(self.proposed(model), twist)

    def resampler(self, model: Declared) -> Resampling:
        return Resampling(self.resampling, self.ess_threshold)

    def bind(self, model: Declared, keys: RunKeys) -> BoundFilter:
        return BoundFilter.of(self, model, keys)

    def _by_reward(
        self, model: Declared, t: int, keys: PRNGKeys, particles: Sequence[Reasoning]
    ) -> list[float]:
        if not self.strength:
            return [0.0] * len(particles)
        return [
            max(self.strength * float(log_sigmoids(x.log_odds[-1])), log(self.floor))
            for x in particles
        ]

    def _by_looking(
        self, model: Declared, t: int, keys: PRNGKeys, particles: Sequence[Reasoning]
    ) -> list[float]:
        stepwise, k = model.stepwise(self.proposed(model)), self.successors
        drawn = stepwise.successors(self.proposed(model), keys, particles, k, range(len(particles)))
        means = [
            float(log_mean_exp(stepwise.log_potential(t + 1, [x.twisted(0.0)] * k, after)))
            for x, after in zip(particles, drawn, strict=True)
        ]
        return [max(mean, log(self.floor)) for mean in means]

    def _by_user(
        self, model: Declared, t: int, keys: PRNGKeys, particles: Sequence[Reasoning]
    ) -> list[float]:
        assert callable(self.twist)
        values = [self.twist(x.trajectory, x.log_odds) for x in particles]
        if wrong := [
            value for value in values if isinstance(value, str) or not hasattr(value, "__float__")
        ]:
            raise TypeError(
                f"twist must map a trajectory and its log-odds to a number, not to {wrong[0]!r}"
            )
        return [float(value) for value in values]
