"""Piecewise constant functions of a uniform number, integrated exactly. On the tests' path: see
pyproject.toml."""

from __future__ import annotations

import numpy as np

LAST = np.nextafter(1.0, 0.0)
"""The largest number below 1."""


def pieces(function, grid=32, batch=16):
    """Cut [0, 1) where a piecewise constant function jumps: lengths of the pieces, and its value on
    each.

    Neighbours on a grid whose values differ are bisected, into as many pieces as turn up. What
    could hide is a value that comes and goes between two neighbours; the schemes are monotone in
    each uniform, so there is none.
    """
    edges = np.append(np.arange(grid) / grid, LAST)
    values = np.concatenate(
        [function(edges[i : i + batch]) for i in range(0, grid, batch)]
        + [function(np.full(batch, LAST))[:1]]
    )
    while True:
        differ = (values[1:] != values[:-1]).reshape(len(edges) - 1, -1).any(axis=1)
        jumps = np.flatnonzero(differ & (np.diff(edges) > 2e-16))
        if not len(jumps):
            firsts = np.append(0, np.flatnonzero(differ[:-1]) + 1)
            return np.add.reduceat(np.diff(edges), firsts), values[firsts]
        middles = (edges[jumps] + edges[jumps + 1]) / 2
        padded = np.append(middles, np.zeros(-len(middles) % batch))
        found = np.concatenate(
            [function(padded[i : i + batch]) for i in range(0, len(padded), batch)]
        )[: len(middles)]
        edges, values = (
            np.insert(edges, jumps + 1, middles),
            np.insert(values, jumps + 1, found, axis=0),
        )
