"""Resample-move: copies of one particle are made different again by moves that leave the target as it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import index
from typing import Any

from ..ppl.statespace import Particle, StateSpaceModel
from ..ppl.stepwise import StepwiseModel
from ..smc import Resampling, subkeys
from .filtering import ResamplingFilter
from .sampler import check_count
from .suffix import suffix_move


@dataclass(frozen=True, kw_only=True)
class ResampleMove(ResamplingFilter):
    """A particle filter whose population is moved after it was resampled.

    Before step t each particle, as it stands after t - 1 steps, makes suffix moves (`motes.samplers.SuffixMetropolis`) that leave
    the intermediate target gamma_t-1 on trajectories stopped there invariant: it is cut at random and written anew to step t - 1.

    Target: the model's, whatever it declares. Guarantee: consistent as N grows; heuristic where the proposal misses part of the
    prior's support, and when cut off. Evidence: unbiased for Z. Cost of a step: the tokens of one step for each open living
    particle, and, where the population was resampled, `moves` times half the steps so far on average; the reward model reads all
    new tokens of distinct particles. Source: Gilks and Berzuini (2001).

    Attributes:
        particles, resampling, ess_threshold, proposal, budget: as of `ParticleFilter`.
        moves: suffix moves after each resampling, at least 1.

    Raises:
        TypeError, ValueError: an attribute is not of its kind, or out of its range.
    """

    moves: int = 1

    name = "resample_move"
    guarantee = "consistent"
    evidence = "unbiased"
    paper = "Gilks and Berzuini (2001), doi:10.1111/1467-9868.00280"
    step_cost = (
        "one step's tokens for each open living particle, and after resampling about half of all tokens so far for each move; "
        "the reward model reads the new tokens of distinct particles"
    )

    def __post_init__(self) -> None:
        check_count("moves", self.moves)
        super().__post_init__()

    def resampler(self, model: StateSpaceModel) -> Resampling:
        proposal = self.proposed(model)
        stepwise = StepwiseModel(model, proposal)

        def rejuvenate(t: int, keys: Any, particles: Sequence[Particle]) -> list[Particle]:
            moved = list(particles)
            for number in range(index(self.moves)):
                moved = suffix_move(
                    model, proposal, subkeys(keys, number), moved, lambda _, x: sum(stepwise.log_potentials(x)), stop=t - 1
                ).particles
            return moved

        return Resampling(self.resampling, self.ess_threshold, rejuvenate=rejuvenate)
