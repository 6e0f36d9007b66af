"""Memory: halving a batch that does not fit, and saying beforehand what cannot fit at all."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import torch

T = TypeVar("T")

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


def free_bytes(device: torch.device) -> int | None:
    """Return how many bytes of memory a device has free; None where that cannot be known.

    On the CPU it is what the system says is available, or less where a control group sets a limit.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    if device.type != "cpu":
        return None
    known = [amount for amount in (_available(), _left_in_group()) if amount is not None]
    return min(known, default=None)


def _available() -> int | None:
    """Return the bytes that Linux says are available."""
    try:
        found = re.search(
            r"^MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE
        )
    except OSError:
        return None
    return int(found.group(1)) * 1024 if found else None


def _left_in_group() -> int | None:
    """Return the bytes left under the limit of this process's control group (version 2)."""
    folder = Path("/sys/fs/cgroup")
    try:
        limit = (folder / "memory.max").read_text().strip()
        used = int((folder / "memory.current").read_text())
        cached = re.search(
            r"^inactive_file (\d+)", (folder / "memory.stat").read_text(), re.MULTILINE
        )
    except (OSError, ValueError):
        return None
    if limit == "max":
        return None
    return int(limit) - used + (int(cached.group(1)) if cached else 0)
