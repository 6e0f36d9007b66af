"""What a program has drawn beside its steps: the mean of each number, its spread, and its weighted histogram."""

from __future__ import annotations

from math import prod
from typing import NamedTuple

import numpy as np

from ...ppl.posterior.posterior import Posterior

BINS = 24
MOST = 24  # numbers that are shown


class Latent(NamedTuple):
    """One number that a program draws.

    Attributes:
        name: its site's, with its place in an array.
        mean, sd: over the trajectories that have drawn it, by weight; not a number where none has.
        drawn: the weight of those.
        low, high: the least and the greatest of positive weight; the histogram's ends.
        bars: for each bin where it begins, how wide it is and how much weight it holds, all as
            shares: of the range, of the range, and of the fullest bin.
    """

    name: str
    mean: float
    sd: float
    drawn: float
    low: float
    high: float
    bars: list[tuple[float, float, float]]


def latents(posterior: Posterior) -> tuple[list[Latent], int]:
    """The first ones of all numbers, and how many are left out."""
    columns = [
        (
            name if values.ndim == 1 else f"{name}[{', '.join(map(str, place))}]",
            values[(slice(None), *place)],
        )
        for name, values in posterior.latents.items()
        for place in np.ndindex(values.shape[1:])
    ]
    weights = np.exp(posterior.log_weights)
    total = sum(prod(values.shape[1:]) for values in posterior.latents.values())
    return [latent(name, values, weights) for name, values in columns[:MOST]], max(total - MOST, 0)


def latent(name: str, values: np.ndarray, weights: np.ndarray) -> Latent:
    """One of them, from its values and the weights of the trajectories, both of shape (N,)."""
    there = np.isfinite(values) & (weights > 0)
    values, weights = values[there].astype(np.float64), weights[there]
    drawn = float(weights.sum())
    if not drawn:
        return Latent(name, np.nan, np.nan, 0.0, np.nan, np.nan, [])
    mean = float(np.average(values, weights=weights))
    sd = float(np.sqrt(np.average((values - mean) ** 2, weights=weights)))
    low, high = float(values.min()), float(values.max())
    return Latent(name, mean, sd, drawn, low, high, _bars(values, weights))


def _bars(values: np.ndarray, weights: np.ndarray) -> list[tuple[float, float, float]]:
    """Bins of equal width; whole numbers get one each where there are few of them."""
    low, high = values.min(), values.max()
    whole = bool(np.all(values == np.round(values))) and high - low < BINS
    edges = (
        np.arange(low, high + 2) - 0.5 if whole or low == high else np.linspace(low, high, BINS + 1)
    )
    heights = np.histogram(values, edges, weights=weights)[0]
    width = 1 / len(heights)
    return [
        (i * width, width, float(height))
        for i, height in enumerate(heights / heights.max())
        if height > 0
    ]
