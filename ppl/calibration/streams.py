"""The random numbers of a calibration, all from one seed.

There is a key for the chains, one for replicated labels, one for what was never seen.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from scipy.special import ndtri


def chain_keys(seed: int, chains: int) -> Any:
    """Return one key a chain, shape (C,)."""
    return jax.random.split(_stream(seed, 0), chains)


def replicate_uniforms(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    """Return the uniform numbers that replicated labels are drawn with, float32."""
    return np.asarray(jax.random.uniform(_stream(seed, 1), shape, "float32"))


def unseen(seed: int, count: int, depth: int = 0) -> np.ndarray:
    """Draw standard normal numbers for a depth that was never seen, or (0) for a problem.

    Shape (count,).

    They are stratified: each by itself is standard normal, and together they fill the `count` equal
    parts of the distribution, one each, so that an average over them is nearly an average over all
    problems.
    """
    order_key, place_key = jax.random.split(jax.random.fold_in(_stream(seed, 2), depth))
    with jax.enable_x64(False):  # the same numbers whatever the user's setting is
        order = np.asarray(jax.random.permutation(order_key, count))
        places = np.asarray(jax.random.uniform(place_key, (count,)), np.float64)
    return ndtri((order + np.clip(places, 1e-6, 1 - 1e-6)) / count)


def _stream(seed: int, number: int) -> Any:
    return jax.random.fold_in(jax.random.key(seed), number)
