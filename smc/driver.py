"""The filter: one step for every Feynman-Kac model.

(Gordon, Salmond and Smith 1993; Chopin 2004.)

    resample    if the weights are uneven: ancestors drawn, weights spent
    move        x_t ~ M_t(x_t-1), in the slots that can move
    reweigh     W_t^i proportional to W_t-1^i G_t^i; closed particles have G = 1

and the estimate of the total mass is Z-hat = prod_t sum_i W_t-1^i G_t^i. It is unbiased, adaptive
resampling included: E[Z-hat sum_i W^i f(x^i)] = gamma(f) for every f. There is no resampling after
the last step, so final weights count once. When every particle is dead Z-hat is 0, a legitimate
value of an unbiased estimate, and there they stay.

`advance` takes one step of either kind of model, traced or hosted, and `steps` takes them one after
another. Whole runs are in `motes.smc.running`.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import log
from typing import Any, NamedTuple

import jax
import numpy as np

from .. import checks
from ..aliases import Array, Particles, Time
from .arrays import float64, objects, put
from .feynman_kac import FeynmanKac, Hosted
from .keys import RunKeys, TracedKeys
from .resampling import Resampling, Selection
from .weights import normalise, reweighed


class State(NamedTuple):
    """A filter between two steps: all that the next one needs.

    Attributes:
        particles: the population, N particles: a pytree of arrays, or an object array of shape
            (N,).
        log_weights: normalised, float64, shape (N,); all minus infinity where every particle is
            dead.
        log_evidence: log Z-hat so far, in nats, float64.
        t: steps taken.

    Example:
        >>> import jax
        >>> from motes import smc
        >>> model = smc.Model(
        ...     initial=lambda key, slots: jax.random.normal(key, (slots,)),
        ...     move=lambda t, key, x: x + jax.random.normal(key, x.shape),
        ...     log_potential=lambda t, before, after: -0.5 * after**2,
        ...     density=lambda t, before, after: -0.5 * (after - before) ** 2,
        ... )
        >>> state = smc.run(model, seed=0, slots=100, steps=3).state
        >>> type(state).__name__, state.particles.shape
        ('State', (100,))
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
        ancestors: the slot in `before` from which each slot descends, itself where there was no
            resampling; shape (N,).
        resampled: whether the population was resampled.
        log_increment: log sum_i W_t-1^i G_t^i, in nats.
        state: the state after it.

    Example:
        >>> import jax
        >>> from motes import smc
        >>> model = smc.Model(
        ...     initial=lambda key, slots: jax.random.normal(key, (slots,)),
        ...     move=lambda t, key, x: x + jax.random.normal(key, x.shape),
        ...     log_potential=lambda t, before, after: -0.5 * after**2,
        ...     density=lambda t, before, after: -0.5 * (after - before) ** 2,
        ... )
        >>> keys = smc.TracedKeys(jax.random.key(0))
        >>> state = smc.start(model, keys, 100)
        >>> step = smc.advance(model, state, keys, smc.Resampling())
        >>> step.ancestors.shape
        (100,)
    """

    before: State
    ancestors: Array
    resampled: Any
    log_increment: Any
    state: State


def start(model: FeynmanKac[Any], keys: RunKeys | TracedKeys, slots: int) -> State:
    """Start a filter of `slots` particles, before its first step.

    Raises:
        ValueError: there is no slot, or a hosted model's initial kernel gave another number of
            particles.
        TypeError: the keys are not of the model's kind.

    Example:
        >>> import jax
        >>> from motes import smc
        >>> model = smc.Model(
        ...     initial=lambda key, slots: jax.random.normal(key, (slots,)),
        ...     move=lambda t, key, x: x + jax.random.normal(key, x.shape),
        ...     log_potential=lambda t, before, after: -0.5 * after**2,
        ...     density=lambda t, before, after: -0.5 * (after - before) ** 2,
        ... )
        >>> state = start(model, smc.TracedKeys(jax.random.key(0)), 100)
        >>> state.particles.shape
        (100,)
    """
    slots = checks.count("slots", slots)
    if isinstance(model, Hosted):
        if not isinstance(keys, RunKeys):
            raise TypeError(f"a hosted model takes RunKeys, not {keys!r}")
        particles: Any = objects(model.initial(keys.moves(0, slots, range(slots)), slots))
        if len(particles) != slots:
            raise ValueError(
                f"the model's initial kernel gave {len(particles)} particles for {slots} slots"
            )
        return State(particles, np.full(slots, -log(slots)), 0.0, 0)
    if not isinstance(keys, TracedKeys):
        raise TypeError(f"a traced model takes TracedKeys, not {keys!r}")
    particles = jax.tree.map(jax.numpy.asarray, model.initial(keys.moves(0), slots))
    if wrong := [leaf.shape for leaf in jax.tree.leaves(particles) if leaf.shape[:1] != (slots,)]:
        raise ValueError(f"initial must return leaves with {slots} rows, not of shape {wrong[0]}")
    with float64():
        return State(
            particles,
            jax.numpy.full(slots, -log(slots)),
            jax.numpy.zeros(()),
            jax.numpy.zeros((), np.int32),
        )


def advance(
    model: FeynmanKac[Any], state: State, keys: RunKeys | TracedKeys, resampling: Resampling
) -> Step:
    """Take one step: resample if due, move, reweigh.

    Raises:
        FloatingPointError: a potential is NaN, or plus infinity; in a trace the evidence
            becomes it instead.
        ValueError: the model returned another number of particles or potentials than it was given.

    Example:
        >>> import jax
        >>> from motes import smc
        >>> model = smc.Model(
        ...     initial=lambda key, slots: jax.random.normal(key, (slots,)),
        ...     move=lambda t, key, x: x + jax.random.normal(key, x.shape),
        ...     log_potential=lambda t, before, after: -0.5 * after**2,
        ...     density=lambda t, before, after: -0.5 * (after - before) ** 2,
        ... )
        >>> keys = smc.TracedKeys(jax.random.key(0))
        >>> state = smc.start(model, keys, 100)
        >>> step = advance(model, state, keys, smc.Resampling())
        >>> step.state.particles.shape
        (100,)
    """
    t = state.t + 1
    selection = resampling.select(keys, t, state.particles, state.log_weights)
    return propagate(model, state, keys, selection)


def propagate(
    model: FeynmanKac[Any],
    state: State,
    keys: Any,
    selection: Selection,
    pinned: Array | None = None,
) -> Step:
    """Take the second half of a step: move what was selected from `state`, and reweigh.

    Raises as `advance` does.

    Args:
        pinned: the particle that slot 0 becomes, instead of one that is drawn; None where there is
            no such slot.
    """
    t, kind = state.t + 1, _propagate_hosted if isinstance(model, Hosted) else _propagate_traced
    particles, log_potentials = kind(model, t, keys, selection, pinned)
    with float64():
        log_weights, log_increment = normalise(
            reweighed(selection.log_weights, log_potentials), source=f"log_potential at step {t}"
        )
        after = State(particles, log_weights, state.log_evidence + log_increment, t)
    return Step(state, selection.ancestors, selection.resampled, log_increment, after)


def steps(
    model: FeynmanKac[Any],
    state: State,
    keys: RunKeys | TracedKeys,
    resampling: Resampling,
    count: int | None = None,
) -> Iterator[Step]:
    """Take one step after another, at most `count`.

    A hosted model stops when no living particle is open. Raises as `advance` does.

    Example:
        >>> import jax
        >>> from motes import smc
        >>> model = smc.Model(
        ...     initial=lambda key, slots: jax.random.normal(key, (slots,)),
        ...     move=lambda t, key, x: x + jax.random.normal(key, x.shape),
        ...     log_potential=lambda t, before, after: -0.5 * after**2,
        ... )
        >>> keys = smc.TracedKeys(jax.random.key(0))
        >>> taken = steps(model, smc.start(model, keys, 100), keys, smc.Resampling(), count=3)
        >>> [int(step.state.t) for step in taken]
        [1, 2, 3]
    """
    hosted, step, taken = model if isinstance(model, Hosted) else None, advance, 0
    if hosted is None:
        if count is None:
            raise ValueError(
                "count must be given: a traced model does not say when it is over (a hosted one "
                "has a method `open`)"
            )
        step = _compiled_advance
        with float64():  # a state that was kept on the host comes back in full precision
            state = jax.tree.map(jax.numpy.asarray, state)
    while taken != count and (
        hosted is None or len(movable(hosted, state.particles, state.log_weights))
    ):
        happened = step(model, state, keys, resampling)
        if hosted is None:  # what a trace could not raise
            check_increment(float(happened.log_increment), int(happened.state.t), resampling)
        yield happened
        state, taken = happened.state, taken + 1


def check_increment(log_increment: float, t: int, resampling: Resampling) -> None:
    """Raise FloatingPointError where the evidence at step t shows that a weight was at fault."""
    if not log_increment < np.inf:  # true of NaN too
        part = "log_potential" if resampling.look_ahead is None else "log_potential or look_ahead"
        raise FloatingPointError(
            f"{part} at step {t} gave the evidence {log_increment}: it must be a number below "
            "infinity"
        )


_compiled_advance = jax.jit(advance, static_argnums=(0, 3))


def _propagate_traced(
    model: FeynmanKac[Any], t: Time, keys: TracedKeys, selection: Selection, pinned: Array
) -> tuple[Any, Array]:
    before = selection.particles
    after = model.move(t, keys.moves(t), before)
    was, now = _described(before), _described(after)
    if was != now:
        raise ValueError(
            f"move must return particles of the structure, shapes and types it was given: {was}, "
            f"not {now}"
        )
    if pinned is not None:
        after = put(after, 0, pinned)
    log_potentials = jax.numpy.asarray(model.log_potential(t, before, after))
    if log_potentials.shape != selection.log_weights.shape:
        raise ValueError(
            f"log_potential must have the shape {selection.log_weights.shape}, not "
            f"{log_potentials.shape}"
        )
    return after, log_potentials


def _described(particles: Particles) -> str:
    """Describe the structure, shapes and types of a population."""
    return str(
        jax.tree.map(
            lambda leaf: f"{jax.numpy.asarray(leaf).dtype}{list(jax.numpy.shape(leaf))}", particles
        )
    )


def _propagate_hosted(
    model: Any, t: int, keys: RunKeys, selection: Selection, pinned: Array
) -> tuple[np.ndarray, np.ndarray]:
    before: np.ndarray = selection.particles
    after, log_potentials = before.copy(), np.zeros(len(before))
    moving = movable(
        model, before, selection.log_weights
    )  # resampling may have chosen closed particles only
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
            raise ValueError(
                f"{len(moving)} particles moved, but their log-potentials have the shape "
                f"{potentials.shape}"
            )
        log_potentials[moving] = potentials
    return after, log_potentials


def movable(model: Hosted, particles: Particles, log_weights: np.ndarray) -> np.ndarray:
    """Return the slots whose particle is open and alive."""
    return np.array(
        [slot for slot in np.flatnonzero(log_weights > -np.inf) if model.open(particles[slot])],
        np.intp,
    )
