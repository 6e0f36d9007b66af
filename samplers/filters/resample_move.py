"""Resample-move: moves that leave the target as it is make copies of one particle different."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from ... import checks
from ...aliases import PRNGKeys
from ...ppl.interfaces import Declared, Reasoning, Stepwise
from ...smc import Resampling, RunKeys, subkeys
from ..base import PopulationSampler
from ..moves import suffix_move
from .bound_filter import BoundFilter


@dataclass(frozen=True, kw_only=True)
class ResampleMove(PopulationSampler):
    """A particle filter that also moves open particles, by rewriting a part of them.

    Before step t the open particles make suffix moves (see `motes.samplers.SuffixMetropolis`) that
    leave the intermediate target gamma_t-1 on open trajectories of t - 1 steps invariant: each is
    cut at random and written anew to step t - 1, and stays as it was where that would have closed
    it. Closed ones stay as they are. This happens at steps fixed beforehand, resampled or not: to
    move particles only where their weights asked for it, or closed ones only as long as others are
    open, would bias the evidence.

    Target: the model's, whatever it declares. Guarantee: consistent as N grows; heuristic where the
    proposal misses part of the prior's support, and when cut off. Evidence: unbiased for Z. Cost of
    a step: the tokens of one step for each open living particle, and before every `every`-th one
    `moves` times half the steps so far on average; the reward model reads all new tokens of
    distinct particles. Source: Gilks and Berzuini (2001).

    Attributes:
        particles, resampling, ess_threshold, proposal, budget: as of `ParticleFilter`.
        moves: suffix moves at a time, at least 1.
        every: steps from one time to the next, at least 1.

    Raises:
        TypeError, ValueError: an attribute is not of its kind, or out of its range.

    Example:
        >>> from motes.models import FunctionReward, TableLM
        >>> from motes.ppl import StateSpaceModel
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> prm = FunctionReward(lambda x: 1.0 - x.token_ids[-1])
        >>> model = StateSpaceModel("?", lm=lm, prm=prm, max_steps=4)
        >>> posterior = ResampleMove(particles=8).run(model, seed=0)
        >>> posterior.guarantee, len(posterior.trajectories)
        ('consistent', 8)
    """

    resampling: str = "systematic"
    ess_threshold: float = 0.5
    moves: int = 1
    every: int = 1

    name = "resample_move"
    guarantee = "consistent"
    evidence = "unbiased"
    paper = "Gilks and Berzuini (2001), doi:10.1111/1467-9868.00280"
    step_cost = (
        "one step's tokens for each open living particle, and about half of all its tokens so far "
        "for each move; "
        "the reward model reads the new tokens of distinct particles"
    )

    def __post_init__(self) -> None:
        checks.settle(
            self, moves=checks.count("moves", self.moves), every=checks.count("every", self.every)
        )
        rule = Resampling(self.resampling, self.ess_threshold)
        checks.settle(self, ess_threshold=rule.ess_threshold)
        super().__post_init__()

    def feynman_kac(self, model: Declared) -> Stepwise:
        return model.stepwise(self.proposed(model))

    def resampler(self, model: Declared) -> Resampling:
        proposal = self.proposed(model)
        stepwise = model.stepwise(proposal)

        def log_weight(row: int, particle: Reasoning) -> float:
            return sum(stepwise.log_potentials(particle)) if particle.open else -inf

        def rejuvenate(t: int, keys: PRNGKeys, particles: Sequence[Reasoning]) -> list[Reasoning]:
            moved = list(particles)
            going = [i for i, particle in enumerate(moved) if particle.open]
            if (t - 1) % self.every or not going:
                return moved
            for number in range(self.moves):
                there = [moved[i] for i in going]
                after = suffix_move(
                    stepwise, proposal, subkeys(keys, number, going), there, log_weight, stop=t - 1
                ).particles
                for i, particle in zip(going, after, strict=True):
                    moved[i] = particle
            return moved

        return Resampling(self.resampling, self.ess_threshold, rejuvenate=rejuvenate)

    def bind(self, model: Declared, keys: RunKeys) -> BoundFilter:
        return BoundFilter.of(self, model, keys)
