"""Reasoning Gibbs: a chain of trajectories by particle filters that keep the one before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from ... import checks
from ...models import capabilities
from ...models.mixture import Law
from ...ppl.interfaces import Declared, Reasoning
from ...ppl.statespace import StateSpaceModel
from ...smc import Resampling, RunKeys
from ...smc.arrays import objects
from ...smc.conditional_smc import check_conditional
from ...smc.particle_gibbs import sweep
from ..run_facts import Advice
from .chain_sampler import BoundChains, Chains, ChainSampler, Swept, in_batch, summed


@dataclass(frozen=True, kw_only=True)
class ParticleGibbs(ChainSampler):
    """Chains whose iteration is a particle filter in which the present trajectory survives.

    References have random lengths: a closed one stays in its slot until the others are closed. With
    ancestor sampling the reference's first steps are renewed too, though its remainder stays: the
    remainder is scored behind every other particle's steps.

    Target: the model's, whatever it declares. Guarantee: invariant, at every N >= 2; heuristic
    where the proposal misses part of the prior's support. Evidence: none. Cost of a step (an
    iteration): that of a particle filter of N - 1 particles for each chain, all chains in one
    batch; ancestor sampling scores the reference's remaining tokens behind each other open
    particle, by both models, at every resampling. Source: Andrieu, Doucet and Holenstein (2010);
    ancestor sampling: Lindsten, Jordan and Schon (2014).

    Attributes:
        iterations, warmup, chains, starts, tries: as of every chain: see
            `motes.samplers.ChainSampler`.
        particles: N, at least 2, the reference among them.
        resampling: one of `motes.smc.CONDITIONAL`.
        ess_threshold: kappa in [0, 1]: resample when ESS < kappa N.
        ancestor_sampling: whether the reference's past is drawn anew; the language model must have
            a method `logprob`.
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
        >>> posterior = ParticleGibbs(particles=4, chains=2, iterations=4).run(model, seed=0)
        >>> posterior.guarantee, len(posterior.trajectories)
        ('invariant', 8)
    """

    particles: int = 8
    resampling: str = "systematic"
    ess_threshold: float = 0.5
    ancestor_sampling: bool = False

    name = "particle_gibbs"
    livelier = (
        Advice("raise {particles}"),
        Advice(
            "set ancestor_sampling=True if the language model can score a text",
            unless="ancestor_sampling",
        ),
        Advice("temper (sampler='parallel_tempering')"),
    )
    guarantee = "invariant"
    evidence = "none"
    paper = (
        "Andrieu, Doucet and Holenstein (2010), doi:10.1111/j.1467-9868.2009.00736.x; Lindsten, "
        "Jordan and Schon (2014)"
    )
    step_cost = (
        "for each chain a particle filter of N - 1 particles; ancestor sampling scores the "
        "reference's remaining tokens behind each "
        "other open particle, by both models, at every resampling"
    )

    def __post_init__(self) -> None:
        checks.settle(
            self,
            particles=checks.count("particles", self.particles, least=2),
            ess_threshold=self.rule.ess_threshold,
            ancestor_sampling=checks.flag("ancestor_sampling", self.ancestor_sampling),
        )
        check_conditional(self.particles, self.rule)
        super().__post_init__()

    @property
    def rule(self) -> Resampling:
        """When its filters resample, and how."""
        return Resampling(self.resampling, self.ess_threshold)

    def check(self, model: Declared) -> None:
        if not self.ancestor_sampling:
            return
        if not isinstance(model, StateSpaceModel):
            raise ValueError(f"ancestor sampling needs a StateSpaceModel, not {model!r}")
        if not capabilities(model.lm).scoring:
            raise ValueError(
                "ancestor sampling needs a language model with a method `logprob`, and "
                f"{model.lm.name!r} has none"
            )

    def bind(self, model: Declared, keys: RunKeys) -> BoundGibbs:
        return BoundGibbs(self, model, keys, self.proposed(model))


class BoundGibbs(BoundChains):
    """Chains of particle Gibbs of a declared posterior."""

    def sweep(self, keys: RunKeys, state: Chains) -> Swept:
        sampler = self.sampler
        own = [replace(keys, chain=chain) for chain in range(sampler.chains)]
        past = "ancestor" if sampler.ancestor_sampling else "reference"
        models = [self.model] * len(own)
        swept = gibbs_moves(
            models, self.proposed, own, state.current, sampler.particles, sampler.rule, past
        )
        updates, reached = np.zeros(0), np.zeros(0)
        for _, moved in swept:
            updates, reached = summed(updates, moved), summed(reached, np.ones(len(moved)))
        return Swept([particle for particle, _ in swept], {"updates": updates, "reached": reached})

    def rates(self, tallies: Mapping[str, np.ndarray], iterations: int) -> dict[str, Any]:
        return {"update_by_step": (tallies["updates"] / tallies["reached"]).tolist()}


def gibbs_moves(
    models: Sequence[Declared],
    proposal: Law | None,
    keys: Sequence[RunKeys],
    particles: Sequence[Reasoning],
    slots: int,
    resampling: Resampling,
    past: str,
) -> list[tuple[Reasoning, np.ndarray]]:
    """Make one sweep of particle Gibbs from each trajectory, all in one batch.

    Args:
        models: of each; they share their language model and their reward model.
        proposal: what steps are drawn from.
        keys: of each.
        particles: the references, complete and of positive density.
        slots: N.
        resampling: see `motes.smc.conditional`.
        past: "reference" or "ancestor".

    Returns:
        For each the next trajectory, and for each of its steps whether it is another particle's
        than the reference's, bool, (steps,).
    """

    def run(row: int, model: Declared) -> tuple[Reasoning, np.ndarray]:
        reference = objects(particles[row].path)
        path, slots_passed = sweep(
            model.stepwise(proposal, root=reference[0]),
            keys[row],
            reference,
            slots,
            resampling,
            past,
        )
        last: Reasoning = path[-1]
        return last, slots_passed[1 : last.length + 1] != 0

    return in_batch([partial(run, row) for row in range(len(particles))], models)
