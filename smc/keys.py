"""Random keys that belong to slots.

Everything random in a run comes from one `jax.random.key(seed)` and from *where* it happens:

    key(run, iteration, generation, slot)

where a run is one of several independent repetitions, an iteration one sweep of a chain of filters, a generation
one step of a filter and a slot a place in its population. Keys never belong to particles, which are copied
when they are resampled: two children of one parent sit in two slots and so draw independently. Resampling
has a stream of its own. Key data are made for all slots of a generation in one jitted call.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from operator import index
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

_IMPL = "threefry2x32"  # named, so that the user's global setting cannot change the bits
_MOVES, _RESAMPLING = 0, 1


@dataclass(frozen=True)
class RunKeys:
    """The keys of one run.

    Attributes:
        seed: in [0, 2**32).
        run: which of several independent runs with this seed.
        iteration: which sweep of the run.

    Raises:
        TypeError: the seed is not an integer.
        ValueError: the seed is out of range.
    """

    seed: int
    run: int = 0
    iteration: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.seed, bool) or not hasattr(self.seed, "__index__"):
            raise TypeError(f"seed must be an integer, not {self.seed!r}")
        if not 0 <= index(self.seed) < 2**32:
            raise ValueError(f"seed must lie in [0, 2**32), not {self.seed}")

    def moves(self, generation: int, slots: int, chosen: Sequence[int]) -> Any:
        """Keys of the chosen slots out of `slots` slots: JAX random keys, shape (len(chosen),)."""
        data = np.asarray(_slot_keys(*self._place(_MOVES, generation), slots))
        return jax.random.wrap_key_data(jnp.asarray(data[np.asarray(chosen, np.intp)]), impl=_IMPL)

    def resampling(self, generation: int) -> np.ndarray:
        """Key data for the resampling that precedes this generation's moves: uint32, shape (2,)."""
        return np.asarray(_slot_keys(*self._place(_RESAMPLING, generation), 1))[0]

    def _place(self, stream: int, generation: int) -> tuple[np.uint32, np.ndarray]:
        return np.uint32(index(self.seed)), np.array([stream, self.run, self.iteration, generation], np.uint32)


@partial(jax.jit, static_argnames="slots")
def _slot_keys(seed: Any, place: Any, slots: int) -> Any:
    """Key data of all slots at one place, uint32, shape (slots, 2)."""
    key = jax.random.key(seed, impl=_IMPL)
    for part in place:
        key = jax.random.fold_in(key, part)
    return jax.random.key_data(jax.vmap(partial(jax.random.fold_in, key))(jnp.arange(slots, dtype=jnp.uint32)))
