"""Arrays of two kinds, under one arithmetic.

A population lives in JAX arrays, where its model can be traced and compiled, or in NumPy arrays on
the host, where its particles are Python objects. Everything in `motes.smc` is written once and asks
`namespace` which of the two it was given.

Weights are float64 in both, whatever the user's JAX settings: a float32 sum of many weights misses
1 by more than the weights it sums. `float64` makes it so inside a traced function without touching
the model's own precision.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial, wraps
from typing import Any, ParamSpec, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from ..aliases import Array

P = TypeVar("P")
Q = ParamSpec("Q")
T = TypeVar("T")

float64 = partial(jax.enable_x64, True)
"""Open a context in which JAX computes in double precision.

It also works inside a function that is being traced.

(Not for what JAX lowers after the trace, by the user's setting: 64-bit random numbers, argmax, dot
products.)
"""


def in_float64(function: Callable[Q, T]) -> Callable[Q, T]:
    """Let `function` compute in float64 while it is called or traced.

    The user's setting is left alone.
    """

    @wraps(function)
    def wrapped(*args: Q.args, **kwargs: Q.kwargs) -> T:
        with float64():
            return function(*args, **kwargs)

    return wrapped


def namespace(array: object) -> Any:
    """Give the module whose functions work on this array: `numpy`, or `jax.numpy`."""
    return jnp if isinstance(array, jax.Array) else np


def objects(items: Iterable[Any]) -> np.ndarray:
    """Put Python objects into a one-dimensional object array.

    An object that is itself a sequence stays whole.
    """
    items = list(items)
    return np.fromiter(items, object, len(items))


def take(particles: P, indices: Array) -> P:
    """Take the particles at these places, in this order.

    Leaves are indexed along their first axis.
    """
    return jax.tree.map(lambda leaf: leaf[indices], particles)


def put(particles: P, index: int, particle: P) -> P:
    """Replace the particle at this place; array leaves keep their type."""

    def replaced(leaf: Array, value: object) -> Array:
        if not isinstance(leaf, np.ndarray):
            return leaf.at[index].set(value)
        leaf = leaf.copy()
        leaf[index] = value
        return leaf

    if isinstance(particles, np.ndarray):  # an object may look like a tree to JAX
        return replaced(particles, particle)
    return jax.tree.map(replaced, particles, particle)


def stack(generations: Iterable[P]) -> P:
    """Stack values of one structure along a new first axis on the host."""
    return jax.tree.map(
        lambda *leaves: np.stack([np.asarray(leaf) for leaf in leaves]), *generations
    )


def branch(condition: Array, yes: Callable[[], P], no: Callable[[], P]) -> P:
    """Call `yes()` where the condition holds, `no()` otherwise.

    On the host it is decided at once, in a trace by the device.
    """
    if isinstance(condition, jax.Array):
        return jax.lax.cond(condition, yes, no)
    return yes() if condition else no()
