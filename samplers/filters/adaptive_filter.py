"""A particle filter that changes its number of particles from step to step.

A step whose weights are even needs few particles, one whose weights are uneven many. With e the
evenness of the weights that the last step has left, ESS over the number of living particles, n
particles of the next step would have an effective size of about n e. So the next step has

    n = wanted N / e      at least `least` N, at most N

of them: a *predictable* rule, which looks at what is there and at nothing that is drawn later.
Therefore the evidence stays unbiased: given the past, every offspring has the weight that its
parent's share asks for, whatever n is (Elvira, Bhadra and Ionides 2017 adapt the number online as
well, by other statistics).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np

from ... import checks
from ...ppl.interfaces import Declared, Stepwise
from ...smc import Resampling, RunKeys, ess
from ..base import PopulationSampler
from ..run_facts import Advice
from .bound_filter import BoundFilter


@dataclass(frozen=True, kw_only=True)
class AdaptiveParticleFilter(PopulationSampler):
    """Sequential Monte Carlo with as many particles as the weights ask for.

    It resamples before every step but the first, to n of N slots; the others stay empty, with
    weight zero, and cost nothing.

    Target: the model's, whatever it declares. Guarantee: consistent as N grows; heuristic where the
    proposal misses part of the prior's support, when cut off, and under a budget. Evidence:
    unbiased for Z, since n is fixed before the step that it is for. Cost of a step: the tokens of
    one step for each open living particle, N at first and n later; the reward model reads the new
    tokens of each distinct one. Source: Fox (2003) and Elvira, Bhadra and Ionides (2017) for the
    idea.

    Attributes:
        particles: N, of the first step, and the most of any.
        wanted: the effective sample size that is aimed at, as a share of N, above 0 and at most 1.
        least: the fewest particles of a step, as a share of N, above 0 and at most 1.
        resampling, proposal, budget: as of `ParticleFilter`.

    Raises:
        TypeError, ValueError: an attribute is not of its kind, or out of its range.

    Example:
        >>> from motes.models import FunctionReward, TableLM
        >>> from motes.ppl import StateSpaceModel
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> prm = FunctionReward(lambda x: 1.0 - x.token_ids[-1])
        >>> model = StateSpaceModel("?", lm=lm, prm=prm, max_steps=4)
        >>> posterior = AdaptiveParticleFilter(particles=8).run(model, seed=0)
        >>> posterior.guarantee, len(posterior.trajectories)
        ('consistent', 8)
    """

    wanted: float = 0.25
    least: float = 0.125
    resampling: str = "systematic"

    name = "adaptive_particle_filter"
    weighs_by_score = True
    gentler = (Advice("keep more particles (raise {wanted})"),)
    guarantee = "consistent"
    evidence = "unbiased"
    paper = "Fox (2003), doi:10.1177/0278364903022012001; Elvira, Bhadra and Ionides (2017)"
    step_cost = (
        "one step's tokens for each open living particle, of which there are fewer where weights "
        "are even; the reward model reads the new tokens of each distinct one"
    )

    def __post_init__(self) -> None:
        Resampling(self.resampling)
        checks.settle(
            self,
            wanted=checks.number("wanted", self.wanted, above=0, most=1),
            least=checks.number("least", self.least, above=0, most=1),
        )
        super().__post_init__()

    def feynman_kac(self, model: Declared) -> Stepwise:
        return model.stepwise(self.proposed(model))

    def resampler(self, model: Declared) -> Resampling:
        return Resampling(self.resampling, ess_threshold=1.0, living=self.living)

    def living(self, t: int, log_weights: np.ndarray) -> int:
        """Return how many particles step t is to have, by the weights before it, shape (N,)."""
        evenness = float(ess(log_weights)) / int((log_weights > -np.inf).sum())
        fewest = ceil(self.least * self.particles)
        return min(max(ceil(self.wanted * self.particles / evenness), fewest), self.particles)

    def bind(self, model: Declared, keys: RunKeys) -> BoundFilter:
        return BoundFilter.of(self, model, keys)
