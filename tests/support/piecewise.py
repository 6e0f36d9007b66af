"""Piecewise constant functions of a uniform number, integrated exactly. On the tests' path: see
pyproject.toml."""

from __future__ import annotations

import numpy as np

LAST = np.nextafter(1.0, 0.0)
"""The largest number below 1."""


def pieces(function, grid=32, batch=64):
    """Cut [0, 1) where a piecewise constant function jumps: lengths of the pieces, and its value on
    each.

    Between neighbours on a grid whose values differ more points are tried, `batch` of them at a
    time, into as many pieces as turn up. What could hide is a value that comes and goes between two
    neighbours; the schemes are monotone in each uniform, so there is none.
    """
    edges = np.append(np.arange(grid) / grid, LAST)
    values = _called(function, edges, batch)
    while True:
        differ = (values[1:] != values[:-1]).reshape(len(edges) - 1, -1).any(axis=1)
        gaps = np.diff(edges)
        jumps = np.flatnonzero(differ & (gaps > 2e-16))
        if not len(jumps):
            firsts = np.append(0, np.flatnonzero(differ[:-1]) + 1)
            return np.add.reduceat(gaps, firsts), values[firsts]
        each = max(1, batch // len(jumps))
        shares = np.arange(1, each + 1) / (each + 1)
        between = (edges[jumps, None] + gaps[jumps, None] * shares).ravel()
        edges, kept = np.unique(np.append(edges, between), return_index=True)
        values = np.concatenate([values, _called(function, between, batch)])[kept]


def _called(function, points, batch):
    """Call a function that is compiled for so many points at a time."""
    padded = np.append(points, np.zeros(-len(points) % batch))
    blocks = [function(padded[i : i + batch]) for i in range(0, len(padded), batch)]
    return np.concatenate(blocks)[: len(points)]
