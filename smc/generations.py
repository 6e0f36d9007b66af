"""Every generation of a filter, and the paths that run through them.

A path is the line of descent of a particle: with ancestors A_1, ..., A_T it went through the slots

    s_T = i,   s_t-1 = A_t[s_t]

To keep every generation takes T N particles of memory; `motes.smc.PathStore` keeps only those that
have descendants.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from ..aliases import Array, PyTree
from .arrays import float64, stack, take
from .driver import State, Step, advance, movable, start
from .feynman_kac import FeynmanKac, Hosted
from .keys import RunKeys, TracedKeys
from .resampling import Resampling, pick
from .weights import log_sum_exp


class Generations(NamedTuple):
    """Every generation of a filter of N particles and T steps.

    Attributes:
        particles: of generations 0 to T, along a leading axis; leaves of shape (T + 1, N, ...).
        log_weights: normalised, float64, shape (T + 1, N).
        ancestors: shape (T, N).
        resampled: shape (T,).

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
        >>> kept = smc.generations(model, keys, 10, 3)
        >>> kept.particles.shape, kept.ancestors.shape
        ((4, 10), (3, 10))
    """

    particles: Any
    log_weights: Array
    ancestors: Array
    resampled: Array


def generations(
    model: FeynmanKac[Any],
    keys: RunKeys | TracedKeys,
    slots: int,
    steps: int | None = None,
    resampling: Resampling = Resampling(),
) -> Generations:
    """Run a filter and keep every generation.

    Args:
        model: traced, and then this may be traced too; or hosted.
        keys: of the run.
        slots: N.
        steps: T; None for a hosted model, which says itself when it is over.
        resampling: when and how.

    Raises:
        ValueError: the population is rejuvenated; or as `motes.smc.advance` does.
        FloatingPointError: as `motes.smc.advance` does, for a hosted model; in a trace the weights
            become NaN instead.

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
        >>> kept = generations(model, keys, 10, 3)
        >>> kept.particles.shape, kept.ancestors.shape
        ((4, 10), (3, 10))
    """
    check_paths(resampling)

    def step(state: State, context: None) -> tuple[Step, None]:
        return advance(model, state, keys, resampling), context

    return keep_all(model, start(model, keys, slots), None, step, steps)


def keep_all(
    model: FeynmanKac[Any],
    state: State,
    context: object,
    step: Callable[[State, Any], tuple[Step, Any]],
    length: int | None,
) -> Generations:
    """Collect the generations from `state` on, by `step`: (state, context) -> (step, context)."""
    if isinstance(model, Hosted):
        return _keep_hosted(model, state, context, step, length)

    def body(carry: PyTree, _: None) -> Any:
        happened, context = step(*carry)
        return (happened.state, context), _kept(happened)

    _, later = jax.lax.scan(body, (state, context), length=length)
    with float64():
        particles, log_weights = jax.tree.map(
            lambda one, rest: jnp.concatenate([one[None], rest]),
            (state.particles, state.log_weights),
            (later.particles, later.log_weights),
        )
    return later._replace(particles=particles, log_weights=log_weights)


def check_paths(resampling: Resampling) -> None:
    """Raise ValueError where ancestors would not tell where particles come from."""
    if resampling.rejuvenate is not None:
        raise ValueError(
            "paths cannot be traced through a population that is rejuvenated: ancestors do not "
            "tell of those moves"
        )


def draw_path(keys: RunKeys | TracedKeys, generations: Generations) -> tuple[Any, Array]:
    """Draw a path from the last generation by weight; also give its slots, shape (T + 1,).

    Raises:
        FloatingPointError: a weight is NaN, or all particles are dead; in a trace the path
            is arbitrary then.

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
        >>> drawn, slots = draw_path(keys, smc.generations(model, keys, 10, 3))
        >>> drawn.shape, slots.shape
        ((4,), (4,))
    """
    check_living(generations)
    last = pick(keys.choice(len(generations.ancestors)), generations.log_weights[-1])
    slots = lineage(generations.ancestors, last)
    return path(generations, slots), slots


def check_living(generations: Generations) -> None:
    """Raise FloatingPointError where the last weights leave no path to draw; a trace cannot."""
    if not isinstance(generations.log_weights, Tracer):
        total = log_sum_exp(np.asarray(generations.log_weights[-1]))
        if not np.isfinite(total):
            raise FloatingPointError(
                f"there is no path to draw: the last log-weights sum to {total}"
            )


def lineage(ancestors: Array, last: Array) -> Array:
    """Give the slots at generations 0 to T from which slot `last` descends, shape (T + 1,).

    Example:
        >>> import numpy as np
        >>> lineage(np.array([[0, 0, 2], [0, 1, 1]]), 2)
        array([0, 1, 2])
    """
    if isinstance(ancestors, np.ndarray):
        slots = [last]
        for row in ancestors[::-1]:
            slots.append(int(row[slots[-1]]))
        return np.array(slots[::-1], np.intp)
    first, rest = jax.lax.scan(
        lambda slot, row: (row[slot], slot), last.astype(ancestors.dtype), ancestors, reverse=True
    )
    return jnp.concatenate([first[None], rest])


def path(generations: Generations, slots: Array) -> Any:
    """Take the particles at these slots of generations 0 to T; leaves have shape (T + 1, ...).

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
        >>> kept = smc.generations(model, keys, 10, 3)
        >>> path(kept, jax.numpy.zeros(4, int)).shape
        (4,)
    """
    return take(generations.particles, (np.arange(len(slots)), slots))


def _kept(step: Step) -> Generations:
    return Generations(step.state.particles, step.state.log_weights, step.ancestors, step.resampled)


def _keep_hosted(
    model: Any,
    state: State,
    context: object,
    step: Callable[[State, Any], tuple[Step, Any]],
    length: int | None,
) -> Generations:
    slots = len(state.particles)
    populations = [state.particles]
    log_weights = [state.log_weights]
    kept = []
    while len(kept) != length and len(movable(model, state.particles, state.log_weights)):
        happened, context = step(state, context)
        state = happened.state
        populations.append(state.particles)
        log_weights.append(state.log_weights)
        kept.append(happened)
    ancestors = np.array([happened.ancestors for happened in kept], np.intp).reshape(-1, slots)
    return Generations(
        stack(populations),
        np.stack(log_weights),
        ancestors,
        np.array([happened.resampled for happened in kept], bool),
    )
