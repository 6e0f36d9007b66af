"""The numbers that a program has drawn besides its steps: mean, spread and weighted histogram."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
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
        mean, sd: over the trajectories that have drawn it, by weight; NaN where none has.
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
    """Describe the first `MOST` numbers, and count those left out."""
    weights = np.exp(posterior.log_weights)
    columns = islice(_columns(posterior), MOST)
    shown = [latent(name, values, weights) for name, values in columns]
    total = sum(prod(values.shape[1:]) for values in posterior.latents.values())
    return shown, total - len(shown)


def _columns(posterior: Posterior) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the name and the values, shape (N,), of each number; arrays are taken apart."""
    for site, values in posterior.latents.items():
        for place in np.ndindex(values.shape[1:]):
            name = site
            if values.ndim > 1:
                name += f"[{', '.join(map(str, place))}]"
            yield name, values[(slice(None), *place)]


def latent(name: str, values: np.ndarray, weights: np.ndarray) -> Latent:
    """Describe one number by its values and the trajectories' weights, both of shape (N,)."""
    present = np.isfinite(values) & (weights > 0)
    values = values[present].astype(np.float64)
    weights = weights[present]
    drawn = float(weights.sum())
    if not drawn:
        return Latent(name, np.nan, np.nan, 0.0, np.nan, np.nan, [])
    mean = float(np.average(values, weights=weights))
    sd = float(np.sqrt(np.average((values - mean) ** 2, weights=weights)))
    low = float(values.min())
    high = float(values.max())
    return Latent(name, mean, sd, drawn, low, high, _bars(values, weights))


def _bars(values: np.ndarray, weights: np.ndarray) -> list[tuple[float, float, float]]:
    """Bin values in bins of equal width; whole numbers get one each where there are few."""
    low = values.min()
    high = values.max()
    whole = bool(np.all(values == np.round(values))) and high - low < BINS
    if whole or low == high:
        edges = np.arange(low, high + 2) - 0.5
    else:
        edges = np.linspace(low, high, BINS + 1)
    heights = np.histogram(values, edges, weights=weights)[0]
    width = 1 / len(heights)
    return [
        (i * width, width, float(height))
        for i, height in enumerate(heights / heights.max())
        if height > 0
    ]
