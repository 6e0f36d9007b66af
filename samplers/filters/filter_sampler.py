"""Samplers that are filters: populations that advance step by step."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ... import checks
from ...aliases import Particle
from ...ppl.interfaces import Declared, Reasoning
from ...ppl.posterior.provenance import Guarantee
from ...smc import GrowingHistory, Resampling, RunKeys, State, advance, ess, start
from ...smc.driver import movable
from ..base import AllParticlesDead, PopulationSampler
from ..bound import BoundSampler, Draws


class Filter(NamedTuple):
    """A filter under way: its population, and what led to it."""

    state: State
    history: GrowingHistory


def check_alive(state: State) -> None:
    """Raise AllParticlesDead where all are."""
    if state.dead:
        raise AllParticlesDead(state.t, len(state.log_weights))


@dataclass(frozen=True, kw_only=True)
class FilterSampler(PopulationSampler):
    """A filter of N particles."""

    @abstractmethod
    def feynman_kac(self, model: Declared) -> Any:
        """The model that the filter samples."""

    @abstractmethod
    def resampler(self, model: Declared) -> Resampling:
        """When it resamples, and how."""

    def slots(self) -> int:
        """Slots of the filter."""
        return self.particles

    def bind(self, model: Declared, keys: RunKeys) -> BoundFilter:
        return BoundFilter(
            self, model, keys, self.proposed(model), self.feynman_kac(model), self.resampler(model)
        )


@dataclass(frozen=True, eq=False)
class BoundFilter(BoundSampler[Filter]):
    """A filter of a declared posterior.

    Attributes:
        feynman_kac: the model that it samples.
        resampling: when it resamples, and how.
    """

    feynman_kac: Any
    resampling: Resampling

    def held(self, particle: Particle) -> Reasoning:
        """The trajectory that a slot's particle amounts to."""
        return particle

    def init(self) -> Filter:
        slots = self.sampler.slots()
        return Filter(start(self.feynman_kac, self.keys, slots), GrowingHistory.empty(slots))

    def step(self, state: Filter) -> Filter:
        happened = advance(self.feynman_kac, state.state, self.keys, self.resampling)
        return Filter(happened.state, state.history.after(happened))

    def done(self, state: Filter) -> bool:
        return not len(movable(self.feynman_kac, state.state.particles, state.state.log_weights))

    def count(self, state: Filter) -> int:
        return int(state.state.t)

    def vitals(self, state: Filter) -> Mapping[str, Any]:
        particles = state.state.particles
        return {
            "open": sum(self.held(x).open for x in particles),
            "ess": f"{ess(state.state.log_weights):.1f}",
        }

    def draws(self, state: Filter, complete: bool) -> Draws:
        population, history = state.state, state.history.history()
        check_alive(population)
        particles = [self.held(x) for x in population.particles]
        log_evidence = float(population.log_evidence) if complete else None
        return Draws(
            particles,
            np.asarray(population.log_weights),
            log_evidence,
            history,
            guarantee=self.kept_guarantee(complete),
        )

    def kept_guarantee(self, complete: bool) -> Guarantee | None:
        """What holds of a run that was cut off, or that a budget could have cut.

        None where that is the sampler's own guarantee.

        Heuristic: which runs a budget spares depends on what they have written.
        """
        return None if complete and self.sampler.budget is None else "heuristic"


@dataclass(frozen=True, kw_only=True)
class ResamplingFilter(FilterSampler):
    """A filter over steps that resamples when its weights have become uneven.

    Attributes:
        resampling: one of `motes.smc.SCHEMES`.
        ess_threshold: kappa in [0, 1]: resample when ESS < kappa N; at 0 never, at 1 before every
            step but the first.
    """

    resampling: str = "systematic"
    ess_threshold: float = 0.5

    def __post_init__(self) -> None:
        rule = Resampling(self.resampling, self.ess_threshold)
        checks.settle(self, ess_threshold=rule.ess_threshold)
        super().__post_init__()

    def feynman_kac(self, model: Declared) -> Any:
        return model.stepwise(self.proposed(model))

    def resampler(self, model: Declared) -> Resampling:
        return Resampling(self.resampling, self.ess_threshold)
