"""Samplers that are Markov chains: several of them in one batch, their draws kept."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from operator import index
from typing import Any, NamedTuple

import numpy as np

from ...models import Sampling, together
from ...ppl.interfaces import Declared, Reasoning
from ...smc import Resampling, RunKeys, State, start, steps
from ...smc.resampling import pick
from ..base import Draws, SteppedSampler, check_count
from ..filters.filter_sampler import check_alive


class Chains(NamedTuple):
    """Chains under way.

    Attributes:
        iteration: iterations done, warm-up included.
        current: where the chains are: C particles, or C times K of them for K replicas a chain.
        draws: the particles of every chain at every iteration after the warm-up: one tuple of C an iteration.
        tallies: sums over the iterations after the warm-up, by name, float64.
        memory: what else a sampler has to remember from one iteration to the next.
    """

    iteration: int
    current: tuple[Reasoning, ...]
    draws: tuple[tuple[Reasoning, ...], ...]
    tallies: dict[str, np.ndarray]
    memory: Any = None


class Swept(NamedTuple):
    """Where an iteration has led.

    Attributes:
        current: as in `Chains`.
        tallies: what is to be added to the sums, by name.
        memory: as in `Chains`.
    """

    current: Sequence[Reasoning]
    tallies: dict[str, np.ndarray]
    memory: Any = None


@dataclass(frozen=True, kw_only=True)
class ChainSampler(SteppedSampler[Chains]):
    """Several independent chains.

    Attributes:
        iterations: of each chain, kept ones.
        warmup: iterations before those, not kept.
        chains: C.
        starts: particles of the filter from which a chain's first trajectory is drawn: one of positive density. A budget counts
            what this costs, but does not stop it; that chains are longer where trajectories are shorter is a bias that vanishes
            as the budget grows.
    """

    iterations: int = 100
    warmup: int = 20
    chains: int = 4
    starts: int = 4

    unit = "iteration"

    def __post_init__(self) -> None:
        for name, least in (("iterations", 1), ("warmup", 0), ("chains", 1), ("starts", 1)):
            check_count(name, getattr(self, name), least)
        super().__post_init__()

    @property
    def least_tokens(self) -> int:
        return index(self.chains)

    @abstractmethod
    def sweep(self, model: Declared, keys: RunKeys, state: Chains) -> Swept:
        """One iteration of all chains; its keys are the run's with the iteration's number."""

    @abstractmethod
    def rates(self, tallies: Mapping[str, np.ndarray], iterations: int) -> dict[str, Any]:
        """How the chains moved, from sums over their iterations."""

    def begin(self, model: Declared, keys: RunKeys) -> tuple[Reasoning, ...]:
        """Where the chains start."""
        found = started(model, keys, index(self.chains), index(self.starts), self.proposed(model))
        return tuple(particle for [particle] in found)

    def held(self, state: Any) -> Reasoning:
        """The reasoning at which a chain is."""
        return state

    def init(self, model: Declared, keys: RunKeys) -> Chains:
        return Chains(0, self.begin(model, keys), (), {})

    def step(self, model: Declared, keys: RunKeys, state: Chains) -> Chains:
        after = self.sweep(model, replace(keys, iteration=state.iteration + 1), state)
        kept, tallies = state.draws, state.tallies
        if state.iteration >= self.warmup:
            replicas = len(after.current) // index(self.chains)
            kept = (*kept, tuple(map(self.held, after.current[::replicas])))
            tallies = {name: tallies.get(name, 0.0) + value for name, value in after.tallies.items()}
        return Chains(state.iteration + 1, tuple(after.current), kept, tallies, after.memory)

    def done(self, model: Declared, state: Chains) -> bool:
        return len(state.draws) >= self.iterations

    def count(self, state: Chains) -> int:
        return state.iteration

    def total(self, model: Declared) -> int | None:
        return index(self.warmup) + index(self.iterations)

    def draws(self, model: Declared, state: Chains, complete: bool) -> Draws:
        by_iteration = state.draws or (tuple(map(self.held, state.current[:: len(state.current) // index(self.chains)])),)
        particles = [row[chain] for chain in range(index(self.chains)) for row in by_iteration]
        log_weights = np.full(len(particles), -np.log(len(particles)))
        rates = self.rates(state.tallies, len(state.draws)) if state.draws else {}
        guarantee = None if state.draws else "heuristic"  # stopped in its warm-up
        return Draws(particles, log_weights, chains=index(self.chains), rates=rates, guarantee=guarantee)


def started(
    model: Declared, keys: RunKeys, chains: int, particles: int, proposal: Sampling | None, picks: int = 1
) -> list[list[Reasoning]]:
    """For each chain `picks` trajectories of positive density, drawn from a particle filter of its own.

    Raises:
        AllParticlesDead: a filter found none.
    """

    def run(chain: int, model: Declared) -> list[Reasoning]:
        own = replace(keys, chain=chain)
        stepwise = model.stepwise(proposal)
        state: State = start(stepwise, own, particles)
        for step in steps(stepwise, state, own, Resampling()):
            state = step.state
        check_alive(state)
        return [state.particles[pick(own.choice(number), state.log_weights)] for number in range(picks)]

    return in_batch([partial(run, chain) for chain in range(chains)], [model] * chains)


def in_batch(runs: Sequence[Callable[[Any], Any]], models: Sequence[Declared]) -> list[Any]:
    """Functions of a declared posterior, each called with its own, whose questions to their models go out together."""
    if len(runs) == 1:
        return [runs[0](models[0])]
    return together([lambda shared, run=run, model=model: run(model.via(shared)) for run, model in zip(runs, models, strict=True)])
