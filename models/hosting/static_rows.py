"""The rows of a batch in buffers of fixed shapes, which one compiled function can read.

A batch that decodes has n rows, p columns that all of them share, and w columns of their own; all
three change from token to token. Here each is padded to a power of two (columns to 64 of them at
least), so that the shapes of a run are few: at most as many as there are powers of two of each.
What is padding is masked: a column, by the mask of the forward pass; a row repeats the first one,
so that it holds numbers like any other, and nobody reads what comes of it.

All shapes lie in the same memory, one after the other: it is as large as the largest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from transformers import AttentionInterface, AttentionMaskInterface, Cache
from transformers.cache_utils import DynamicLayer

from .kv import Rows
from .shared_attention import mask_of, of_one_token
from .transfers import sent

NAME = "motes_static"
COLUMNS = 64  # the fewest columns of a shape

Sides = tuple[torch.Tensor, torch.Tensor]  # keys and values


def bucket(count: int, least: int = 1) -> int:
    """Return the power of two, times `least`, that holds so many.

    Example:
        >>> bucket(5), bucket(8), bucket(1, COLUMNS), bucket(65, COLUMNS)
        (8, 8, 64, 128)
    """
    return least << max(0, (count - 1) // least).bit_length()


def padded_bytes(columns: int, token: int, outputs: int) -> int:
    """Return the most bytes that a row takes in fixed shapes, besides those of a plain batch.

    Args:
        columns: of its own.
        token: bytes of the keys and values of one token.
        outputs: bytes of its outputs.

    Example:
        >>> padded_bytes(100, 4096, 1000) == 2 * (128 * 4096 + 1000)
        True
    """
    # rows are padded to twice as many at most
    return 2 * (bucket(columns, COLUMNS) * token + outputs)


class Shape(NamedTuple):
    """What a forward pass of one token a row depends on.

    Attributes:
        rows: of the batch.
        shared: columns of the prefix that is held once.
        own: columns of each row's own.
    """

    rows: int
    shared: int
    own: int


class _Layer(DynamicLayer):
    """One layer of a `Step`: writes in place, at a column that the device knows."""

    def __init__(self, keys: torch.Tensor, values: torch.Tensor, column: torch.Tensor) -> None:
        super().__init__()
        self.keys, self.values, self.column = keys, values, column
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> Sides:
        assert self.keys is not None
        assert self.values is not None
        self.keys.index_copy_(2, self.column, key_states)
        self.values.index_copy_(2, self.column, value_states)
        return self.keys, self.values

    def get_seq_length(self) -> int:
        raise ValueError(
            "this model asks how long its context is while it decodes: load it with "
            "decoding='plain'"
        )


class Step:
    """The tensors of one shape: what a forward pass reads, and where it writes.

    Attributes:
        shape: of all of them.
        ids, positions: int64 (rows, 1), of the tokens to read.
        mask: bool (rows, 1, 1, shared + own), true where a column holds a token.
        column: int64 (1,), of the rows' own columns the one to write to.
        own, shared: keys and values of each layer, [rows, heads, own, dim] and
            [heads, shared, dim].
        cache: the rows' own, as transformers takes it.
        read: runs the forward pass of this step: logits (rows, vocabulary). It is given the step,
            which does not hold itself: its memory must be free as soon as nobody uses it.
    """

    def __init__(
        self,
        shape: Shape,
        own: list[Sides],
        shared: list[Sides],
        read: Callable[[Step], torch.Tensor],
    ) -> None:
        device, rows = own[0][0].device, shape.rows
        self.shape, self.own, self.shared = shape, own, shared
        self.ids, self.positions = (
            torch.zeros(rows, 1, dtype=torch.int64, device=device) for _ in range(2)
        )
        self.mask = torch.zeros(
            rows, 1, 1, shape.shared + shape.own, dtype=torch.bool, device=device
        )
        self.column = torch.zeros(1, dtype=torch.int64, device=device)
        self.cache = Cache(layers=[_Layer(*sides, self.column) for sides in own])
        self.read = read


class StaticRows:
    """A batch of contexts that lies in the tensors of a `Step`, to which tokens are added.

    The next batch takes the same memory, so that nobody goes on from it later.

    Attributes:
        step: where it lies.
        count: rows in use; those behind them repeat the first.
        lengths: int64 (rows of the shape,), each row's number of tokens.
        columns: columns in use, of the shared prefix and of the rows' own.
        shared_columns: of these, of the prefix.
    """

    def __init__(
        self, step: Step, count: int, lengths: torch.Tensor, columns: int, shared_columns: int
    ) -> None:
        self.step, self.count, self.lengths = step, count, lengths
        self.columns, self.shared_columns = columns, shared_columns

    @property
    def height(self) -> int:
        """How many rows a forward pass computes."""
        return self.step.shape.rows

    def compacts(self, count: int) -> bool:
        """Return whether so many rows are computed in a smaller shape."""
        return bucket(count) < self.height

    def at(self, rows: np.ndarray, columns: np.ndarray) -> Sides:
        """Return keys and values at M (row, column) pairs: two tensors [layers, heads, M, dim]."""
        device = self.lengths.device
        row, column = (sent(index, device) for index in (rows, columns - self.shared_columns))
        keys, values = (
            torch.stack([sides[side][row, :, column].transpose(0, 1) for sides in self.step.own])
            for side in (0, 1)
        )
        return keys, values

    def add(self, tokens: torch.Tensor, alive: torch.Tensor) -> torch.Tensor:
        """Read one token a row (alive: 1 where it is one), and return the logits behind it."""
        step, own = self.step, self.columns - self.shared_columns
        alive, tokens = (padded(side, self.height) for side in (alive, tokens))
        step.mask[:, 0, 0, step.shape.shared + own] = alive.bool()
        self.lengths = self.lengths + alive
        step.positions[:, 0] = self.lengths - 1
        step.ids[:, 0] = tokens
        step.column.fill_(own)
        self.columns += 1
        return step.read(step)[: self.count]


def padded(side: torch.Tensor, rows: int) -> torch.Tensor:
    """Repeat the first row until there are so many."""
    return torch.cat([side, side[:1].expand(rows - len(side), *side.shape[1:])])


class Arena:
    """The memory of all shapes, and their steps.

    Args:
        heads: key-value heads a layer.
        layers: of the model.
        dims: the sizes of a key and of a value.
        dtype: of keys and values.
        device: where they lie.
        make: from a shape what runs its steps.
    """

    def __init__(
        self,
        *,
        layers: int,
        heads: int,
        dims: tuple[int, int],
        dtype: torch.dtype,
        device: torch.device,
        make: Callable[[Shape], Callable[[Step], torch.Tensor]],
    ) -> None:
        self.layers, self.heads, self.dims, self.make = layers, heads, dims, make
        self.dtype, self.device = dtype, device
        self.drop()

    def drop(self) -> None:
        """Give the memory back."""
        self._own, self._shared = (self._buffers(0) for _ in range(2))
        self._sizes = Shape(1, 0, 0)
        self._steps: dict[Shape, Step] = {}

    def placed(self, rows: Rows) -> StaticRows:
        """Copy a batch into the shape that holds it, with room for a token more."""
        shared, count = rows.shared_columns, len(rows.lengths)
        own = rows.columns - shared
        shape = Shape(bucket(count), bucket(shared, COLUMNS), bucket(own + 1, COLUMNS))
        step = self._step(shape)
        if rows.shared is not None:
            for layer, sides in enumerate(step.shared):
                for side, source in zip(sides, rows.shared, strict=True):
                    side.zero_()
                    side[:, :shared] = source[layer]
        for layer, sides in enumerate(step.own):
            for side, source in zip(sides, (rows.keys, rows.values), strict=True):
                _fill(side, source[layer, :, :, :own])
        step.mask.zero_()
        mask = padded(rows.mask.bool(), shape.rows)
        step.mask[:, 0, 0, :shared] = mask[:, :shared]
        step.mask[:, 0, 0, shape.shared : shape.shared + own] = mask[:, shared : rows.columns]
        return StaticRows(step, count, padded(rows.lengths, shape.rows), rows.columns, shared)

    def moved(self, rows: StaticRows, index: Sequence[int], *, more: int = 0) -> StaticRows:
        """Copy some rows into the shape that holds them, with room for `more` tokens more."""
        before, own = rows.step, rows.columns - rows.shared_columns
        shape = Shape(
            bucket(len(index)),
            before.shape.shared,
            max(before.shape.own, bucket(own + more, COLUMNS)),
        )
        place = sent(list(index), self.device)
        step = self._step(shape)
        for source, target in zip(before.own, step.own, strict=True):
            for old, new in zip(source, target, strict=True):
                # a copy, since both lie in the same memory
                _fill(new, old[:, :, :own].index_select(0, place))
        mask = padded(before.mask.index_select(0, place), shape.rows)
        step.mask.zero_()
        step.mask[..., : mask.shape[-1]] = mask
        lengths = padded(rows.lengths.index_select(0, place), shape.rows)
        return StaticRows(step, len(index), lengths, rows.columns, rows.shared_columns)

    def _step(self, shape: Shape) -> Step:
        cells, columns = shape.rows * shape.own, shape.shared
        if cells > self._sizes.rows * self._sizes.own:
            self._own, self._sizes = self._buffers(cells), self._sizes._replace(own=cells)
            self._steps.clear()
        if columns > self._sizes.shared:
            self._shared = self._buffers(columns)
            self._sizes = self._sizes._replace(shared=columns)
            self._steps.clear()
        if shape not in self._steps:
            own = [self._views(sides, shape.rows, shape.own) for sides in self._own]
            # of a single row, and without that dimension
            shared = [self._views(sides, 1, shape.shared) for sides in self._shared]
            prefix = [(keys[0], values[0]) for keys, values in shared]
            self._steps[shape] = Step(shape, own, prefix, self.make(shape))
        return self._steps[shape]

    def _buffers(self, cells: int) -> list[Sides]:
        keys, values = self.dims
        return [
            (self._zeros(cells * keys), self._zeros(cells * values)) for _ in range(self.layers)
        ]

    def _zeros(self, size: int) -> torch.Tensor:
        return torch.zeros(self.heads * size, dtype=self.dtype, device=self.device)

    def _views(self, sides: Sides, rows: int, columns: int) -> Sides:
        keys, values = (
            side[: rows * self.heads * columns * dim].view(rows, self.heads, columns, dim)
            for side, dim in zip(sides, self.dims, strict=True)
        )
        return keys, values


def _fill(side: torch.Tensor, source: torch.Tensor) -> None:
    """Put rows and columns at the beginning of a buffer, and rows of padding behind them."""
    side.zero_()  # masked columns are multiplied with 0, and what is left of other rows may be NaN
    side[:, :, : source.shape[2]] = padded(source, len(side))


def attend(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor,
    *,
    motes_shared: list[Sides],
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Attend to the shared prefix and to the rows' own, as transformers asks."""
    shared = motes_shared[module.layer_idx]
    scaling = options.get("scaling")
    return of_one_token(query, key, value, shared, attention_mask, scaling), None


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, mask_of)
