"""Random keys that belong to slots.

Everything random in a run comes from one `jax.random.key(seed)` and from *where* it happens:

    key(run, iteration, generation, slot)

where a run is one of several independent repetitions, an iteration one sweep of a chain of filters,
a generation one step of a filter and a slot a place in its population. Keys never belong to
particles, which are copied when they are resampled: two children of one parent sit in two slots and
so draw independently. Everything else that a generation draws has a stream of its own. Key data are
made for all slots of a generation in one jitted call.

A traced model draws a generation from one key, which `TracedKeys` folds out of the run's in the
same manner; islands and sweeps of a chain have streams of their own, from which their keys begin
anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, TypeAlias, cast

import jax
import jax.numpy as jnp
import numpy as np

from .. import checks
from ..aliases import Array, PRNGKey, PRNGKeys, Time
from .arrays import float64

IMPL = "threefry2x32"  # named, so that the user's global setting cannot change the bits
_MOVES, _RESAMPLING, _ANCESTOR, _CHOICE, _REJUVENATION, _ISLANDS, _SWEEPS, _CHAINS = range(8)
_ROWS = 64  # keys folded at a time
_SUB = 1 << 31  # where the numbers of keys' parts begin: tokens are drawn from the lower ones


@dataclass(frozen=True)
class RunKeys:
    """The keys of one run.

    Attributes:
        seed: in [0, 2**32).
        run: which of several independent runs with this seed.
        iteration: which sweep of the run.
        chain: which of several chains of the run; None for what is not chains.
        part: (first, slots) where the slots of a population are those from `first` on of a larger
            one, of `slots` slots: they draw what they draw there. None for a whole population.

    Raises:
        TypeError: the seed is not an integer.
        ValueError: the seed is out of range.

    Example:
        >>> keys = RunKeys(3)
        >>> keys.seed, keys.run
        (3, 0)
    """

    seed: int
    run: int = 0
    iteration: int = 0
    chain: int | None = None
    part: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        checks.settle(self, seed=checks.seed(self.seed))

    def moves(self, generation: int, slots: int, chosen: Sequence[int] | np.ndarray) -> Any:
        """Return the JAX keys of the chosen slots out of `slots` slots, shape (len(chosen),)."""
        return self._chosen(_MOVES, generation, slots, chosen)

    def rejuvenation(self, generation: int, slots: int, chosen: Sequence[int] | np.ndarray) -> Any:
        """Give the chosen slots' keys for rejuvenation before this generation's moves.

        JAX random keys, shape (len(chosen),).
        """
        return self._chosen(_REJUVENATION, generation, slots, chosen)

    def resampling(self, generation: int) -> np.ndarray:
        """Return key data for the resampling before this generation's moves: uint32, shape (2,)."""
        return self._single(_RESAMPLING, generation)

    def ancestor(self, generation: int) -> np.ndarray:
        """Give key data for drawing the reference's ancestor before this generation's moves.

        uint32, shape (2,).
        """
        return self._single(_ANCESTOR, generation)

    def choice(self, generation: int) -> np.ndarray:
        """Return key data for choosing among this generation's particles: uint32, shape (2,)."""
        return self._single(_CHOICE, generation)

    def _chosen(
        self, stream: int, generation: int, slots: int, chosen: Sequence[int] | np.ndarray
    ) -> Any:
        first, of = (0, slots) if self.part is None else self.part
        data = np.asarray(_slot_keys(*self._place(stream, generation), of))
        places = np.asarray(chosen, np.intp) + first
        return jax.random.wrap_key_data(jnp.asarray(data[places]), impl=IMPL)

    def _single(self, stream: int, generation: int) -> np.ndarray:
        return np.asarray(_slot_keys(*self._place(stream, generation), 1))[0]

    def _place(self, stream: int, generation: int) -> tuple[np.uint32, np.ndarray]:
        chain = () if self.chain is None else (_CHAINS, self.chain)
        return np.uint32(self.seed), np.array(
            [*chain, stream, self.run, self.iteration, generation], np.uint32
        )


Seed: TypeAlias = "int | RunKeys | jax.Array"
"""An integer in [0, 2**32), the `RunKeys` of a hosted model, or a traced model's JAX key."""


def hosted_keys(seed: Seed) -> RunKeys:
    """Make the keys of a hosted run. Raises as `RunKeys` does."""
    return seed if isinstance(seed, RunKeys) else RunKeys(cast("int", seed))  # which checks it


def traced_key(seed: Seed) -> jax.Array:
    """Make the key of a traced run. Raises as `RunKeys` does."""
    if isinstance(seed, jax.Array):
        return seed
    return jax.random.key(RunKeys(cast("int", seed)).seed, impl=IMPL)


class TracedKeys(NamedTuple):
    """The keys of one run of a traced model.

    Attributes:
        key: a typed JAX random key.

    Example:
        >>> import jax
        >>> keys = TracedKeys(jax.random.key(0))
        >>> type(keys).__name__
        'TracedKeys'
    """

    key: Any

    def moves(self, generation: Time) -> Any:
        """Give the key of a generation's draws; that of generation 0 is the initial kernel's."""
        return self._stream(_MOVES, generation)

    def resampling(self, generation: Time) -> Any:
        """Give the key of the resampling that precedes this generation's moves."""
        return self._stream(_RESAMPLING, generation)

    def rejuvenation(self, generation: Time) -> Any:
        """Give the key for rejuvenation before this generation's moves."""
        return self._stream(_REJUVENATION, generation)

    def ancestor(self, generation: Time) -> Any:
        """Give the key for drawing the reference's ancestor before this generation's moves."""
        return self._stream(_ANCESTOR, generation)

    def choice(self, generation: Time) -> Any:
        """Give the key for choosing among the particles of this generation."""
        return self._stream(_CHOICE, generation)

    def island(self, group: Array) -> TracedKeys:
        """Give the keys of one of several independent groups."""
        return TracedKeys(self._stream(_ISLANDS, group))

    def sweep(self, i: Array) -> TracedKeys:
        """Give the keys of one sweep of a chain; the run itself uses none of them."""
        return TracedKeys(self._stream(_SWEEPS, i))

    def _stream(self, stream: int, generation: Time) -> Any:
        return jax.random.fold_in(jax.random.fold_in(self.key, stream), generation)


def uniforms(key: PRNGKey, *shape: int) -> Any:
    """Draw uniform numbers in [0, 1): float64, multiples of 2**-53.

    May be traced, whatever the user's JAX precision.

    (A draw of 64 bits is lowered after the trace, by the user's setting, so these are put together
    from two of 32.)

    Args:
        key: a typed JAX random key.
        shape: of the result.
    """
    high, low = jax.random.bits(key, (2, *shape), np.uint32)
    with float64():
        return ((high >> 5).astype(np.float64) * 2**26 + (low >> 6).astype(np.float64)) * 2**-53


def subkeys(keys: PRNGKeys, part: int | Sequence[int], chosen: Sequence[int] | None = None) -> Any:
    """Make keys for one of several things that slots draw, each from its slot's key.

    They differ from the keys of tokens.

    Args:
        keys: typed JAX random keys, shape (N,).
        part: which of them, from 0 to 2**31 - 1; one for all, or one for each of those chosen.
        chosen: the slots that draw, one of them possibly several times; all of them where None.

    Returns:
        As many typed keys as are chosen.

    Example:
        >>> import jax
        >>> keys = jax.random.split(jax.random.key(0), 3)
        >>> subkeys(keys, 0).shape, subkeys(keys, 0, chosen=[2, 2]).shape
        ((3,), (2,))
    """
    data = np.asarray(jax.random.key_data(keys))
    data = data if chosen is None else data[np.asarray(chosen, np.intp)]
    rows = (
        max(1, -(-len(data) // _ROWS)) * _ROWS
    )  # in blocks of one size: nothing is compiled twice
    padded, parts = np.zeros((rows, 2), np.uint32), np.zeros(rows, np.uint32)
    padded[: len(data)], parts[: len(data)] = data, np.asarray(part, np.uint32) + np.uint32(_SUB)
    blocks = zip(padded.reshape(-1, _ROWS, 2), parts.reshape(-1, _ROWS), strict=True)
    folded = np.concatenate([np.asarray(_folded(*block)) for block in blocks])[: len(data)]
    return jax.random.wrap_key_data(jnp.asarray(folded), impl=IMPL)


@jax.jit
def _folded(rows: Array, parts: Array) -> Any:
    """Fold key data with a number each, uint32, shape (_ROWS, 2)."""
    return jax.random.key_data(
        jax.vmap(
            lambda row, part: jax.random.fold_in(jax.random.wrap_key_data(row, impl=IMPL), part)
        )(rows, parts)
    )


@partial(jax.jit, static_argnames="slots")
def _slot_keys(seed: Array, place: Array, slots: int) -> Any:
    """Return the key data of all slots at one place, uint32, shape (slots, 2)."""
    key = jax.random.key(seed, impl=IMPL)
    for part in place:
        key = jax.random.fold_in(key, part)
    return jax.random.key_data(
        jax.vmap(partial(jax.random.fold_in, key))(jnp.arange(slots, dtype=jnp.uint32))
    )
