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
from math import sqrt
from typing import NamedTuple

import numpy as np

M, KAPPA, NU, TAU2 = 0.0, 1.0, 1.0, 0.1
JEFFREYS = 0.5


class Moments(NamedTuple):
    """The scores of an arm, as far as a model needs to know them.

    Attributes:
        size: n, how many there are.
        total: their sum.
        squares: the sum of their squares.
    """

    size: float = 0
    total: float = 0.0
    squares: float = 0.0

    @property
    def spread(self) -> float:
        """The sum of squared distances from the mean."""
        return max(0.0, self.squares - self.total**2 / self.size) if self.size else 0.0


class Gaussian(NamedTuple):
    """Parameters of the Gaussian model: m, kappa, nu, tau^2."""

    m: float
    kappa: float
    nu: float
    tau2: float


def gaussian(scores: Moments) -> Gaussian:
    """Return the posterior's parameters.

    Example:
        >>> gaussian(Moments(1, 0.6, 0.36))
        Gaussian(m=0.3, kappa=2.0, nu=2.0, tau2=0.14)
    """
    n = scores.size
    kappa, nu = KAPPA + n, NU + n
    mean = scores.total / n if n else M
    shift = n * KAPPA / kappa * (M - mean) ** 2
    return Gaussian(
        (KAPPA * M + scores.total) / kappa, kappa, nu, (NU * TAU2 + scores.spread + shift) / nu
    )


def gaussian_mean(scores: Moments, random: np.random.Generator) -> float:
    """Draw the mean of an arm's scores from the Gaussian model."""
    m, kappa, nu, tau2 = gaussian(scores)
    return m + sqrt(tau2 / kappa) * float(random.standard_t(nu))


def beta_mean(scores: Moments, random: np.random.Generator) -> float:
    """Draw the mean of an arm's scores from the beta model."""
    lacking = scores.size - scores.total
    return float(random.beta(JEFFREYS + scores.total, JEFFREYS + lacking))


MEANS: dict[str, Callable[[Moments, np.random.Generator], float]] = {
    "gaussian": gaussian_mean,
    "beta": beta_mean,
}
