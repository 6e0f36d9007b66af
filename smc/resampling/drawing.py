"""Drawing by the schemes, for traced populations and for those on the host.

On the host a scheme is compiled once for each number of particles, and takes and returns NumPy
arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...aliases import Array, LogWeights, PRNGKey
from ..arrays import float64
from ..keys import IMPL, uniforms
from ..weights import log_sum_exp
from .chopthin import chopthin
from .conditional import CONDITIONAL
from .offspring import search
from .schemes import SCHEMES


def draw_ancestors(
    scheme: str, key: PRNGKey, probabilities: Array, first: Array | None = None
) -> Array:
    """Draw ancestors by the scheme of this name, shape (N,).

    Args:
        scheme: one of `SCHEMES`; of `CONDITIONAL` where `first` is given.
        key: a typed JAX random key; on the host its data, uint32, shape (2,).
        probabilities: shape (N,), summing to one.
        first: the ancestor of slot 0, given which the others are drawn.
    """
    if not isinstance(probabilities, jax.Array):
        return np.asarray(
            _compiled(scheme, first is not None)(
                key, probabilities, *(() if first is None else (first,))
            )
        )
    if first is None:
        return SCHEMES[scheme](key, probabilities)
    return CONDITIONAL[scheme](key, probabilities, first)


@cache
def _compiled(name: str, conditional: bool) -> Callable[..., Any]:
    """Compile the scheme for hosted populations, once for each number of particles."""
    scheme = (CONDITIONAL if conditional else SCHEMES)[name]
    return jax.jit(
        lambda key, *arguments: scheme(jax.random.wrap_key_data(key, impl=IMPL), *arguments)
    )


def draw_chopthin(key: PRNGKey, probabilities: Array) -> tuple[Array, Array]:
    """Draw ancestors by chopthin, and by how much the weight of each is divided, shapes (N,).

    Args:
        key: a typed JAX random key; on the host its data, uint32, shape (2,).
        probabilities: shape (N,), summing to one.
    """
    if isinstance(probabilities, jax.Array):
        return chopthin(key, probabilities)
    ancestors, spent = _compiled_chopthin(key, probabilities)
    return np.asarray(ancestors), np.asarray(spent)


def draw_slots(key: PRNGKey, slots: int, count: int) -> np.ndarray:
    """Draw `count` of the slots, spread evenly; each has the probability count / slots.

    Independent of what the schemes draw by the same key.

    Args:
        key: of the host, uint32, shape (2,).
        slots: N.
        count: from 1 to N.
    """
    points = np.arange(count) + float(_further_uniform(key))
    return np.minimum(points * slots / count, slots - 1).astype(np.intp)


@jax.jit
def _further_uniform(key: PRNGKey) -> Any:
    return uniforms(jax.random.fold_in(jax.random.wrap_key_data(key, impl=IMPL), 1))


@jax.jit
def _compiled_chopthin(key: PRNGKey, probabilities: Array) -> tuple[Array, Array]:
    return chopthin(jax.random.wrap_key_data(key, impl=IMPL), probabilities)


@jax.jit
def _chosen(key: PRNGKey, log_weights: LogWeights) -> Any:
    return pick(jax.random.wrap_key_data(key, impl=IMPL), log_weights)


def pick_at(uniform: float, log_weights: np.ndarray) -> int:
    """Return the index that a uniform number picks, by inversion of the cumulative weights.

    It is never one whose weight is zero.

    Args:
        uniform: in [0, 1).
        log_weights: on the host, shape (K,), normalised or not, not all minus infinity.

    Example:
        >>> pick_at(0.6, np.log([0.5, 0.25, 0.25]))
        1
    """
    cumulative = np.cumsum(np.exp(log_weights - log_weights.max()))
    return int(np.searchsorted(cumulative, uniform * cumulative[-1], side="right"))


def pick(key: PRNGKey, log_weights: Array) -> Any:
    """Draw one index in proportion to its weight; never one whose weight is zero.

    Args:
        key: a JAX random key; on the host its data, uint32, shape (2,).
        log_weights: shape (N,), normalised or not, not all minus infinity.
    """
    with float64():
        if isinstance(log_weights, np.ndarray):
            return int(_chosen(key, log_weights))
        return search(uniforms(key, 1), jnp.exp(log_weights - log_sum_exp(log_weights)))[0]
