"""Swaps of neighbouring replicas, and how far each replica has come by them.

Replica k follows gamma_k. Neighbours k and k + 1, at x and y, change places with probability

    min(1, gamma_k(y) gamma_k+1(x) / (gamma_k(x) gamma_k+1(y)))

which leaves the product of all gamma_k invariant (Geyer 1991). Pairs swap one after another, each
with the replicas that the pair before has left: even pairs and odd pairs in turn (Okabe et al.
2001; Syed et al. 2022), or all pairs in one ordered sweep, in which a replica can travel the whole
ladder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...ppl.interfaces import Declared, Reasoning


class Swaps(NamedTuple):
    """Replicas of C chains, K of each, after their swaps.

    Attributes:
        particles: C times K of them.
        places: for each chain, the place that the replica now at each place came from, shape
            (C, K).
        swaps: how many pairs swapped, summed over chains, shape (K - 1,).
        attempts: how many tried to, shape (K - 1,).
        chances: the sum of their probabilities to swap, shape (K - 1,).
    """

    particles: list[Reasoning]
    places: np.ndarray
    swaps: np.ndarray
    attempts: np.ndarray
    chances: np.ndarray


def swap_neighbours(
    models: Sequence[Declared],
    particles: Sequence[Reasoning],
    uniforms: np.ndarray,
    pairs: Sequence[int],
) -> Swaps:
    """Let pairs of neighbours try to swap, one pair after another.

    Args:
        models: the declared posterior of each of K replicas.
        particles: C times K, the replicas of a chain side by side; each of positive density.
        uniforms: numbers in [0, 1), shape (C K,).
        pairs: numbers k of the pairs (k, k + 1), in their order, none of them twice.
    """
    count = len(models)
    chains = len(particles) // count
    moved = list(particles)
    places = np.tile(np.arange(count), (chains, 1))
    swaps, attempts, chances = np.zeros((3, count - 1))
    for chain in range(chains):
        for k in pairs:
            row = chain * count + k
            chance = _chance(models[k], models[k + 1], moved[row], moved[row + 1])
            attempts[k] += 1
            chances[k] += chance
            if uniforms[row] < chance:
                moved[row], moved[row + 1] = moved[row + 1], moved[row]
                places[chain, [k, k + 1]] = places[chain, [k + 1, k]]
                swaps[k] += 1
    return Swaps(moved, places, swaps, attempts, chances)


def _chance(upper: Declared, lower: Declared, one: Reasoning, other: Reasoning) -> float:
    """Return the probability that the upper replica's `one` and the lower's `other` swap."""
    log_ratio = (
        upper.log_excess(other)
        + lower.log_excess(one)
        - upper.log_excess(one)
        - lower.log_excess(other)
    )
    return float(np.exp(min(log_ratio, 0.0)))


class Travels(NamedTuple):
    """Where the replicas of each chain come from and how far they got.

    Attributes:
        replica: which replica stands at each place, int64, shape (C, K).
        upward: whether it has been at the last place since it was at the first, bool, by replica,
            shape (C, K).
        visited: whether it has been at the first place at all, bool, by replica, shape (C, K).
    """

    replica: np.ndarray
    upward: np.ndarray
    visited: np.ndarray

    @classmethod
    def at_home(cls, chains: int, count: int) -> Travels:
        """Return the travels of replicas that have not swapped yet."""
        replica = np.tile(np.arange(count), (chains, 1))
        return cls(replica, np.zeros((chains, count), bool), replica == 0)

    def followed(self, places: np.ndarray) -> tuple[Travels, int]:
        """Follow the replicas through their swaps, and count those that made a round trip.

        A trip goes from the first place to the last and back.
        """
        replica = np.take_along_axis(self.replica, places, axis=1)
        upward, visited, rows = self.upward.copy(), self.visited.copy(), np.arange(len(replica))
        first, last = replica[:, 0], replica[:, -1]
        trips = int((upward[rows, first]).sum())
        upward[rows, first] = False
        visited[rows, first] = True
        upward[rows, last] = visited[rows, last]
        return Travels(replica, upward, visited), trips


def swap_tallies(acceptance: np.ndarray, swaps: Swaps, trips: int) -> dict[str, np.ndarray]:
    """Return what an iteration adds to the sums over iterations; see `swap_rates`."""
    return {
        "acceptance": acceptance,
        "swaps": swaps.swaps,
        "attempts": swaps.attempts,
        "round_trips": np.array(trips),
    }


def swap_rates(tallies: Mapping[str, np.ndarray], iterations: int) -> dict[str, Any]:
    """Return how replicas moved and swapped, from sums over iterations.

    A pair that never tried has the rate None.
    """
    with np.errstate(invalid="ignore"):
        swaps = tallies["swaps"] / tallies["attempts"]
    return {
        "acceptance": (tallies["acceptance"] / iterations).tolist(),
        "swap": [None if np.isnan(rate) else rate for rate in swaps.tolist()],
        "round_trips": int(tallies["round_trips"]),
    }
