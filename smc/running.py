"""Whole runs of a filter, and what is kept of them.

`run` takes a filter from its first particle to its last step, compiled where the model is traced,
and keeps what its caller wants kept (`motes.smc.collectors`). A filter inside a function of the
user's own that JAX traces, to vmap it over seeds for instance, is `scan`: it is pure, and what
`run` would raise stays in the evidence as NaN.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import numpy as np

from ..aliases import Array, PRNGKey
from .arrays import float64
from .collectors import Collector, Collectors, Recorder, traced
from .driver import State, advance, check_increment, start, steps
from .feynman_kac import FeynmanKac, Hosted
from .keys import RunKeys, Seed, TracedKeys, hosted_keys, traced_key
from .resampling import Resampling


class Run(NamedTuple):
    """A filter that has run.

    Attributes:
        state: its last state.
        log_increments: of the evidence, by step, in nats; shape (T,). Minus infinity from the step
            at which all died.
        collected: what the caller asked for, by name, NumPy arrays.

    Example:
        >>> import jax
        >>> from motes import smc
        >>> model = smc.Model(
        ...     initial=lambda key, slots: jax.random.normal(key, (slots,)),
        ...     move=lambda t, key, x: x + jax.random.normal(key, x.shape),
        ...     log_potential=lambda t, before, after: -0.5 * after**2,
        ...     density=lambda t, before, after: -0.5 * (after - before) ** 2,
        ... )
        >>> result = smc.run(model, seed=0, slots=100, steps=3)
        >>> type(result).__name__, result.state.log_weights.shape
        ('Run', (100,))
    """

    state: State
    log_increments: Array
    collected: dict[str, Any]

    @property
    def died_at(self) -> int | None:
        """The step at which the last particle died, the first being 1; None if some are alive."""
        died = np.flatnonzero(np.asarray(self.log_increments) == -np.inf)
        return int(died[0]) + 1 if len(died) else None


def scan(
    model: FeynmanKac[Any],
    key: PRNGKey,
    slots: int,
    steps: int,
    resampling: Resampling = Resampling(),
    collect: Collectors = MappingProxyType({}),
) -> Run:
    """Run a filter of a traced model inside a function that JAX traces: pure.

    Values at fault make the evidence NaN.

    Args:
        model: traced.
        key: a typed JAX random key.
        slots: N.
        steps: T.
        resampling: when and how.
        collect: collectors by name.

    Raises:
        ValueError: one of the model's functions returned another shape than it must.

    Example:
        >>> import jax
        >>> from motes import smc
        >>> model = smc.Model(
        ...     initial=lambda key, slots: jax.random.normal(key, (slots,)),
        ...     move=lambda t, key, x: x + jax.random.normal(key, x.shape),
        ...     log_potential=lambda t, before, after: -0.5 * after**2,
        ...     density=lambda t, before, after: -0.5 * (after - before) ** 2,
        ... )
        >>> state = scan(model, jax.random.key(0), 100, 3)
        >>> type(state).__name__
        'Run'
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
    seed: Seed,
    slots: int,
    steps: int | None = None,
    resampling: Resampling = Resampling(),
    collect: Collectors = MappingProxyType({}),
) -> Run:
    """Run a filter from its first particle to its last step.

    Args:
        model: traced or hosted. A traced one is compiled with everything it closes over, once for
            each model, N and T.
        seed: see `motes.smc.keys.Seed`.
        slots: N.
        steps: T; a hosted model may do without, and then runs until no living particle is open.
        resampling: when and how.
        collect: collectors by name.

    Raises:
        FloatingPointError: a potential is NaN, or plus infinity; the message names the
            step.
        ValueError: a traced model was given no number of steps, or one of its functions returned
            another shape than it must.
        TypeError: an argument is not of its kind.

    Example:
        >>> import jax
        >>> from motes import smc
        >>> model = smc.Model(
        ...     initial=lambda key, slots: jax.random.normal(key, (slots,)),
        ...     move=lambda t, key, x: x + jax.random.normal(key, x.shape),
        ...     log_potential=lambda t, before, after: -0.5 * after**2,
        ...     density=lambda t, before, after: -0.5 * (after - before) ** 2,
        ... )
        >>> result = run(model, seed=0, slots=100, steps=3)
        >>> result.state.particles.shape
        (100,)
    """
    if not isinstance(resampling, Resampling):
        raise TypeError(
            f"resampling must be a Resampling, such as Resampling('systematic'), not {resampling!r}"
        )
    if not isinstance(collect, Mapping):
        raise TypeError(f"collect must map names to collectors, not {collect!r}")
    if isinstance(model, Hosted):
        return _run_hosted(model, hosted_keys(seed), slots, steps, resampling, collect)
    if steps is None:
        raise ValueError(
            "steps must be given: a traced model does not say when it is over (a hosted one has a "
            "method `open`)"
        )
    finished = on_host(
        _compiled_scan(model, traced_key(seed), slots, steps, resampling, tuple(collect.items()))
    )
    for t, increment in enumerate(finished.log_increments.tolist(), 1):
        check_increment(increment, t, resampling)
    return finished


def on_host(finished: Run) -> Run:
    """Give the run with all but its particles in NumPy arrays.

    JAX is not at ease with float64 where the user has not enabled it.
    """
    state, log_increments, collected = finished
    state = State(state.particles, *(np.asarray(value) for value in state[1:]))
    return Run(state, np.asarray(log_increments), jax.tree.map(np.asarray, collected))


def _run_hosted(
    model: FeynmanKac[Any],
    keys: RunKeys,
    slots: int,
    count: int | None,
    resampling: Resampling,
    collect: Collectors,
) -> Run:
    state = start(model, keys, slots)
    recorder, increments = Recorder(collect, state), []
    for step in steps(model, state, keys, resampling, count):
        recorder.record(step)
        increments.append(step.log_increment)
        state = step.state
    return Run(state, np.array(increments, np.float64), recorder.collected())


@partial(jax.jit, static_argnums=(0, 2, 3, 4, 5))
def _compiled_scan(
    model: FeynmanKac[Any],
    key: PRNGKey,
    slots: int,
    steps: int,
    resampling: Resampling,
    collect: tuple[tuple[str, Collector], ...],
) -> Run:
    return scan(model, key, slots, steps, resampling, dict(collect))
