"""The filter itself: one loop for every Feynman-Kac model (Gordon, Salmond and Smith 1993; Chopin 2004).

While a living particle is open:

    resample    if ESS < kappa N: ancestors drawn, weights set to 1/N
    move        the particles that are open and alive
    reweigh     W_t^i proportional to W_t-1^i G_t^i; closed particles have G = 1

and the estimate of the total mass is Z-hat = prod_t sum_i W_t-1^i G_t^i. It is unbiased, adaptive resampling included:
E[Z-hat sum_i W^i f(x^i)] = gamma(f) for every f. There is no resampling after the last step, so final weights count
once. When every particle is dead Z-hat is 0, a legitimate value of an unbiased estimate, and the run ends there.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import log
from typing import Generic, NamedTuple

import numpy as np

from .feynman_kac import FeynmanKac, P
from .history import History, Record
from .keys import RunKeys
from .resampling import Resampling
from .weights import ess, normalise


class State(NamedTuple, Generic[P]):
    """A filter between two steps.

    Attributes:
        particles: the population, N particles.
        log_weights: normalised, shape (N,); all minus infinity where every particle is dead.
        log_evidence: log Z-hat so far, in nats.
        records: what happened at each step.
    """

    particles: tuple[P, ...]
    log_weights: np.ndarray
    log_evidence: float
    records: tuple[Record, ...]

    @property
    def dead(self) -> bool:
        """Whether every particle is dead; the step at which they died is the last."""
        return self.log_evidence == -np.inf

    @property
    def history(self) -> History:
        """The records as arrays."""
        return History.of(self.records, len(self.particles))


def start(model: FeynmanKac[P], slots: int) -> State[P]:
    """A filter of `slots` particles before its first step."""
    return State(tuple(model.initial(slots)), np.full(slots, -log(slots)), 0.0, ())


def steps(model: FeynmanKac[P], state: State[P], keys: RunKeys, resampling: Resampling) -> Iterator[State[P]]:
    """The states after each step, until no living particle is open.

    Raises:
        FloatingPointError: a potential is not a number, or plus infinity.
        ValueError: the model returned another number of particles or potentials than it was given.
    """
    while _moving(model, state.particles, state.log_weights):
        state = advance(model, state, keys, resampling)
        yield state


def advance(model: FeynmanKac[P], state: State[P], keys: RunKeys, resampling: Resampling) -> State[P]:
    """One step: resample if due, move, reweigh. Raises as `steps` does."""
    t, slots = len(state.records) + 1, len(state.particles)
    particles, log_weights, ancestors = list(state.particles), state.log_weights, np.arange(slots)
    if resampled := resampling.due(log_weights):
        ancestors = resampling.ancestors(keys.resampling(t), log_weights)
        particles = [particles[ancestor] for ancestor in ancestors]
        log_weights = np.full(slots, -log(slots))
    log_potentials = np.zeros(slots)
    if moving := _moving(model, particles, log_weights):  # resampling may have chosen closed particles only
        before = [particles[slot] for slot in moving]
        after = model.move(t, before, keys.moves(t, slots, moving))
        log_potentials[moving] = _checked(model.log_potential(t, before, after), len(after), len(moving))
        for slot, particle in zip(moving, after, strict=True):
            particles[slot] = particle
    log_weights, log_increment = normalise(log_weights + log_potentials, source=f"log_potential at step {t}")
    record = Record(ess(log_weights), resampled, log_increment, ancestors, log_weights)
    return State(tuple(particles), log_weights, state.log_evidence + log_increment, (*state.records, record))


def _moving(model: FeynmanKac[P], particles: tuple[P, ...] | list[P], log_weights: np.ndarray) -> list[int]:
    """Slots whose particle is open and alive."""
    return [slot for slot, alive in enumerate((log_weights > -np.inf).tolist()) if alive and model.open(particles[slot])]


def _checked(log_potentials: np.ndarray, moved: int, moving: int) -> np.ndarray:
    log_potentials = np.asarray(log_potentials, np.float64)
    if moved != moving or log_potentials.shape != (moving,):
        raise ValueError(f"{moving} particles were to move, but {moved} did, with log-potentials of shape {log_potentials.shape}")
    return log_potentials
