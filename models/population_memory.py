"""The memory that a population takes on the host, and a refusal of one that cannot fit.

Batches of a language model are halved where memory runs out, so that what a forward pass takes
bounds no population. What stays is each particle's trajectory: its nodes, with their texts, tokens
and scores.
"""

from __future__ import annotations

import re
from pathlib import Path

BYTES_OF_A_STEP = 1000  # of one trajectory's step: node, text, tokens, scores, places in caches
GIGABYTE = 1e9


class PopulationTooLarge(ValueError, MemoryError):
    """A population's trajectories would not fit into the memory that is free."""


def check_population(particles: int, steps: int) -> None:
    """Raise PopulationTooLarge where so many trajectories of so many steps cannot fit.

    Args:
        particles: trajectories at a time.
        steps: the most steps of each.

    Example:
        >>> check_population(16, 32)
        >>> try:
        ...     check_population(10**12, 32)
        ... except PopulationTooLarge as error:
        ...     print(str(error)[:80])
        1000000000000 particles of up to 32 steps need about 32000000.0 GB of memory, an
    """
    free = free_host_bytes()
    needed = particles * steps * BYTES_OF_A_STEP
    if free is None or needed <= free:
        return
    raise PopulationTooLarge(
        f"{particles} particles of up to {steps} steps need about {needed / GIGABYTE:.1f} GB of "
        "memory, and "
        f"{free / GIGABYTE:.1f} GB are free: choose at most {free // (steps * BYTES_OF_A_STEP)} "
        "particles, or fewer steps"
    )


def free_host_bytes() -> int | None:
    """Return how many bytes of memory this process can still take; None where that cannot be known.

    It is what the system says is available, or less where a control group sets a limit.
    """
    known = [amount for amount in (_available(), _left_in_group()) if amount is not None]
    return min(known, default=None)


def _available() -> int | None:
    """Return the bytes that Linux says are available."""
    try:
        text = Path("/proc/meminfo").read_text()
    except OSError:
        return None
    found = re.search(r"^MemAvailable:\s+(\d+) kB", text, re.MULTILINE)
    return int(found.group(1)) * 1024 if found else None


def _left_in_group() -> int | None:
    """Return the bytes left under the limit of this process's control group (version 2)."""
    folder = Path("/sys/fs/cgroup")
    try:
        limit = (folder / "memory.max").read_text().strip()
        used = int((folder / "memory.current").read_text())
        files = re.search(
            r"^inactive_file (\d+)", (folder / "memory.stat").read_text(), re.MULTILINE
        )
    except (OSError, ValueError):
        return None
    if limit == "max":
        return None
    return int(limit) - used + (int(files.group(1)) if files else 0)
