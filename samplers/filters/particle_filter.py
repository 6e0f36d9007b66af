"""The particle filter: reasoning paths that compete while they are written.

N particles start at the question. At every step each open particle writes one more step, is weighed
by the target's increment, and when the weights have become uneven (ESS < kappa N) the population is
resampled, so that promising paths are continued several times and others dropped (Gordon, Salmond
and Smith 1993; for language models under process reward models, Puri et al. 2025, without the three
biases of their procedure: here a finished trajectory is weighed once, weights are spent once, and
what is sampled is the declared target).
"""

from __future__ import annotations

from dataclasses import dataclass

from ... import checks
from ...ppl.interfaces import Declared, Stepwise
from ...smc import Resampling, RunKeys
from ..base import PopulationSampler
from .bound_filter import BoundFilter


@dataclass(frozen=True, kw_only=True)
class ParticleFilter(PopulationSampler):
    """Sequential Monte Carlo over reasoning steps.

    Target: the model's, whatever it declares. Guarantee: consistent as N grows; heuristic where the
    proposal misses part of the prior's support, when cut off by an interrupt, and under a budget.
    Evidence: unbiased for Z, adaptive resampling included (so its log is biased down by about half
    the variance of the log); none where heuristic, though `log_evidence` then still estimates the
    mass inside the proposal's support. Cost of a step: the tokens of one step for each open living
    particle, and the reward model's pass over the new tokens of each distinct one. At N = 1, or at
    kappa = 0, it is sequential importance sampling. Source: Gordon, Salmond and Smith (1993); Puri
    et al. (2025), arXiv:2502.01618.

    Attributes:
        particles: N, at least 1.
        resampling: one of `motes.smc.SCHEMES`, or "chopthin".
        ess_threshold: kappa in [0, 1]: resample when ESS < kappa N; at 0 never, at 1 before every
            step but the first.
        proposal: what steps are drawn from; the model's prior when None.
        budget: generated tokens after which no step is begun: particles still open are then under
            no answer. A result under a budget is heuristic, cut off or not: which runs it spares
            depends on what they have written. None for no limit.

    Raises:
        TypeError, ValueError: an attribute is not of its kind, or out of its range.

    Example:
        >>> from motes.models import FunctionReward, TableLM
        >>> from motes.ppl import StateSpaceModel
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> prm = FunctionReward(lambda x: 1.0 - x.token_ids[-1])
        >>> model = StateSpaceModel("?", lm=lm, prm=prm, max_steps=4)
        >>> posterior = ParticleFilter(particles=8).run(model, seed=0)
        >>> posterior.guarantee, len(posterior.trajectories)
        ('consistent', 8)
    """

    resampling: str = "systematic"
    ess_threshold: float = 0.5

    name = "particle_filter"
    weighs_by_score = True
    guarantee = "consistent"
    evidence = "unbiased"
    paper = "Gordon, Salmond and Smith (1993); Puri et al. (2025), arXiv:2502.01618"
    step_cost = (
        "one step's tokens for each open living particle; the reward model reads the new tokens "
        "of each distinct one"
    )

    def __post_init__(self) -> None:
        rule = Resampling(self.resampling, self.ess_threshold)
        checks.settle(self, ess_threshold=rule.ess_threshold)
        super().__post_init__()

    def feynman_kac(self, model: Declared) -> Stepwise:
        return model.stepwise(self.proposed(model))

    def resampler(self, model: Declared) -> Resampling:
        return Resampling(self.resampling, self.ess_threshold)

    def bind(self, model: Declared, keys: RunKeys) -> BoundFilter:
        return BoundFilter.of(self, model, keys)
