"""Power sampling by sequential Monte Carlo.

The target p(x)^alpha, alone or times a likelihood, with tokens drawn nearly from it.

Tokens are proposed at temperature 1 / alpha, q(v | prefix) = p(v | prefix)^alpha / sum_v' p(v' |
prefix)^alpha, so that a token's increment p^alpha / q is that sum, whatever the token was: only how
much sharpening costs here, not luck, enters the weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ... import checks
from ...aliases import PRNGKeys
from ...models import Sampling
from ...models.mixture import Law
from ...ppl.interfaces import Declared, Reasoning, Stepwise
from ...smc import Resampling, RunKeys
from ..base import PopulationSampler
from .bound_filter import BoundFilter


@dataclass(frozen=True, kw_only=True)
class PowerSMC(PopulationSampler):
    """Sequential Monte Carlo for power targets, p(x)^alpha L(x)^beta.

    Target: the model's, whose `alpha` is the power (`motes.solve(..., alpha=4.0)`). Guarantee:
    consistent as N grows; heuristic where a proposal of your own misses part of the prior's
    support, and when cut off. Evidence: unbiased for Z. Cost of a step: the tokens of one step for
    each open living particle, and the reward model's pass over the new tokens of each distinct one.
    Source: Azizi et al. (2026), arXiv:2602.10273; the target is Karan and Du's (2025),
    arXiv:2510.14901.

    With `ramp`, the exponent rises from 1 to alpha over the first steps, alpha_t, and steps are
    drawn at temperature 1 / alpha_t: the population is kept wide at first. An increment is then
    p(x_t)^alpha_t / q(x_t) p(x_1:t-1)^(alpha_t - alpha_t-1), and a trajectory that ends early
    receives p^(alpha - alpha_t) there: the final target is the same.

    Attributes:
        particles, resampling, ess_threshold, budget: as of `ParticleFilter`.
        ramp: steps over which the exponent rises; 1 for none of that.
        proposal: what steps are drawn from; at temperature 1 / alpha_t (times the prior's) when
            None.

    Raises:
        TypeError, ValueError: an attribute is not of its kind, or out of its range.

    Example:
        >>> from motes.models import FunctionReward, TableLM
        >>> from motes.ppl import StateSpaceModel
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> prm = FunctionReward(lambda x: 1.0 - x.token_ids[-1])
        >>> model = StateSpaceModel("?", lm=lm, prm=prm, max_steps=4)
        >>> posterior = PowerSMC(particles=8).run(model, seed=0)
        >>> posterior.guarantee, len(posterior.trajectories)
        ('consistent', 8)
    """

    resampling: str = "systematic"
    ess_threshold: float = 0.5
    ramp: int = 1

    name = "power_smc"
    guarantee = "consistent"
    evidence = "unbiased"
    paper = (
        "Azizi et al. (2026), arXiv:2602.10273; the target: Karan and Du (2025), arXiv:2510.14901"
    )
    step_cost = (
        "one step's tokens for each open living particle; the reward model reads the new tokens "
        "of each distinct one"
    )

    def __post_init__(self) -> None:
        checks.settle(self, ramp=checks.count("ramp", self.ramp))
        rule = Resampling(self.resampling, self.ess_threshold)
        checks.settle(self, ess_threshold=rule.ess_threshold)
        super().__post_init__()

    def feynman_kac(self, model: Declared) -> Stepwise:
        if self.ramp == 1 or model.alpha == 1:
            return model.stepwise(self.proposed(model))

        def proposal(t: int) -> Law | None:
            return self.proposal or sharpened(model.prior, self.exponent(model, t))

        def twist(
            model: Declared, t: int, keys: PRNGKeys, particles: Sequence[Reasoning]
        ) -> list[float]:
            missing = self.exponent(model, t) - model.alpha
            if not missing:  # and 0 * -inf would be NaN
                return [0.0] * len(particles)
            return [missing * x.trajectory.logprob for x in particles]

        return model.stepwise(proposal, twist)

    def resampler(self, model: Declared) -> Resampling:
        return Resampling(self.resampling, self.ess_threshold)

    def bind(self, model: Declared, keys: RunKeys) -> BoundFilter:
        return BoundFilter.of(self, model, keys)

    def proposed(self, model: Declared) -> Law | None:
        return self.proposal or sharpened(model.prior, model.alpha)

    def proposals(self, model: Declared) -> Sequence[Law | None]:
        return [
            self.proposal or sharpened(model.prior, self.exponent(model, t))
            for t in range(1, self.ramp + 1)
        ]

    def exponent(self, model: Declared, t: int) -> float:
        """Return alpha_t, for t >= 1."""
        return model.alpha if t >= self.ramp else 1 + (model.alpha - 1) * t / self.ramp


def sharpened(prior: Sampling | None, alpha: float) -> Sampling | None:
    """Make a proposal in proportion to p^alpha as far as temperature goes.

    The prior's support, and more where top-p cuts that.
    """
    if prior is None or alpha == 1:
        return prior
    return replace(prior, temperature=prior.temperature / alpha, top_p=1.0)
