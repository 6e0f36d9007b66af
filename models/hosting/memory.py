"""Memory: halving a batch that does not fit, and saying beforehand what cannot fit at all."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

from ..population_memory import free_host_bytes

T = TypeVar("T")

COPIES = 3  # of a batch's rows at a time, where they are forked or their buffers grow
USED = 0.8  # of the free memory, the share that one batch may take
# How allocators of torch say that memory has run out, where they raise a plain RuntimeError.
_RAN_OUT = re.compile(
    r"can't allocate memory|not enough memory|out of memory|ALLOC_FAILED|bad_alloc", re.IGNORECASE
)


class CacheFullError(MemoryError):
    """The pool cannot hold the prefixes of one batch."""


def out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory has run out, on a GPU or on the CPU.

    Example:
        >>> said = "[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory"
        >>> out_of_memory(RuntimeError(said))
        True
        >>> out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
        False
    """
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and _RAN_OUT.search(str(error)) is not None


def in_halves(run: Callable[[Sequence[int]], list[T]], rows: Sequence[int]) -> list[T]:
    """Run a batch; where memory runs out, run its halves one after the other.

    Args:
        run: computes one result for each row number it is given.
        rows: the row numbers.

    Returns:
        The results, in order.

    Raises:
        MemoryError: a single row does not fit.
    """
    try:
        return run(rows)
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        if len(rows) == 1:
            raise _one_row_too_many(error) from error
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    middle = len(rows) // 2
    return in_halves(run, rows[:middle]) + in_halves(run, rows[middle:])


def _one_row_too_many(error: BaseException) -> MemoryError:
    if isinstance(error, CacheFullError):
        return error
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return MemoryError(
        f"memory ran out with a batch of one row ({reason}): choose a smaller model, dtype or "
        "cache_bytes"
    )


def in_batches(
    run: Callable[[Sequence[int]], list[T]],
    rows: Sequence[int],
    row_bytes: Sequence[int],
    device: torch.device,
) -> list[T]:
    """Run rows in batches whose estimate fits into the memory that is free, or in halves.

    On the CPU memory that runs out may end the process instead of raising, so that a batch too
    large must not even be tried.

    Args:
        run: computes one result for each row number it is given.
        rows: the row numbers.
        row_bytes: for each row, about how many bytes of keys, values and logits it takes.
        device: where they lie.

    Returns:
        The results, in order.

    Raises:
        MemoryError: a single row does not fit; the message has the figures.
    """
    free = free_bytes(device)
    results: list[T] = []
    batch: list[int] = []
    taken = 0
    for row, needed in zip(rows, row_bytes, strict=True):
        if free is not None and needed > COPIES * free:
            raise MemoryError(
                f"one row of a batch needs about {needed / COPIES / 1e9:.1f} GB of keys, values "
                "and logits, and "
                f"{free / 1e9:.1f} GB are free: choose a shorter prompt, shorter steps, or a "
                "smaller model"
            )
        if free is not None and batch and taken + needed > USED * free:
            results += in_halves(run, batch)
            batch, taken = [], 0
        batch.append(row)
        taken += needed
    return results + (in_halves(run, batch) if batch else [])


def free_bytes(device: torch.device) -> int | None:
    """Return how many bytes of memory a device has free; None where that cannot be known."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return free_host_bytes() if device.type == "cpu" else None
