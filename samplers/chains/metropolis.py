"""Metropolis chains of whole trajectories, by suffix moves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ... import checks
from ...models import Sampling
from ...ppl.interfaces import Declared
from ...smc import RunKeys
from ..filters.power_smc import sharpened
from ..moves import suffix_move
from .chain_sampler import Chains, ChainSampler, Swept


@dataclass(frozen=True, kw_only=True)
class SuffixMetropolis(ChainSampler):
    """Chains that cut a trajectory at random, write its remainder anew, and accept it by Metropolis and Hastings.

    Target: the model's, whatever it declares. Guarantee: invariant; heuristic where the proposal
    misses part of the prior's support. Evidence: none. Cost of a step (an iteration): `moves`
    remainders for each chain, about half a trajectory's tokens each, all chains in one batch; the
    reward model reads them. Source: Metropolis et al. (1953), Hastings (1970); the move is that of
    Karan and Du (2025), arXiv:2510.14901, with the correction for lengths that their code lacks.

    Attributes:
        iterations, warmup, chains, starts, tries: as of every chain: see
            `motes.samplers.ChainSampler`.
        moves: between two draws that are kept, at least 1.
        proposal: what remainders are drawn from; the model's prior when None.
        budget: generated tokens after which no iteration is begun; None for no limit.

    Raises:
        TypeError, ValueError: an attribute is not of its kind, or out of its range.
    """

    moves: int = 1

    name = "suffix_metropolis"
    guarantee = "invariant"
    evidence = "none"
    paper = (
        "Hastings (1970), doi:10.1093/biomet/57.1.97; the move: Karan and Du (2025), "
        "arXiv:2510.14901"
    )
    step_cost = (
        "for each move of each chain a remainder, about half a trajectory's tokens; the reward "
        "model reads it"
    )

    @property
    def suffix_moves(self) -> bool:
        return True

    def __post_init__(self) -> None:
        checks.settle(self, moves=checks.count("moves", self.moves))
        super().__post_init__()

    def sweep(self, model: Declared, keys: RunKeys, state: Chains) -> Swept:
        q, particles, chains = self.proposed(model), list(state.current), self.chains
        stepwise, accepted = model.stepwise(q), np.zeros(chains)
        for number in range(self.moves):
            keys_of_chains = keys.moves(number, chains, range(chains))
            moved = suffix_move(
                model, q, keys_of_chains, particles, lambda _, x: sum(stepwise.log_potentials(x))
            )
            particles, accepted = moved.particles, accepted + moved.accepted
        return Swept(particles, {"acceptance": accepted / self.moves})

    def rates(self, tallies: Mapping[str, np.ndarray], iterations: int) -> dict[str, Any]:
        return {"acceptance": (tallies["acceptance"] / iterations).tolist()}


@dataclass(frozen=True, kw_only=True)
class PowerMetropolis(SuffixMetropolis):
    """Suffix Metropolis for power targets, p(x)^alpha L(x)^beta, with remainders drawn at a low temperature.

    Target: the model's, whose `alpha` is the power (`motes.solve(..., alpha=4.0)`). Guarantee:
    invariant; heuristic where the proposal misses part of the prior's support. Evidence: none. Cost
    of a step (an iteration): as of `SuffixMetropolis`. Source: Karan and Du (2025),
    arXiv:2510.14901, with the correction for lengths that their code lacks.

    Attributes:
        iterations, warmup, chains, starts, tries, moves, budget: as of `SuffixMetropolis`.
        proposal: what remainders are drawn from; at temperature 1 / alpha (times the prior's) when
            None.

    Raises:
        TypeError, ValueError: an attribute is not of its kind, or out of its range.
    """

    name = "power_metropolis"
    paper = "Karan and Du (2025), arXiv:2510.14901"

    @property
    def suffix_moves(self) -> bool:
        return False  # remainders are drawn from a sharpened prior

    def proposed(self, model: Declared) -> Sampling | None:
        return self.proposal or sharpened(model.prior, model.alpha)
