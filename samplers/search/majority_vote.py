"""The majority vote, which everything that uses a reward model has to beat."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ... import checks
from ...ppl.interfaces import Declared
from ...ppl.posterior.posterior import Posterior
from ...ppl.statespace import StateSpaceModel
from ..base import Seed
from ..filters.importance_sampling import ImportanceSampling
from ..stopping.stopping_rule import StoppingRule
from ..stopping.stopping_rules import stopping_rule


@dataclass(frozen=True, kw_only=True)
class MajorityVote:
    """Independent solutions from the declared prior, each with one vote: self-consistency.

    The reward model is not asked, nor does the prior's power count; a constraint holds. What comes
    back is the posterior of a model without likelihood, whose most probable answer is the commonest
    one. Source: Wang et al. (2023), arXiv:2203.11171.

    Attributes:
        samples: N, how many vote; with a stopping rule the most that do.
        stop, batch: when to stop before, and how many are drawn at a time; see
            `ImportanceSampling`. None to draw all N.

    Raises:
        TypeError, ValueError: an attribute is not of its kind, or out of its range.

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
    stop: StoppingRule | str | Mapping[str, Any] | None = field(
        default=None, metadata={"later": True}
    )
    batch: int = field(default=4, metadata={"later": True})

    def __post_init__(self) -> None:
        checks.settle(
            self,
            samples=checks.count("samples", self.samples),
            batch=checks.count("batch", self.batch),
            stop=None if self.stop is None else stopping_rule(self.stop),
        )

    def run(self, model: Declared, seed: Seed = 0, progress: bool = False) -> Posterior:
        """Draw the solutions.

        Raises:
            TypeError: the model is not a StateSpaceModel, whose prior can be had apart.
            AllParticlesDead: none of them satisfies the constraint.
        """
        sampler, plain = self.votes(model)
        return sampler.run(plain, seed=seed, progress=progress)

    def votes(self, model: Declared) -> tuple[ImportanceSampling, StateSpaceModel]:
        """Return the sampler that draws the solutions, and what it samples.

        Raises:
            TypeError: the model is not a StateSpaceModel.
        """
        if not isinstance(model, StateSpaceModel):
            raise TypeError(f"model must be a StateSpaceModel, not {model!r}")
        votes = ImportanceSampling(particles=self.samples, stop=self.stop, batch=self.batch)
        return votes, replace(model, prm=None, alpha=1.0)
