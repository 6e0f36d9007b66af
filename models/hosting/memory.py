"""Halving a batch that does not fit into memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

from .tree_cache import CacheFullError

T = TypeVar("T")


def in_halves(run: Callable[[Sequence[int]], list[T]], rows: Sequence[int]) -> list[T]:
    """Run a batch; where memory runs out, run its halves one after the other.

    Args:
        run: computes one result for each row number it is given.
        rows: the row numbers.

    Returns:
        The results, in order.

    Raises:
        torch.OutOfMemoryError, CacheFullError: a single row does not fit.
    """
    try:
        return run(rows)
    except (torch.OutOfMemoryError, CacheFullError):
        if len(rows) == 1:
            raise
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    middle = len(rows) // 2
    return in_halves(run, rows[:middle]) + in_halves(run, rows[middle:])
