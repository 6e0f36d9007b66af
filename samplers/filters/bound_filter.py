"""A filter under way: a population that advances step by step, whichever sampler asked for it.

A sampler that is a filter says two things of itself: which Feynman-Kac model it samples, and when
it resamples. Everything else is here, the same for all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, Self

import numpy as np

from ...aliases import Particle
from ...models.mixture import Law
from ...ppl.interfaces import Declared, Reasoning
from ...ppl.posterior.provenance import Guarantee
from ...smc import GrowingHistory, Resampling, RunKeys, State, advance, ess, start
from ...smc.driver import movable
from ..base import AllParticlesDead
from ..bound import BoundSampler, Draws


class FilterSampler(Protocol):
    """What a sampler says of itself for being a filter of N particles."""

    @property
    def particles(self) -> int: ...

    def proposed(self, model: Declared) -> Law | None: ...

    def feynman_kac(self, model: Declared) -> Any:
        """Return the Feynman-Kac model that the filter samples."""
        ...

    def resampler(self, model: Declared) -> Resampling:
        """Say when the filter resamples, and how."""
        ...


class Filter(NamedTuple):
    """A filter between two steps: its population, and what led to it."""

    state: State
    history: GrowingHistory


def check_alive(state: State) -> None:
    """Raise AllParticlesDead where all are."""
    if state.dead:
        raise AllParticlesDead(state.t, len(state.log_weights))


@dataclass(frozen=True, eq=False)
class BoundFilter(BoundSampler[Filter]):
    """A filter of a declared posterior.

    Attributes:
        feynman_kac: the model that it samples.
        resampling: when it resamples, and how.
    """

    feynman_kac: Any
    resampling: Resampling

    @classmethod
    def of(cls, sampler: FilterSampler, model: Declared, keys: RunKeys) -> Self:
        """Bind a sampler that is a filter."""
        return cls(
            sampler,
            model,
            keys,
            sampler.proposed(model),
            sampler.feynman_kac(model),
            sampler.resampler(model),
        )

    def slots(self) -> int:
        """Count the slots of the filter."""
        return self.sampler.particles

    def held(self, particle: Particle) -> Reasoning:
        """Give the trajectory that a slot's particle amounts to."""
        return particle

    def init(self) -> Filter:
        slots = self.slots()
        return Filter(start(self.feynman_kac, self.keys, slots), GrowingHistory.empty(slots))

    def step(self, state: Filter) -> Filter:
        step = advance(self.feynman_kac, state.state, self.keys, self.resampling)
        return Filter(step.state, state.history.after(step))

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
        # what a cut-off run has weighed so far is an estimate of nothing that was declared
        log_evidence = float(population.log_evidence) if complete else None
        return Draws(
            particles,
            np.asarray(population.log_weights),
            log_evidence,
            history,
            guarantee=self.kept_guarantee(complete),
        )

    def kept_guarantee(self, complete: bool) -> Guarantee | None:
        """Say what holds of a run that was cut off, or that a budget could have cut.

        None where that is the sampler's own guarantee.

        Heuristic: which runs a budget spares depends on what they have written.
        """
        return None if complete and self.sampler.budget is None else "heuristic"
