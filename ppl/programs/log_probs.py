"""Log-probabilities of what a program draws and observes."""

from __future__ import annotations

from math import inf, nan
from typing import Any

import numpy as np
from numpyro.distributions import Distribution, MaskedDistribution

from ...aliases import Array
from .execution import Draw
from .step_law import Step


def unmasked(fn: Distribution) -> Any:
    """Strip a distribution of its masks."""
    while isinstance(fn, MaskedDistribution):
        fn = fn.base_dist
    return fn


def log_prob_of(name: str, fn: Distribution, value: Array, scale: Array | None = None) -> float:
    """Return the log-probability of a site's value, in nats, summed over its parts.

    Raises:
        FloatingPointError: it is NaN, or plus infinity.
    """
    total: Any = fn.log_prob(value)
    if scale is not None or not isinstance(total, float):
        total = float(np.sum(np.asarray(total, np.float64) * (1.0 if scale is None else scale)))
    if not total < inf:  # true of NaN too
        raise FloatingPointError(
            f"the log-probability at site {name!r} is {total}: it must be a number below infinity"
        )
    return total


def log_prior(draw: Draw) -> float:
    """Compute log p of a draw, in nats; NaN where it is not known."""
    if isinstance(draw.fn, Step):
        return draw.fn.log_prob(draw.value)
    try:
        return nan if draw.fn is None else log_prob_of(draw.name, draw.fn, draw.value)
    except NotImplementedError:
        return nan
