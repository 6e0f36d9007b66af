"""The arrays of a data tree: by chain and draw, padded where ragged, texts that can be kept."""

from __future__ import annotations

from collections.abc import Sequence
from math import nan
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .posterior import Posterior


def padded(
    rows: Sequence[Sequence[Any] | np.ndarray], width: int, fill: float | str = nan
) -> np.ndarray:
    """Fill ragged rows up, to shape (rows, width); float64, int64 or object, as `fill` is."""
    table = np.full((len(rows), width), fill, dtype=object if isinstance(fill, str) else None)
    for i, row in enumerate(rows):
        table[i, : len(row)] = row
    return table


def by_chain(posterior: Posterior, values: Sequence[Any] | np.ndarray) -> np.ndarray:
    """Arrange values of all trajectories, shape (N, ...), by chain and draw: (C, S, ...)."""
    values = np.asarray(values)
    return values.reshape(posterior.rows, len(values) // posterior.rows, *values.shape[1:])


def storable(text: str) -> str:
    """Return the text without what netCDF cannot hold: NUL and unpaired surrogates."""
    return text.replace("\0", "\u2400").encode("utf-8", "replace").decode("utf-8")


def text_array(texts: Sequence[str]) -> np.ndarray:
    """Return texts as an array of objects, each as it can be kept."""
    return np.array([storable(text) for text in texts], dtype=object)
