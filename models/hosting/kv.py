"""Keys and values: a pool that owns them token by token, and the rows of a forward pass.

`Pool` is one tensor of keys and one of values, ``[layers, heads, capacity, dim]``; whoever caches
tokens owns slot numbers in it, so that forking, dropping and reusing a prefix are operations on
indices. Slot 0 is never owned: it holds zeros, and stands where a row is padded on the left.

`Rows` is what the model sees: a transformers cache whose buffers are allocated ahead, so that a new
token is written in place instead of concatenating the past again. Rows are aligned on the right
edge of their context, padded on the left only (a hole inside a row would shift the window of
sliding-attention models), and every layer keeps its whole context, whatever its window: the mask
does the windowing.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any, NamedTuple
from weakref import ref

import numpy as np
import torch
from transformers import Cache, DynamicCache
from transformers.cache_utils import DynamicLayer

from ...aliases import Network
from .memory import out_of_memory
from .shared_attention import can_share
from .transfers import sent

SPARE = 32  # columns allocated ahead of need


class Pool:
    """Slots for the keys and values of tokens, on the model's device.

    Args:
        layers: number of attention layers.
        heads: key-value heads a layer.
        dims: the sizes of a key and of a value.
        dtype: of keys and values.
        device: where they live.
        budget: the most bytes that the pool may take.
        shares: whether what rows have in common is held once (see `shared_attention`).
    """

    def __init__(
        self,
        *,
        layers: int,
        heads: int,
        dims: tuple[int, int],
        dtype: torch.dtype,
        device: torch.device,
        budget: int,
        shares: bool = False,
    ) -> None:
        self.layers, self.heads, self.dims = layers, heads, dims
        self.dtype, self.device, self.shares = dtype, device, shares
        self.limit = max(0, budget // self.token_bytes)  # slots
        self.keys, self.values = (
            torch.zeros(layers, heads, 1, dim, dtype=dtype, device=device) for dim in dims
        )
        self._free: list[int] = []

    @property
    def token_bytes(self) -> int:
        """How many bytes the keys and values of one token take."""
        return self.layers * self.heads * sum(self.dims) * self.dtype.itemsize

    @property
    def owned(self) -> int:
        """How many slots are in use."""
        return self.keys.shape[2] - 1 - len(self._free)

    def take(self, count: int) -> np.ndarray | None:
        """Reserve `count` slots; None where the budget does not allow it."""
        if self.owned + count > self.limit:
            return None
        if count > len(self._free):
            self._grow(max(self.keys.shape[2], count - len(self._free)))
        # one by one: the garbage collector may release a dead node's slots at any point
        return np.array([self._free.pop() for _ in range(count)], dtype=np.int64)

    def release(self, slots: np.ndarray) -> None:
        """Give slots back."""
        self._free.extend(slots.tolist())

    def gather(self, slots: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the keys and values of a (rows, columns) table of slots.

        Two tensors [layers, rows, heads, columns, dim].
        """
        rows, columns = slots.shape
        flat = slots.reshape(-1)
        keys, values = (
            side.index_select(2, flat)
            .view(self.layers, self.heads, rows, columns, side.shape[3])
            .transpose(1, 2)
            for side in (self.keys, self.values)
        )
        return keys, values

    def write(self, slots: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Fill slots, shape (M,), from keys and values [layers, heads, M, dim]."""
        self.keys.index_copy_(2, slots, keys)
        self.values.index_copy_(2, slots, values)

    def _grow(self, more: int) -> None:
        size = self.keys.shape[2]
        more = min(more, self.limit + 1 - size)
        self.keys, self.values = (
            torch.cat(
                [
                    side,
                    torch.zeros(
                        self.layers,
                        self.heads,
                        more,
                        side.shape[3],
                        dtype=self.dtype,
                        device=self.device,
                    ),
                ],
                dim=2,
            )
            for side in (self.keys, self.values)
        )
        self._free.extend(reversed(range(size, size + more)))


class Shared(NamedTuple):
    """Keys and values of a prefix that all rows begin with: [layers, heads, columns, dim]."""

    keys: torch.Tensor
    values: torch.Tensor


class _RowLayer(DynamicLayer):
    """One layer of `Rows`: writes in place, into buffers that its owner keeps large enough.

    It does not keep its owner alive: memory must be free as soon as nobody reads a batch, not when
    Python next looks for circles.
    """

    def __init__(self, rows: Rows, index: int) -> None:
        super().__init__()
        self._rows, self._index, self._length = ref(rows), index, rows.columns
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        rows = self._rows()
        assert rows is not None  # whoever runs a forward pass holds them
        first = self._length - rows.shared_columns
        end = first + key_states.shape[2]
        keys, values = rows.keys[self._index], rows.values[self._index]
        keys[:, :, first:end] = key_states
        values[:, :, first:end] = value_states
        self._length += key_states.shape[2]
        rows.latest = self._index
        if key_states.device != keys.device:  # layers are spread over devices
            return keys[:, :, :end].to(key_states.device), values[:, :, :end].to(key_states.device)
        return keys[:, :, :end], values[:, :, :end]

    def get_seq_length(self) -> int:
        return self._length

    def follow(self, columns: int) -> None:
        """Hold so many columns, since its owner forgot some."""
        self._length = columns


class Rows(Cache):
    """A batch of right-aligned contexts that forward passes extend.

    Attributes:
        keys: [layers, rows, heads, width, dim], of what rows do not share.
        values: of the same shape.
        columns: columns in use: of the shared prefix, left padding, and tokens of the rows' own.
        mask: int64 (rows, shared columns + width), 1 where a column holds a token.
        lengths: int64 (rows,), each row's number of tokens, and so the position of its next one.
        shared: what all rows begin with, held once; None where the model cannot attend to it so.
        latest: the layer that was written last.
    """

    def __init__(
        self,
        keys: torch.Tensor,
        values: torch.Tensor,
        mask: torch.Tensor,
        lengths: torch.Tensor,
        columns: int,
        shared: Shared | None = None,
    ) -> None:
        self.keys, self.values, self.mask = keys, values, mask
        self.lengths, self.columns = lengths, columns
        self.shared, self.latest = shared, 0
        self._row_layers = [_RowLayer(self, i) for i in range(keys.shape[0])]
        super().__init__(layers=[*self._row_layers])

    @property
    def nbytes(self) -> int:
        """How many bytes the keys and values take."""
        return self.keys.nbytes + self.values.nbytes

    @property
    def height(self) -> int:
        """How many rows a forward pass computes."""
        return len(self.lengths)

    def compacts(self, count: int) -> bool:
        """Return whether so many rows are less work."""
        return count < self.height

    @classmethod
    def from_pool(cls, pool: Pool, contexts: Sequence[np.ndarray], *, room: int) -> Rows:
        """Gather contexts, each an array of slots in order of position.

        `room` more columns are allocated.
        """
        lengths = [len(context) for context in contexts]
        rows, common = len(contexts), common_length(contexts) if pool.shares else 0
        columns = max(lengths) - common
        table = np.zeros((rows, columns), dtype=np.int64)
        for row, context in enumerate(contexts):
            table[row, columns - (len(context) - common) :] = context[common:]
        width = columns + room + SPARE
        keys, values = (
            torch.empty(
                pool.layers, rows, pool.heads, width, dim, dtype=pool.dtype, device=pool.device
            )
            for dim in pool.dims
        )
        mask = torch.zeros(rows, common + width, dtype=torch.int64, device=pool.device)
        mask[:, :common] = 1
        if columns:
            slots = sent(table, pool.device)
            keys[:, :, :, :columns], values[:, :, :, :columns] = pool.gather(slots)
            mask[:, common : common + columns] = slots > 0
        shared = None
        if pool.shares:
            prefix = sent(contexts[0][None, :common], pool.device)
            shared = Shared(*(side[:, 0] for side in pool.gather(prefix)))
        counts = sent(lengths, pool.device)
        return cls(keys, values, mask, counts, common + columns, shared)

    @property
    def shared_columns(self) -> int:
        """How many columns all rows share."""
        return 0 if self.shared is None else self.shared.keys.shape[2]

    def shared_keys_and_values(self) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Return what is shared of the layer written last; None where nothing is."""
        if self.shared is None or not self.shared_columns:
            return None
        return self.shared.keys[self.latest], self.shared.values[self.latest]

    def select(self, rows: Sequence[int]) -> Rows:
        """Take these rows, in this order; a row may be taken several times or not at all."""
        if list(rows) == list(range(self.keys.shape[1])):
            return self
        if self.shared is not None and self.keys.shape[1] == 1:
            return self._forked(self.shared, len(rows))
        index = sent(list(rows), self.keys.device)
        keys, values = (side.index_select(1, index) for side in (self.keys, self.values))
        return Rows(
            keys,
            values,
            self.mask.index_select(0, index),
            self.lengths.index_select(0, index),
            self.columns,
            self.shared,
        )

    def _forked(self, shared: Shared, rows: int) -> Rows:
        """Return so many copies of a single row, which share all of it."""
        own = self.columns - shared.keys.shape[2]
        keys, values = (
            torch.cat([before, side[:, 0, :, :own]], dim=2)
            for before, side in zip(shared, (self.keys, self.values), strict=True)
        )
        own_keys, own_values = (
            side.new_empty(side.shape[0], rows, side.shape[2], SPARE, side.shape[4])
            for side in (self.keys, self.values)
        )
        mask = self.mask.new_zeros(rows, self.columns + SPARE)
        mask[:, : self.columns] = 1
        lengths = self.lengths.expand(rows).clone()
        return Rows(own_keys, own_values, mask, lengths, self.columns, Shared(keys, values))

    def advance(self, counts: torch.Tensor, width: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Make room for `width` more columns, of which row i's first counts[i] hold tokens.

        Returns:
            The attention mask (rows, columns + width) and the position ids (rows, width) of the
            next forward pass.
        """
        end = self.columns + width
        if end > self.mask.shape[1]:
            more = max(width, self.mask.shape[1] // 2)
            self.keys, self.values = (
                torch.nn.functional.pad(side, (0, 0, 0, more)) for side in (self.keys, self.values)
            )
            self.mask = torch.nn.functional.pad(self.mask, (0, more))
        offsets = torch.arange(width, device=self.mask.device)
        self.mask[:, self.columns : end] = offsets < counts[:, None]
        ends = self.lengths + counts
        # padding stays inside the model's context
        positions = torch.minimum(self.lengths[:, None] + offsets, (ends - 1)[:, None])
        self.lengths = ends
        self.columns = end
        return self.mask[:, :end], positions

    def retract(self, drops: np.ndarray) -> None:
        """Forget row i's last drops[i] columns, of tokens or of padding behind them.

        What is left is moved to the right edge, so that rows are padded on the left alone again.
        """
        least = int(drops.min())
        shared, end = self.shared_columns, self.columns - least
        shifts = drops - least
        if shifts.any():
            own = end - shared
            sources = np.arange(own) - shifts[:, None]
            index = sent(np.maximum(sources, 0), self.keys.device)
            for side in (self.keys, self.values):
                layers, _, heads, _, dim = side.shape
                spread = index[None, :, None, :, None].expand(layers, -1, heads, -1, dim)
                side[:, :, :, :own] = side.gather(3, spread)
            held = sent(sources >= 0, self.mask.device)
            self.mask[:, shared:end] = self.mask[:, shared:end].gather(1, index) * held
        self.lengths = self.mask[:, :end].sum(dim=1)
        self.columns = end
        for layer in self._row_layers:
            layer.follow(end)

    def at(self, rows: np.ndarray, columns: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Return keys and values at M (row, column) pairs: two tensors [layers, heads, M, dim]."""
        own = columns - self.shared_columns
        row, column = (sent(index, self.keys.device) for index in (rows, own))
        keys, values = (
            side[:, row, :, column].permute(1, 2, 0, 3) for side in (self.keys, self.values)
        )
        return keys, values


def make_pool(model: Network, *, budget: int) -> Pool:
    """Return a pool that fits a model, found out by one forward pass on one token.

    Raises:
        ValueError: some layer is not attention over one shared shape of keys and values (recurrent
            and hybrid models, shared or uneven layers, encoders), so that a prefix is not a set of
            tokens that can be forked.
    """
    layers = _layers_of(model)
    shapes = {
        (layer.keys.shape[1], layer.keys.shape[3], layer.values.shape[3])
        for layer in layers
        if _attends(layer)
    }
    if len(shapes) != 1 or not all(map(_attends, layers)):
        raise ValueError(_CANNOT_FORK.format(name=type(model).__name__))
    heads, key_dim, value_dim = shapes.pop()
    dtype = layers[0].keys.dtype
    return Pool(
        layers=len(layers),
        heads=heads,
        dims=(key_dim, value_dim),
        dtype=dtype,
        device=model.device,
        budget=budget,
        # a window counts columns, and between a shared prefix and a row's own tokens is padding
        shares=can_share(model) and not any(_has_window(layer) for layer in layers),
    )


_CANNOT_FORK = (
    "{name} cannot be hosted: motes forks prefixes token by token, which needs attention layers "
    "that all keep keys and values of one shape (recurrent and hybrid models and encoders do not)"
)


def cache_argument(model: Network) -> str:
    """Return what a model's forward pass calls its cache: transformers 5.24 renamed it.

    Example:
        >>> from types import SimpleNamespace
        >>> cache_argument(SimpleNamespace(forward=lambda input_ids, past_key_values=None: None))
        'past_key_values'
    """
    known = inspect.signature(model.forward).parameters
    return "cache" if "cache" in known else "past_key_values"


def _layers_of(model: Network) -> list[Any]:
    """Return the layers of a cache that has read one token."""
    try:
        probe = DynamicCache(config=model.config)
        with torch.no_grad():
            ids = torch.zeros(1, 1, dtype=torch.int64, device=model.device)
            model(input_ids=ids, use_cache=True, **{cache_argument(model): probe})
    # a model that takes no cache, or more than token ids, says so in its own way
    except Exception as error:
        if out_of_memory(error):
            raise
        raise ValueError(_CANNOT_FORK.format(name=type(model).__name__)) from error
    return list(probe.layers)


def _has_window(layer: Any) -> bool:
    return type(layer).__name__ != "DynamicLayer"


def common_length(contexts: Sequence[np.ndarray]) -> int:
    """Count the slots that all contexts begin with.

    Example:
        >>> common_length([np.array([4, 5, 6]), np.array([4, 5, 9, 8])])
        2
    """
    first, common = contexts[0], min(len(context) for context in contexts)
    for context in contexts[1:]:
        apart = np.flatnonzero(first[:common] != context[:common])
        common = int(apart[0]) if len(apart) else common
    return common


def _attends(layer: Any) -> bool:
    return (
        type(layer).__name__ in ("DynamicLayer", "DynamicSlidingWindowLayer")
        and layer.is_initialized
    )
