"""Parallel tempering: replicas of a chain at powers between prior and target change places."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ... import checks
from ...models.randomness import SlotUniforms
from ...ppl.interfaces import Declared, Reasoning, Stepwise
from ...smc import Resampling, RunKeys, subkeys
from ...smc.conditional_smc import check_conditional
from ..moves import suffix_move
from ..run_facts import Advice
from .chain_sampler import BoundChains, Chains, ChainSampler, Started, Swept
from .reasoning_gibbs import gibbs_moves
from .swaps import Swaps, Travels, swap_neighbours, swap_rates, swap_tallies

KERNELS = ("suffix", "gibbs")


@dataclass(frozen=True, kw_only=True)
class ParallelTempering(ChainSampler):
    """Chains of K replicas at powers beta_1 = 1 > .

    > beta_K >= 0 of the way from the prior to the target.

    Replica k follows p^(1 + beta_k (alpha - 1)) L^beta_k. In every iteration each is moved by
    suffix moves (at beta = 0 it is drawn anew as a whole), or by a sweep of particle Gibbs; then
    neighbours swap, even pairs and odd pairs in turn, with probability min(1, (L(x_i) /
    L(x_j))^(beta_j - beta_i)). The draws are those at beta = 1.

    Target: the model's, whatever it declares. Guarantee: invariant; heuristic where the proposal
    misses part of the prior's support. Evidence: none. Cost of a step (an iteration): K suffix
    moves (or K filters of N - 1 particles) for each chain, all in one batch; the reward model reads
    them; swaps cost nothing. Source: Geyer (1991); Syed, Bouchard-Côté, Deligiannidis and Doucet
    (2022).

    Attributes:
        iterations, warmup, chains, starts, tries: as of every chain: see
            `motes.samplers.ChainSampler`.
        betas: the powers, falling from 1, at least two of them.
        kernel: "suffix" or "gibbs".
        moves: of the kernel in an iteration, at least 1.
        particles, resampling, ess_threshold: of the kernel "gibbs"; see `ParticleGibbs`.
        proposal: what steps are drawn from; the model's prior when None.
        budget: generated tokens after which no iteration is begun; None for no limit.

    Raises:
        TypeError, ValueError: an attribute is not of its kind, or out of its range.

    Example:
        >>> from motes.models import FunctionReward, TableLM
        >>> from motes.ppl import StateSpaceModel
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> prm = FunctionReward(lambda x: 1.0 - x.token_ids[-1])
        >>> model = StateSpaceModel("?", lm=lm, prm=prm, max_steps=4)
        >>> posterior = ParallelTempering(chains=2, iterations=4).run(model, seed=0)
        >>> posterior.guarantee, len(posterior.trajectories)
        ('invariant', 8)
    """

    betas: Sequence[float] = (1.0, 0.6, 0.3, 0.0)
    kernel: str = "suffix"
    moves: int = 1
    particles: int = 8
    resampling: str = "systematic"
    ess_threshold: float = 0.5

    name = "parallel_tempering"
    livelier = (
        Advice("raise {moves}"),
        Advice("put powers closer together (betas)"),
    )
    guarantee = "invariant"
    evidence = "none"
    paper = (
        "Geyer (1991); Syed, Bouchard-Côté, Deligiannidis and Doucet (2022), doi:10.1111/rssb.12464"
    )
    step_cost = (
        "for each of K replicas of each chain a remainder, about half a trajectory's tokens (or a "
        "particle filter of N - 1 particles); "
        "the reward model reads them"
    )

    @property
    def suffix_moves(self) -> bool:
        return self.kernel == "suffix"

    def __post_init__(self) -> None:
        checks.settle(
            self,
            betas=checks.ladder("betas", self.betas, first=1, last=None),
            kernel=checks.choice("kernel", self.kernel, KERNELS),
            moves=checks.count("moves", self.moves),
            particles=checks.count("particles", self.particles, least=2),
            ess_threshold=self.rule.ess_threshold,
        )
        check_conditional(self.particles, self.rule)
        super().__post_init__()

    @property
    def least_tokens(self) -> int:
        return self.chains * len(self.betas)

    @property
    def rule(self) -> Resampling:
        """When its filters resample, and how."""
        return Resampling(self.resampling, self.ess_threshold)

    def bind(self, model: Declared, keys: RunKeys) -> BoundTempered:
        proposed = self.proposed(model)
        models = tuple(model.tempered(beta) for beta in self.betas)
        stepwise = tuple(tempered.stepwise(proposed) for tempered in models)
        return BoundTempered(self, model, keys, proposed, models, stepwise)


@dataclass(frozen=True, eq=False)
class BoundTempered(BoundChains):
    """Replicas of chains between the prior and a declared posterior.

    Attributes:
        models: the declared posterior at each power.
        stepwise: each of them, step by step.
    """

    models: Sequence[Declared]
    stepwise: Sequence[Stepwise]

    def begin(self) -> Started:
        return self.started(picks=len(self.sampler.betas))

    def sweep(self, keys: RunKeys, state: Chains) -> Swept:
        models, moves = self.models, self.sampler.moves
        count = len(models)
        particles = list(state.current)
        accepted = np.zeros(len(particles))
        for number in range(moves):
            particles, moved = self._moved(keys, number, particles)
            accepted += moved
        swaps = self._swapped(keys, state, particles)
        travels = state.memory or Travels.at_home(self.sampler.chains, count)
        travels, trips = travels.followed(swaps.places)
        acceptance = accepted.reshape(-1, count).mean(axis=0) / moves
        return Swept(swaps.particles, swap_tallies(acceptance, swaps, trips), travels)

    def rates(self, tallies: Mapping[str, np.ndarray], iterations: int) -> dict[str, Any]:
        return swap_rates(tallies, iterations)

    def _moved(
        self, keys: RunKeys, number: int, particles: list[Reasoning]
    ) -> tuple[list[Reasoning], np.ndarray]:
        """Move every replica at its own power, and say which of them are new."""
        models, stepwise = self.models, self.stepwise
        proposal, sampler = self.proposed, self.sampler
        count = len(models)
        if sampler.kernel == "gibbs":
            own = [
                replace(keys, chain=row * sampler.moves + number) for row in range(len(particles))
            ]
            of_rows = [models[row % count] for row in range(len(particles))]
            swept = gibbs_moves(
                of_rows, proposal, own, particles, sampler.particles, sampler.rule, "reference"
            )
            return [particle for particle, _ in swept], np.array(
                [moved.any() for _, moved in swept], np.float64
            )
        anew = np.array([sampler.betas[row % count] == 0 for row in range(len(particles))])
        moved = suffix_move(
            stepwise[0],
            proposal,
            keys.moves(number, len(particles), range(len(particles))),
            particles,
            lambda row, x: sum(stepwise[row % count].log_potentials(x)),
            anew=anew,
        )
        return moved.particles, moved.accepted.astype(np.float64)

    def _swapped(self, keys: RunKeys, state: Chains, particles: list[Reasoning]) -> Swaps:
        """Let even pairs of neighbours swap, or odd ones, in turn."""
        rows, count = len(particles), len(self.models)
        uniforms = SlotUniforms(
            subkeys(keys.moves(self.sampler.moves, rows, range(rows)), 0), rows
        ).at(0)
        return swap_neighbours(
            self.models, particles, uniforms, pairs=range(state.iteration % 2, count - 1, 2)
        )
