"""The exact law of a stopping rule that looks at counts, by dynamic programming over counts.

Independent of how rules are run: no solution is drawn, and a state is how often each answer came.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

Counts: TypeAlias = tuple[int, ...]


def exact_law(
    stops: Callable[[Counts], bool], probabilities: Sequence[float], most: int
) -> dict[tuple[int, int, bool], float]:
    """P(the run ends after n solutions, with the answer k, stopped by the rule or not).

    A tie at the end is shared equally among the answers that lead.
    """
    states: dict[Counts, float] = {(0,) * len(probabilities): 1.0}
    law: dict[tuple[int, int, bool], float] = defaultdict(float)
    for n in range(1, most + 1):
        after: dict[Counts, float] = defaultdict(float)
        for counts, mass in states.items():
            for k, probability in enumerate(probabilities):
                following = (*counts[:k], counts[k] + 1, *counts[k + 1 :])
                after[following] += mass * probability
        states = {}
        for counts, mass in after.items():
            stopped = stops(counts)
            if not stopped and n < most:
                states[counts] = mass
                continue
            leaders = np.flatnonzero(np.array(counts) == max(counts)).tolist()
            for k in leaders:
                law[n, k, stopped] += mass / len(leaders)
    return dict(law)
