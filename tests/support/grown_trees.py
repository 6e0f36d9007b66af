"""Trees of steps of a hosted model, in which all kinds of nodes occur."""

from __future__ import annotations

from typing import Any

import jax

from motes.models import TorchLM, Trajectory

SHORT = "Ana has 7 pears. Ben has 5 more than Ana. How many pears does Ben have?"
OTHER = "How many pens has Ben?"


def keys(seed: int, rows: int) -> Any:
    return jax.random.split(jax.random.key(seed), rows)


def grown(lm: TorchLM) -> list[Trajectory]:
    """Siblings, forks, interior nodes, another question beside them, and what ends or is full."""
    first = lm.extend([lm.start(SHORT)] * 7, keys(0, 7))
    going = [x for x in first if x.open]
    # children of resampled nodes, of the root once more, and of another root
    second = lm.extend(
        [*going, *going[:2], lm.start(SHORT), lm.start(OTHER)], keys(1, len(going) + 4)
    )
    going = [x for x in [*second, *first] if x.open][:5]
    return [*first, *second, *lm.extend(going, keys(2, len(going)))]
