"""What an arm's scores may become, as adaptive branching draws it: Thompson sampling.

An arm has seen n scores. Its conjugate posterior is drawn from once, and the draw is of the *mean*
of its scores, not of another score:

    gaussian   sigma^2 ~ InvGamma(nu / 2, nu tau^2 / 2), mu ~ N(m, sigma^2 / kappa); so mu is
               Student's t with nu degrees of freedom at m with scale tau / sqrt(kappa). Before any
               score m = 0, kappa = 1, nu = 1, tau^2 = 0.1
    beta       the mean of scores in [0, 1] as a probability: Beta(1/2 + sum of scores, 1/2 + sum of
               what they lack to 1)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ...aliases import Array

M, KAPPA, NU, TAU2 = 0.0, 1.0, 1.0, 0.1
JEFFREYS = 0.5


class Moments(NamedTuple):
    """The scores of an arm, or of several as arrays, as far as a model needs to know them.

    Attributes:
        size: n, how many there are.
        total: their sum.
        squares: the sum of their squares.
    """

    size: Array = 0
    total: Array = 0.0
    squares: Array = 0.0

    @property
    def mean(self) -> Array:
        """Their mean; 0 where there are none."""
        return self.total / (self.size + (self.size == 0))

    @property
    def spread(self) -> Array:
        """The sum of squared distances from the mean."""
        return np.maximum(0.0, self.squares - self.total * self.mean)


class Gaussian(NamedTuple):
    """Parameters of the Gaussian model: m, kappa, nu, tau^2."""

    m: Array
    kappa: Array
    nu: Array
    tau2: Array


def gaussian(scores: Moments) -> Gaussian:
    """Return the posterior's parameters.

    Example:
        >>> [round(float(value), 6) for value in gaussian(Moments(1, 0.6, 0.36))]
        [0.3, 2.0, 2.0, 0.14]
    """
    n = scores.size
    kappa, nu = KAPPA + n, NU + n
    shift = n * KAPPA / kappa * (M - scores.mean) ** 2
    return Gaussian(
        (KAPPA * M + scores.total) / kappa, kappa, nu, (NU * TAU2 + scores.spread + shift) / nu
    )


def gaussian_mean(scores: Moments, random: np.random.Generator) -> Array:
    """Draw the mean of each arm's scores from the Gaussian model."""
    m, kappa, nu, tau2 = gaussian(scores)
    return m + np.sqrt(tau2 / kappa) * random.standard_t(nu)


def beta_mean(scores: Moments, random: np.random.Generator) -> Array:
    """Draw the mean of each arm's scores from the beta model."""
    lacking = scores.size - scores.total
    return random.beta(JEFFREYS + scores.total, JEFFREYS + lacking)


MEANS: dict[str, Callable[[Moments, np.random.Generator], Array]] = {
    "gaussian": gaussian_mean,
    "beta": beta_mean,
}
