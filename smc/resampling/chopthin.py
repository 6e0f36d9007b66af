"""Chopthin resampling: bounded weights instead of equal ones.

(Gandy and Lau 2016, *The chopthin algorithm for resampling*.)

Light particles are thinned, heavy ones chopped, and those in between stay as they are. With
normalised weights W_i, a ratio eta and the one threshold a that makes the sum N, particle i is
expected to have

    h_i = W_i / a           where W_i < a                  (thinned: offspring of weight a)
    h_i = 1                 where a <= W_i < eta a / 2     (kept, with its weight)
    h_i = 2 W_i / (eta a)   above                          (chopped: n_i >= 1 offspring share W_i)

offspring, drawn systematically, so that n_i is one of the two integers next to h_i. Every particle
passes on W_i in expectation, a heavy one exactly. Afterwards no weight is more than eta times
another, so that the effective sample size is at least 4 eta N / (1 + eta)^2: N / 2 at eta = 3 +
sqrt(8). More different particles are left than by schemes that make the weights equal.
"""

from __future__ import annotations

from math import sqrt

import jax
import jax.numpy as jnp

from ...aliases import PRNGKey, Weights
from ..arrays import in_float64
from ..keys import uniforms
from .schemes import systematic

NAME = "chopthin"
RATIO = 3 + sqrt(8)  # eta: the effective sample size is at least half of the number
HALVINGS = 60  # of an interval of length log(eta / 2): to the last bit


@in_float64
def chopthin(key: PRNGKey, weights: Weights, ratio: float = RATIO) -> tuple[jax.Array, jax.Array]:
    """Draw ancestors, and what each of them spends of its weight on one offspring.

    Args:
        key: one typed JAX key.
        weights: normalised, shape (N,).
        ratio: eta, at least 4: no weight is more than eta times another afterwards.

    Returns:
        Ancestors, int32, shape (N,), ascending; and by how much the weight of each is divided,
        float64, shape (N,): slot i has W_{A_i} / spent_i, which sum to 1 in expectation.

    Raises:
        ValueError: `ratio` is below 4.

    Example:
        >>> import jax
        >>> import numpy as np
        >>> weights = np.array([0.7, 0.1, 0.1, 0.1])
        >>> ancestors, spent = map(np.asarray, chopthin(jax.random.key(0), weights))
        >>> ancestors.tolist(), (weights[ancestors] / spent).round(3).tolist()
        ([0, 1, 2, 3], [0.7, 0.135, 0.135, 0.135])
    """
    return chopped_and_thinned(uniforms(key), weights, ratio)


@in_float64
def chopped_and_thinned(
    uniform: jax.Array, weights: Weights, ratio: float = RATIO
) -> tuple[jax.Array, jax.Array]:
    """Compute what `chopthin` returns, as a function of its only uniform, shape ()."""
    if not ratio >= 4:
        raise ValueError(f"ratio must be at least 4, not {ratio}")
    weights = jnp.asarray(weights).astype(jnp.float64)
    expected = expected_offspring(weights, ratio)
    ancestors = systematic(uniform, expected)
    counts = jnp.zeros(weights.shape, jnp.float64).at[ancestors].add(1.0)
    spent = jnp.where(expected < 1, jnp.where(weights > 0, expected, 1.0), counts)
    return ancestors, spent[ancestors]


def expected_offspring(weights: jax.Array, ratio: float) -> jax.Array:
    """Return h_i, shape (N,): zero for weights of zero.

    Their sum is N up to rounding. It falls as the threshold rises, is at least N at 2 / eta of the
    mean weight and at most N at the mean, and between them the threshold is found by bisection.
    """
    mean = jnp.mean(weights)

    def offspring(threshold: jax.Array) -> jax.Array:
        relative = weights / jnp.where(threshold > 0, threshold, 1.0)
        return jnp.minimum(relative, jnp.maximum(1.0, relative * (2 / ratio)))

    def halved(_: int, ends: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        low, high = ends
        middle = jnp.sqrt(low * high)
        enough = jnp.sum(offspring(middle)) >= weights.shape[0]
        return jnp.where(enough, middle, low), jnp.where(enough, high, middle)

    low, _ = jax.lax.fori_loop(0, HALVINGS, halved, (mean * (2 / ratio), mean))
    return offspring(low)
