"""The filter itself: one step for every Feynman-Kac model (Gordon, Salmond and Smith 1993; Chopin 2004).

    resample    if the weights are uneven: ancestors drawn, weights spent
    move        x_t ~ M_t(x_t-1), in the slots that can move
    reweigh     W_t^i proportional to W_t-1^i G_t^i; closed particles have G = 1

and the estimate of the total mass is Z-hat = prod_t sum_i W_t-1^i G_t^i. It is unbiased, adaptive resampling included:
E[Z-hat sum_i W^i f(x^i)] = gamma(f) for every f. There is no resampling after the last step, so final weights count
once. When every particle is dead Z-hat is 0, a legitimate value of an unbiased estimate, and there they stay.

`advance` takes one step of either kind of model, traced or hosted. `steps` takes them one after another, and
`run` all at once, compiled where the model is traced, and keeps what its caller wants kept (`motes.smc.collectors`).
A filter inside a function of the user's own that JAX traces, to vmap it over seeds for instance, is `scan`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from math import log
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import numpy as np

from .arrays import Array, float64, objects, put
from .collectors import Collector, Collectors, Recorder, traced
from .feynman_kac import FeynmanKac, Hosted
from .keys import IMPL, RunKeys, TracedKeys
from .resampling import Resampling, Selection
from .weights import normalise


class State(NamedTuple):
    """A filter between two steps: all that the next one needs.

    Attributes:
        particles: the population, N particles: a pytree of arrays, or an object array of shape (N,).
        log_weights: normalised, float64, shape (N,); all minus infinity where every particle is dead.
        log_evidence: log Z-hat so far, in nats, float64.
        t: steps taken.
    """

    particles: Any
    log_weights: Array
    log_evidence: Any
    t: Any

    @property
    def dead(self) -> bool:
        """Whether every particle is dead; asked on the host."""
        return bool(np.asarray(self.log_evidence) == -np.inf)


class Step(NamedTuple):
    """What happened in one step.

    Attributes:
        before: the state it started from.
        ancestors: the slot in `before` from which each slot descends, itself where there was no resampling; shape (N,).
        resampled: whether the population was resampled.
        log_increment: log sum_i W_t-1^i G_t^i, in nats.
        state: the state after it.
    """

    before: State
    ancestors: Array
    resampled: Any
    log_increment: Any
    state: State


class Run(NamedTuple):
    """A filter that has run.

    Attributes:
        state: its last state.
        log_increments: of the evidence, by step, in nats; shape (T,). Minus infinity from the step at which all died.
        collected: what the caller asked for, by name, NumPy arrays.
    """

    state: State
    log_increments: Array
    collected: dict[str, Any]

    @property
    def died_at(self) -> int | None:
        """The step at which the last particle died, the first being 1; None if some are alive."""
        died = np.flatnonzero(np.asarray(self.log_increments) == -np.inf)
        return int(died[0]) + 1 if len(died) else None


def start(model: FeynmanKac[Any], keys: RunKeys | TracedKeys, slots: int) -> State:
    """A filter of `slots` particles before its first step."""
    if isinstance(model, Hosted):
        assert isinstance(keys, RunKeys)
        particles: Any = objects(model.initial(keys.moves(0, slots, range(slots)), slots))
        if len(particles) != slots:
            raise ValueError(f"the model's initial kernel gave {len(particles)} particles for {slots} slots")
        return State(particles, np.full(slots, -log(slots)), 0.0, 0)
    assert isinstance(keys, TracedKeys)
    particles = jax.tree.map(jax.numpy.asarray, model.initial(keys.moves(0), slots))
    with float64():
        return State(particles, jax.numpy.full(slots, -log(slots)), jax.numpy.zeros(()), jax.numpy.zeros((), np.int32))


def advance(model: FeynmanKac[Any], state: State, keys: RunKeys | TracedKeys, resampling: Resampling) -> Step:
    """One step: resample if due, move, reweigh.

    Raises:
        FloatingPointError: a potential is not a number, or plus infinity; in a trace the evidence becomes it instead.
        ValueError: the model returned another number of particles or potentials than it was given.
    """
    t = state.t + 1
    selection = resampling.select(keys, t, state.particles, state.log_weights)
    return propagate(model, state, keys, selection)


def propagate(model: FeynmanKac[Any], state: State, keys: Any, selection: Selection, pinned: Any = None) -> Step:
    """The second half of a step: move what was selected from `state`, and reweigh. Raises as `advance` does.

    Args:
        pinned: the particle that slot 0 becomes, instead of one that is drawn; None where there is no such slot.
    """
    t, kind = state.t + 1, _propagate_hosted if isinstance(model, Hosted) else _propagate_traced
    particles, log_potentials = kind(model, t, keys, selection, pinned)
    with float64():
        log_weights, log_increment = normalise(selection.log_weights + log_potentials, source=f"log_potential at step {t}")
        after = State(particles, log_weights, state.log_evidence + log_increment, t)
    return Step(state, selection.ancestors, selection.resampled, log_increment, after)


def steps(
    model: FeynmanKac[Any], state: State, keys: RunKeys | TracedKeys, resampling: Resampling, count: int | None = None
) -> Iterator[Step]:
    """One step after another, `count` at most; of a hosted model, until no living particle is open. Raises as `advance` does."""
    step: Callable[..., Step] = advance
    if not isinstance(model, Hosted):
        step = _compiled_advance
        with float64():  # a state that was kept on the host comes back in full precision
            state = jax.tree.map(jax.numpy.asarray, state)
    taken = 0
    while taken != count and (not isinstance(model, Hosted) or len(movable(model, state.particles, state.log_weights))):
        yield (happened := step(model, state, keys, resampling))
        state, taken = happened.state, taken + 1


def scan(
    model: FeynmanKac[Any],
    key: Any,
    slots: int,
    steps: int,
    resampling: Resampling = Resampling(),
    collect: Collectors = MappingProxyType({}),
) -> Run:
    """A filter of a traced model, for use inside a function that JAX traces: pure, and never raising.

    Args:
        model: traced.
        key: a typed JAX random key.
        slots: N.
        steps: T.
        resampling: when and how.
        collect: collectors by name.
    """
    keys = TracedKeys(key)
    first = start(model, keys, slots)
    held, collected_at = traced(collect)

    def body(carry: tuple[State, Any], _: None) -> tuple[tuple[State, Any], tuple[Any, Any]]:
        state, memory = carry
        step = advance(model, state, keys, resampling)
        with float64():
            memory, values = collected_at(memory, step)
        return (step.state, memory), (step.log_increment, values)

    with float64():
        memory = held(first)
    (state, memory), (log_increments, values) = jax.lax.scan(body, (first, memory), length=steps)
    return Run(state, log_increments, {name: (values | memory)[name] for name in collect})


def run(
    model: FeynmanKac[Any],
    seed: int | RunKeys | jax.Array,
    slots: int,
    steps: int | None = None,
    resampling: Resampling = Resampling(),
    collect: Collectors = MappingProxyType({}),
) -> Run:
    """A filter from its first particle to its last step.

    Args:
        model: traced or hosted. A traced one is compiled with everything it closes over, once for each model, N and T.
        seed: an integer in [0, 2**32); or the `RunKeys` of a hosted model, or a typed JAX random key for a traced one.
        slots: N.
        steps: T; a hosted model may do without, and then runs until no living particle is open.
        resampling: when and how.
        collect: collectors by name.

    Raises:
        FloatingPointError: a potential is not a number, or plus infinity; the message names the step.
        ValueError: a traced model was given no number of steps.
    """
    if isinstance(model, Hosted):
        return _run_hosted(model, seed if isinstance(seed, RunKeys) else RunKeys(seed), slots, steps, resampling, collect)  # type: ignore
    if steps is None:
        raise ValueError("steps must be given: a traced model does not say when it is over")
    key = seed if isinstance(seed, jax.Array) else jax.random.key(RunKeys(seed).seed, impl=IMPL)  # type: ignore
    finished = on_host(_compiled_scan(model, key, slots, steps, resampling, tuple(collect.items())))
    check_increments(finished.log_increments)
    return finished


def on_host(finished: Run) -> Run:
    """The run with all but its particles in NumPy arrays: JAX is not at ease with float64 where the user has not enabled it."""
    state, log_increments, collected = finished
    state = State(state.particles, *(np.asarray(value) for value in state[1:]))
    return Run(state, np.asarray(log_increments), jax.tree.map(np.asarray, collected))


def check_increments(log_increments: np.ndarray) -> None:
    """Raise FloatingPointError where the increments of the evidence, shape (T,), show that a potential was at fault."""
    if len(faulty := np.flatnonzero(~(log_increments < np.inf))):
        step = faulty[0]
        raise FloatingPointError(
            f"log_potential at step {step + 1} gave the evidence {log_increments[step]}: it must be a number below infinity"
        )


def _run_hosted(model: Any, keys: RunKeys, slots: int, count: int | None, resampling: Resampling, collect: Collectors) -> Run:
    state = start(model, keys, slots)
    recorder, increments = Recorder(collect, state), []
    for step in steps(model, state, keys, resampling, count):
        recorder.record(step)
        increments.append(step.log_increment)
        state = step.state
    return Run(state, np.array(increments, np.float64), recorder.collected())


@partial(jax.jit, static_argnums=(0, 2, 3, 4, 5))
def _compiled_scan(model: Any, key: Any, slots: int, steps: int, resampling: Resampling, collect: tuple[tuple[str, Collector], ...]) -> Run:
    return scan(model, key, slots, steps, resampling, dict(collect))


_compiled_advance = jax.jit(advance, static_argnums=(0, 3))


def _propagate_traced(model: Any, t: Any, keys: TracedKeys, selection: Selection, pinned: Any) -> tuple[Any, Array]:
    before = selection.particles
    after = model.move(t, keys.moves(t), before)
    if pinned is not None:
        after = put(after, 0, pinned)
    return after, model.log_potential(t, before, after)


def _propagate_hosted(model: Any, t: int, keys: RunKeys, selection: Selection, pinned: Any) -> tuple[np.ndarray, np.ndarray]:
    before: np.ndarray = selection.particles
    after, log_potentials = before.copy(), np.zeros(len(before))
    moving = movable(model, before, selection.log_weights)  # resampling may have chosen closed particles only
    drawn = moving if pinned is None else moving[moving != 0]
    if len(drawn):
        moved = objects(model.move(t, keys.moves(t, len(before), drawn), before[drawn]))
        if len(moved) != len(drawn):
            raise ValueError(f"{len(drawn)} particles were to move, but {len(moved)} did")
        after[drawn] = moved
    if pinned is not None:
        after[0] = pinned
    if len(moving):
        potentials = np.asarray(model.log_potential(t, before[moving], after[moving]), np.float64)
        if potentials.shape != (len(moving),):
            raise ValueError(f"{len(moving)} particles moved, but their log-potentials have the shape {potentials.shape}")
        log_potentials[moving] = potentials
    return after, log_potentials


def movable(model: Hosted, particles: Any, log_weights: np.ndarray) -> np.ndarray:
    """Slots whose particle is open and alive."""
    return np.array([slot for slot in np.flatnonzero(log_weights > -np.inf) if model.open(particles[slot])], np.intp)
