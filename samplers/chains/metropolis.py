"""Metropolis chains of whole trajectories, by suffix moves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ... import checks
from ...models.mixture import Law
from ...ppl.interfaces import Declared, Reasoning, Stepwise
from ...smc import RunKeys
from ..filters.power_smc import sharpened
from ..moves import suffix_move
from .chain_sampler import BoundChains, Chains, ChainSampler, Swept

REMAINDERS = (
    "for each move of each chain a remainder, about half a trajectory's tokens; the reward model "
    "reads it"
)


@dataclass(frozen=True, kw_only=True)
class SuffixMetropolis(ChainSampler):
    """Chains that cut a trajectory at random, write its remainder anew, and accept it or not.

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

    Example:
        >>> from motes.models import FunctionReward, TableLM
        >>> from motes.ppl import StateSpaceModel
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> prm = FunctionReward(lambda x: 1.0 - x.token_ids[-1])
        >>> model = StateSpaceModel("?", lm=lm, prm=prm, max_steps=4)
        >>> posterior = SuffixMetropolis(chains=2, iterations=4).run(model, seed=0)
        >>> posterior.guarantee, len(posterior.trajectories)
        ('invariant', 8)
    """

    moves: int = 1

    name = "suffix_metropolis"
    guarantee = "invariant"
    evidence = "none"
    paper = (
        "Hastings (1970), doi:10.1093/biomet/57.1.97; the move: Karan and Du (2025), "
        "arXiv:2510.14901"
    )
    step_cost = REMAINDERS

    @property
    def suffix_moves(self) -> bool:
        return True

    def __post_init__(self) -> None:
        checks.settle(self, moves=checks.count("moves", self.moves))
        super().__post_init__()

    def bind(self, model: Declared, keys: RunKeys) -> BoundMetropolis:
        proposed = self.proposed(model)
        return BoundMetropolis(self, model, keys, proposed, model.stepwise(proposed))


@dataclass(frozen=True, eq=False)
class BoundMetropolis(BoundChains):
    """Metropolis chains of a declared posterior.

    Attributes:
        stepwise: the model, step by step.
    """

    stepwise: Stepwise

    def sweep(self, keys: RunKeys, state: Chains) -> Swept:
        particles, chains, moves = list(state.current), self.sampler.chains, self.sampler.moves
        accepted = np.zeros(chains)
        for number in range(moves):
            keys_of_chains = keys.moves(number, chains, range(chains))
            moved = suffix_move(
                self.stepwise, self.proposed, keys_of_chains, particles, self._log_weight
            )
            particles, accepted = moved.particles, accepted + moved.accepted
        return Swept(particles, {"acceptance": accepted / moves})

    def rates(self, tallies: Mapping[str, np.ndarray], iterations: int) -> dict[str, Any]:
        return {"acceptance": (tallies["acceptance"] / iterations).tolist()}

    def _log_weight(self, row: int, particle: Reasoning) -> float:
        return sum(self.stepwise.log_potentials(particle))


@dataclass(frozen=True, kw_only=True)
class PowerMetropolis(ChainSampler):
    """Suffix Metropolis for power targets, p(x)^alpha L(x)^beta.

    Remainders are drawn at a low temperature.

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

    Example:
        >>> from motes.models import FunctionReward, TableLM
        >>> from motes.ppl import StateSpaceModel
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> prm = FunctionReward(lambda x: 1.0 - x.token_ids[-1])
        >>> model = StateSpaceModel("?", lm=lm, prm=prm, max_steps=4)
        >>> posterior = PowerMetropolis(chains=2, iterations=4).run(model, seed=0)
        >>> posterior.guarantee, len(posterior.trajectories)
        ('invariant', 8)
    """

    moves: int = 1

    name = "power_metropolis"
    guarantee = "invariant"
    evidence = "none"
    paper = "Karan and Du (2025), arXiv:2510.14901"
    step_cost = REMAINDERS

    def __post_init__(self) -> None:
        checks.settle(self, moves=checks.count("moves", self.moves))
        super().__post_init__()

    def bind(self, model: Declared, keys: RunKeys) -> BoundMetropolis:
        proposed = self.proposed(model)
        return BoundMetropolis(self, model, keys, proposed, model.stepwise(proposed))

    def proposed(self, model: Declared) -> Law | None:
        return self.proposal or sharpened(model.prior, model.alpha)
