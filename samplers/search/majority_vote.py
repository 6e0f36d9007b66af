"""The majority vote, which everything that uses a reward model has to beat."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ... import checks
from ...ppl.interfaces import Declared
from ...ppl.posterior.posterior import Posterior
from ...ppl.statespace import StateSpaceModel
from ..base import Seed
from ..filters.importance_sampling import ImportanceSampling


@dataclass(frozen=True, kw_only=True)
class MajorityVote:
    """Independent solutions from the declared prior, each with one vote: self-consistency.

    The reward model is not asked, nor does the prior's power count; a constraint holds. What comes
    back is the posterior of a model without likelihood, whose most probable answer is the commonest
    one. Source: Wang et al. (2023), arXiv:2203.11171.

    Attributes:
        samples: N, how many vote.

    Raises:
        TypeError, ValueError: `samples` is not an integer of at least 1.

    Example:
        >>> from motes.models import FunctionReward, TableLM
        >>> from motes.ppl import StateSpaceModel
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> prm = FunctionReward(lambda x: 1.0 - x.token_ids[-1])
        >>> model = StateSpaceModel("?", lm=lm, prm=prm, max_steps=4)
        >>> posterior = MajorityVote(samples=8).run(model, seed=0)
        >>> posterior.target, len(posterior.trajectories)
        ('prior', 8)
    """

    samples: int = 16

    def __post_init__(self) -> None:
        checks.settle(self, samples=checks.count("samples", self.samples))

    def run(self, model: Declared, seed: Seed = 0, progress: bool = False) -> Posterior:
        """Draw the solutions.

        Raises:
            TypeError: the model is not a StateSpaceModel, whose prior can be had apart.
            AllParticlesDead: none of them satisfies the constraint.
        """
        if not isinstance(model, StateSpaceModel):
            raise TypeError(f"model must be a StateSpaceModel, not {model!r}")
        return ImportanceSampling(particles=self.samples).run(
            replace(model, prm=None, alpha=1.0), seed=seed, progress=progress
        )
