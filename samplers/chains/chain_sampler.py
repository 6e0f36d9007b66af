"""Samplers that are Markov chains: several of them in one batch, their draws kept."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from ... import checks
from ...models import run_batched
from ...models.mixture import Law
from ...ppl.interfaces import Declared, Reasoning, Stepwise
from ...smc import Resampling, RunKeys, State, start, steps
from ...smc.resampling import pick
from ..base import AllParticlesDead, SteppedSampler
from ..bound import BoundSampler, Draws
from ..filters.bound_filter import check_alive

MOST_STARTS = 16  # times as many particles as the first filter for a chain's start, at most
RESTARTS = 2**31  # iterations whose keys are for further filters


class Chains(NamedTuple):
    """Chains under way.

    Attributes:
        iteration: iterations done, warm-up included.
        current: where the chains are: C particles, or C times K of them for K replicas a chain.
        draws: the particles of every chain at every iteration after the warm-up: one tuple of C an
            iteration.
        tallies: sums over the iterations after the warm-up, by name, float64.
        memory: what else a sampler has to remember from one iteration to the next.
        tries: filters that were drawn for the start of each chain.
    """

    iteration: int
    current: tuple[Reasoning, ...]
    draws: tuple[tuple[Reasoning, ...], ...]
    tallies: dict[str, np.ndarray]
    memory: Any = None
    tries: tuple[int, ...] = ()


class Started(NamedTuple):
    """Where chains start.

    Attributes:
        current: as in `Chains`.
        tries: filters that were drawn for it, by chain.
    """

    current: tuple[Any, ...]
    tries: tuple[int, ...]


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
class ChainSampler(SteppedSampler):
    """Several independent chains.

    Attributes:
        iterations: of each chain, kept ones.
        warmup: iterations before those, not kept.
        chains: C.
        starts: particles of the filter from which a chain's first trajectory is drawn: one of
            positive density. Chains leave their target invariant wherever they start, so where all
            particles die a filter of twice as many (up to 16 times `starts`) is drawn. A budget
            counts what this costs, but does not stop it; that chains are longer where trajectories
            are shorter is a bias that vanishes as the budget grows.
        tries: filters drawn for the start of a chain, at most.

    Example:
        >>> from motes.samplers import ParticleFilter, SuffixMetropolis
        >>> isinstance(SuffixMetropolis(), ChainSampler), isinstance(ParticleFilter(), ChainSampler)
        (True, False)
    """

    iterations: int = 100
    warmup: int = 20
    chains: int = 4
    starts: int = 4
    tries: int = 20

    unit = "iteration"
    bent_by_budget = False

    def __post_init__(self) -> None:
        checks.settle(
            self,
            iterations=checks.count("iterations", self.iterations),
            warmup=checks.count("warmup", self.warmup, least=0),
            chains=checks.count("chains", self.chains),
            starts=checks.count("starts", self.starts),
            tries=checks.count("tries", self.tries),
        )
        super().__post_init__()

    @property
    def least_tokens(self) -> int:
        return self.chains


@dataclass(frozen=True, eq=False)
class BoundChains(BoundSampler[Chains]):
    """Chains that sample a declared posterior."""

    @abstractmethod
    def sweep(self, keys: RunKeys, state: Chains) -> Swept:
        """Take one iteration of all chains; its keys are the run's with the iteration's number."""

    @abstractmethod
    def rates(self, tallies: Mapping[str, np.ndarray], iterations: int) -> dict[str, Any]:
        """Return how the chains moved, from sums over their iterations."""

    def begin(self) -> Started:
        """Return where the chains start."""
        return self.started()

    def started(self, picks: int = 1) -> Started:
        """Draw for each chain `picks` trajectories of positive density by a particle filter."""

        def attempt(particles: int, keys: RunKeys, model: Declared) -> list[Reasoning]:
            return picked(model, keys, particles, self.proposed, picks)

        sampler = self.sampler
        return restarted(
            attempt,
            self.model,
            self.keys,
            sampler.chains,
            starts=sampler.starts,
            tries=sampler.tries,
        )

    def held(self, state: Any) -> Reasoning:
        """Return the reasoning at which a chain is."""
        return state

    def init(self) -> Chains:
        started = self.begin()
        return Chains(0, started.current, (), {}, tries=started.tries)

    def step(self, state: Chains) -> Chains:
        after = self.sweep(replace(self.keys, iteration=state.iteration + 1), state)
        kept, tallies = state.draws, state.tallies
        if state.iteration >= self.sampler.warmup:
            replicas = len(after.current) // self.sampler.chains
            kept = (*kept, tuple(map(self.held, after.current[::replicas])))
            tallies = {
                name: summed(tallies.get(name, np.zeros(0)), value)
                for name, value in after.tallies.items()
            }
        return Chains(
            state.iteration + 1, tuple(after.current), kept, tallies, after.memory, state.tries
        )

    def done(self, state: Chains) -> bool:
        return len(state.draws) >= self.sampler.iterations

    def count(self, state: Chains) -> int:
        return state.iteration

    def total(self) -> int:
        return self.sampler.warmup + self.sampler.iterations

    def draws(self, state: Chains, complete: bool) -> Draws:
        chains = self.sampler.chains
        by_iteration = state.draws or (
            tuple(map(self.held, state.current[:: len(state.current) // chains])),
        )
        particles = [row[chain] for chain in range(chains) for row in by_iteration]
        log_weights = np.full(len(particles), -np.log(len(particles)))
        rates: dict[str, Any] = {}  # before the first draw nothing has moved
        if state.draws:
            rates |= self.rates(state.tallies, len(state.draws))
            rates["starting_tries"] = list(state.tries)
        guarantee = None if state.draws else "heuristic"  # stopped in its warm-up
        return Draws(particles, log_weights, chains=chains, rates=rates, guarantee=guarantee)


def summed(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Add two arrays, the shorter of two rows filled up with zeros; one may be empty."""
    one, other = np.asarray(one, np.float64), np.asarray(other, np.float64)
    if one.shape == other.shape:
        return np.asarray(one + other)
    if not one.size:
        return other
    total = np.zeros(max(len(one), len(other)))
    for part in (one, other):
        total[: len(part)] += part
    return total


def restarted(
    attempt: Callable[[int, RunKeys, Any], list[Any]],
    model: Declared,
    keys: RunKeys,
    chains: int,
    *,
    starts: int,
    tries: int,
) -> Started:
    """Draw the start of every chain, again and with more particles where all of them died.

    Args:
        attempt: (particles, keys, model) -> where a chain starts, or an AllParticlesDead that is
            raised. The first attempt has the chain's own keys, any other has keys of iterations
            that no run reaches.
        model: the declared posterior.
        keys: of the run.
        chains: C.
        starts: particles of the first attempt.
        tries: attempts, at most.

    Raises:
        AllParticlesDead: in every attempt for some chain.
    """
    found: dict[int, list[Any]] = {}
    tried = [0] * chains
    for number in range(tries):
        missing = [chain for chain in range(chains) if chain not in found]
        particles = starts * min(2**number, MOST_STARTS)
        iteration = keys.iteration if number == 0 else RESTARTS + number
        runs = [
            partial(_survivors, attempt, particles, replace(keys, chain=chain, iteration=iteration))
            for chain in missing
        ]
        for chain, survivors in zip(missing, in_batch(runs, [model] * len(runs)), strict=True):
            tried[chain] += 1
            if not isinstance(survivors, AllParticlesDead):
                found[chain] = survivors
            elif number == tries - 1:
                raise AllParticlesDead(survivors.step, survivors.particles, tries)
        if len(found) == chains:
            break
    return Started(
        tuple(particle for chain in range(chains) for particle in found[chain]), tuple(tried)
    )


def picked(
    model: Declared, keys: RunKeys, particles: int, proposal: Law | None, picks: int
) -> list[Reasoning]:
    """Draw trajectories of positive density from a filter's last population, by weight.

    Raises:
        AllParticlesDead: all its particles died.
    """
    state = filtered(model.stepwise(proposal), keys, particles)
    return [
        state.particles[pick(keys.choice(number), state.log_weights)] for number in range(picks)
    ]


def filtered(stepwise: Stepwise, keys: RunKeys, particles: int) -> State:
    """Return a filter's last population.

    Raises:
        AllParticlesDead: all its particles died.
    """
    state: State = start(stepwise, keys, particles)
    for step in steps(stepwise, state, keys, Resampling()):
        state = step.state
    check_alive(state)
    return state


def _survivors(
    attempt: Callable[..., list[Any]], particles: int, keys: RunKeys, model: Declared
) -> list[Any] | AllParticlesDead:
    try:
        return attempt(particles, keys, model)
    except AllParticlesDead as death:
        return death


def in_batch(runs: Sequence[Callable[[Any], Any]], models: Sequence[Declared]) -> list[Any]:
    """Call functions of a declared posterior, each with its own, in shared batches."""
    if len(runs) == 1:
        return [runs[0](models[0])]
    return run_batched(
        [
            lambda shared, run=run, model=model: run(model.via(shared))
            for run, model in zip(runs, models, strict=True)
        ]
    )
