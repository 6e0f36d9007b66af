"""Steps drawn by rejection: a particle writes a step again until one is accepted.

A step s ~ q has the weight w(s) = p(s) G(s) / q(s). It is accepted with probability min(1, w / c),
c > 0 being a threshold, and trials go on until k >= 2 are accepted or n were made. The first that
was accepted is kept. With T trials and A accepted, the particle's increment is

    c max(1, w / c) times  (k - 1) / (T - 1)  where k were accepted,  A / n  where they were not

The last factor is the unbiased estimate of the probability to accept under this rule for stopping
(Haldane 1945; Girshick, Mosteller and Savage 1946), and it is independent of the step that is kept,
which has the density q min(1, w / c) up to a constant. So the increment times that density is p G
on average, whatever c is. Where w <= c always, the step has the law p G exactly, as in SMC-RS
(Golowich et al. 2026, arXiv:2603.07887); where it is not, what exceeds c stays in the weight
(rejection control: Liu, Chen and Wong 1998).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, log
from typing import NamedTuple

import numpy as np

from ... import checks
from ...aliases import PRNGKeys
from ...models.mixture import Law
from ...models.randomness import SlotUniforms
from ...ppl.interfaces import Declared, Reasoning, Stepwise
from ...smc import Resampling, RunKeys, subkeys
from ..base import PopulationSampler
from ..run_facts import Advice
from .bound_filter import BoundFilter


@dataclass(frozen=True, kw_only=True)
class RejectionSMC(PopulationSampler):
    """Sequential Monte Carlo whose steps are drawn again until they are accepted.

    An ordinary filter draws one step for each particle, and kills by resampling what turned out
    badly: its particles interfere. Here a bad step is drawn anew, by the particle alone.

    Target: the model's, whatever it declares. Guarantee: consistent as N grows; heuristic where the
    proposal misses part of the prior's support, when cut off, and under a budget. Evidence:
    unbiased for Z, whatever `trials` and `threshold` are. Cost of a step: for each open living
    particle `acceptances` / P(accept) steps, at most `trials`; the reward model reads them all.
    Source: Golowich et al. (2026), arXiv:2603.07887 (SMC-RS); Liu, Chen and Wong (1998) where there
    is no bound; Girshick, Mosteller and Savage (1946) for the estimate.

    Attributes:
        particles, resampling, ess_threshold, proposal, budget: as of `ParticleFilter`.
        acceptances: k, at least 2: with more the increments vary less.
        trials: n, at least k: a particle without any accepted step by then is dead.
        threshold: c. At 1 a bound for the target `product`, whose increments are probabilities.

    Raises:
        TypeError, ValueError: an attribute is not of its kind, or out of its range.

    Example:
        >>> from motes.models import FunctionReward, TableLM
        >>> from motes.ppl import StateSpaceModel
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> prm = FunctionReward(lambda x: 1.0 - x.token_ids[-1])
        >>> model = StateSpaceModel("?", lm=lm, prm=prm, max_steps=4)
        >>> posterior = RejectionSMC(particles=8).run(model, seed=0)
        >>> posterior.guarantee, len(posterior.trajectories)
        ('consistent', 8)
    """

    resampling: str = "systematic"
    ess_threshold: float = 0.5
    acceptances: int = 2
    trials: int = 16
    threshold: float = 1.0

    name = "rejection_smc"
    guarantee = "consistent"
    evidence = "unbiased"
    gentler = (Advice("wait for more accepted steps (raise {acceptances} and {trials})"),)
    paper = (
        "Golowich et al. (2026), arXiv:2603.07887; Liu, Chen and Wong (1998), "
        "doi:10.1080/01621459.1998.10473764"
    )
    step_cost = (
        "for each open living particle as many steps as it takes until some are accepted; the "
        "reward model reads the new tokens of all"
    )

    def __post_init__(self) -> None:
        rule = Resampling(self.resampling, self.ess_threshold)
        trials = checks.count("trials", self.trials, least=2)
        checks.settle(
            self,
            ess_threshold=rule.ess_threshold,
            acceptances=checks.count("acceptances", self.acceptances, least=2, most=trials),
            trials=trials,
            threshold=checks.number("threshold", self.threshold, above=0),
        )
        super().__post_init__()

    @property
    def least_tokens(self) -> int:
        return self.particles * self.acceptances

    def feynman_kac(self, model: Declared) -> Rejection:
        return Rejection(
            model.stepwise(self.proposed(model)),
            self.proposed(model),
            self.acceptances,
            self.trials,
            log(self.threshold),
        )

    def resampler(self, model: Declared) -> Resampling:
        return Resampling(self.resampling, self.ess_threshold)

    def bind(self, model: Declared, keys: RunKeys) -> BoundRejection:
        return BoundRejection.of(self, model, keys)


class BoundRejection(BoundFilter):
    """A filter by rejection of a declared posterior."""

    def held(self, particle: Accepted) -> Reasoning:
        return particle.particle


class Accepted(NamedTuple):
    """A particle and what its last step weighs.

    Attributes:
        particle: where it is.
        log_increment: in nats; minus infinity where no step was accepted.
    """

    particle: Reasoning
    log_increment: float = 0.0


class Trials:
    """What a particle has tried of one step.

    Attributes:
        made: trials so far.
        accepted: how many of them were accepted.
        kept: the first of those with what it exceeds the threshold by, in nats; before there is
            one, the last that was refused.
    """

    def __init__(self, wanted: int, most: int) -> None:
        self.wanted, self.most = wanted, most
        self.made = self.accepted = 0
        self.kept: tuple[Reasoning, float] | None = None

    @property
    def over(self) -> bool:
        """Whether no further trial is to be made."""
        return self.accepted == self.wanted or self.made == self.most

    def add(self, particle: Reasoning, log_ratio: float, uniform: float) -> None:
        """Try one more step, of log w / c, unless trials are over."""
        if self.over:
            return
        self.made += 1
        first = self.accepted == 0
        if uniform < np.exp(min(log_ratio, 0.0)):
            self.accepted += 1
        if first:
            self.kept = particle, max(log_ratio, 0.0)

    def result(self, log_threshold: float) -> Accepted:
        """Return the step that is kept, with its weight."""
        assert self.kept is not None
        particle, log_excess = self.kept
        if self.accepted == 0:
            return Accepted(particle, -inf)
        if self.accepted == self.wanted:
            chance = (self.wanted - 1) / (self.made - 1)
        else:
            chance = self.accepted / self.made
        return Accepted(particle, log(chance) + log_threshold + log_excess)


@dataclass(frozen=True, eq=False)
class Rejection:
    """A declared posterior as a Feynman-Kac model whose steps are drawn by rejection.

    Attributes:
        stepwise: the declared posterior, step by step.
        proposal: what steps are drawn from.
        acceptances: k.
        trials: n.
        log_threshold: log c.
    """

    stepwise: Stepwise
    proposal: Law | None
    acceptances: int
    trials: int
    log_threshold: float

    def initial(self, keys: PRNGKeys, slots: int) -> list[Accepted]:
        return [Accepted(particle) for particle in self.stepwise.initial(keys, slots)]

    def open(self, particle: Accepted) -> bool:
        return particle.particle.open

    def move(self, t: int, keys: PRNGKeys, particles: Sequence[Accepted]) -> list[Accepted]:
        before = [particle.particle for particle in particles]
        tried = [Trials(self.acceptances, self.trials) for _ in before]
        made, block = 0, self.acceptances  # so many are needed in any case: they are one batch
        while made < self.trials:
            going = [i for i, each in enumerate(tried) if not each.over]
            if not going:
                break
            drawn = self.stepwise.successors(self.proposal, keys, before, block, going, part=made)
            for j in range(block):
                own = subkeys(keys, self.trials + made + j, going)
                uniforms = SlotUniforms(own, len(going)).at(0)
                after = [steps[j] for steps in drawn]
                log_weights = self.stepwise.log_potential(t, [before[i] for i in going], after)
                rows = zip(going, after, log_weights.tolist(), uniforms, strict=True)
                for i, particle, log_weight, uniform in rows:
                    tried[i].add(particle, log_weight - self.log_threshold, float(uniform))
            made, block = made + block, 1
        return [each.result(self.log_threshold) for each in tried]

    def log_potential(
        self, t: int, before: Sequence[Accepted], after: Sequence[Accepted]
    ) -> np.ndarray:
        return np.array([particle.log_increment for particle in after], np.float64)
