"""Random numbers that belong to slots.

Every slot of a batch has a JAX key, and the uniform that draws its j-th token is a function of that
key and of j alone: not of the batch it travels in, nor of the trajectory it extends. Uniforms come
in blocks of `BLOCK` tokens by `ROWS` slots, a jitted call each, whose shape never changes: nothing
is compiled twice.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from ..aliases import PRNGKey, PRNGKeys

BLOCK, ROWS = 64, 64  # tokens and slots of a call
CHOICE = BLOCK * (2**32 - 1)  # beyond all tokens: what chooses the component of a mixture
CHOICE_OF_MODEL = BLOCK * (2**32 - 2)  # and the language model, where components have their own


class SlotUniforms:
    """The uniforms of a batch of slots, made block by block as tokens are drawn.

    Args:
        keys: JAX random keys, shape (rows,), typed (`jax.random.key`) or raw uint32 (rows, 2).
        rows: how many slots there are.

    Raises:
        ValueError: `keys` is not one key a slot.
    """

    def __init__(self, keys: PRNGKeys, rows: int) -> None:
        self._keys = np.zeros((-(-rows // ROWS), ROWS, 2), np.uint32)
        self._keys.reshape(-1, 2)[:rows] = raw_keys(keys, rows)
        self._rows = rows
        self._block, self._values = -1, np.empty((rows, 0))

    def at(self, token: int) -> np.ndarray:
        """Draw uniforms in [0, 1) for token number `token` of the step.

        Float64 with 53 random bits, shape (N,).
        """
        block, offset = divmod(token, BLOCK)
        if block != self._block:
            self._block, self._values = block, self.block(block)
        return self._values[:, offset]

    def of(self, slots: np.ndarray) -> SlotUniforms:
        """Return the random numbers of some of the slots."""
        return SlotUniforms(self._keys.reshape(-1, 2)[slots], len(slots))

    def block(self, number: int) -> np.ndarray:
        """Draw the uniforms of all tokens of a block: shape (N, BLOCK)."""
        drawn = [np.asarray(_bits()(keys, np.uint32(number))) for keys in self._keys]
        words = np.concatenate(drawn)[: self._rows].astype(np.uint64)
        return ((words[..., 0] << 21) ^ (words[..., 1] >> 11)).astype(np.float64) * 2.0**-53


def raw_keys(keys: PRNGKeys, rows: int) -> np.ndarray:
    """Return the words of `rows` JAX keys, typed or raw: uint32 (rows, 2).

    Raises:
        ValueError: `keys` is not one key a row.
    """
    import jax

    if hasattr(keys, "dtype") and jax.dtypes.issubdtype(keys.dtype, jax.dtypes.prng_key):
        keys = jax.random.key_data(keys)
    raw = np.asarray(keys, np.uint32)
    if raw.shape != (rows, 2):
        raise ValueError(
            f"keys must hold one JAX random key for each of the {rows} trajectories, not an array "
            f"of shape {raw.shape}"
        )
    return raw


@cache
def _bits() -> Any:
    import jax

    def block_of(key: PRNGKey, block: np.uint32) -> Any:
        return jax.random.bits(
            jax.random.fold_in(jax.random.wrap_key_data(key, impl="threefry2x32"), block),
            (BLOCK, 2),
            "uint32",
        )

    return jax.jit(jax.vmap(block_of, in_axes=(0, None)))
