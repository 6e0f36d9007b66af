r"""How accuracy grows with tokens: a hierarchical model of right and wrong answers, in NumPyro.

Arm k is a sampler s at a budget that takes n_k tokens a problem (the mean over the problems and
runs). Each of its R runs on problem i is right with probability

    p_ik = ceiling_s sigmoid(level_s + slope_s x_k - difficulty_i - affinity_is)
    x_k  = log2 n_k - centre

    level_s       ~ Normal(mu_level, tau_level)                 log-odds at the centre
    slope_s       ~ Normal(mu_slope, tau_slope)                 log-odds per doubling of tokens
    ceiling_s     = sigmoid(Normal(mu_ceiling, tau_ceiling))    limit of accuracy in tokens
    difficulty_i  ~ Normal(0, sigma_difficulty)                 of a problem, for all arms
    affinity_is   ~ Normal(0, sigma_affinity)                   of a sampler for a problem

The centre is the mean of log2 n_k over arms. A slope may be 0 or less; accuracy tends to the
ceiling where it is positive. Affinities are there because a sampler that fails on a problem fails
at its other budgets too.

This is the four-parameter model of item response theory (Barton and Lord 1981) without guessing,
with tokens for ability. Samplers are pooled in part: those of which little is known are taken to be
like the others (Gelman and Hill 2007, chapter 11). Everything pooled is written with standard
normals, *not centred* (Papaspiliopoulos, Roberts and Sköld 2007). The accuracy on problems like
these is the average over both normals, a function of spread^2 = sigma_difficulty^2 +
sigma_affinity^2,

    accuracy_s(n) = ceiling_s E sigmoid(level_s + slope_s (log2 n - centre) - spread Z)
    Z             ~ Normal(0, 1)

What identifies it. Effects have mean 0, so that levels are those of a middling problem. An arm has
one x, from its mean over problems: the tokens of a single run would mix the budget's effect with
that of long problems, which are hard, and of rambling, which ends badly. Where accuracy stays flat,
or far below its ceiling, data do not tell a ceiling from a slope: there the priors speak about
either, but accuracy within the measured range is known all the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy.special import expit

from .. import checks
from ..aliases import Array

# of the quadrature: errors of accuracy below 1e-2 up to a spread of 10, 1e-3 up to 5, 1e-6 up to 2
NODES = 48
BY_SAMPLER = ("level", "slope", "ceiling")
POPULATION = (
    "mu_level",
    "tau_level",
    "mu_slope",
    "tau_slope",
    "mu_ceiling",
    "tau_ceiling",
    "sigma_difficulty",
    "sigma_affinity",
)
# coordinates that chains move in, and nobody asks for
HIDDEN = ("level_z", "slope_z", "ceiling_z", "difficulty_z", "affinity_z")


@dataclass(frozen=True, kw_only=True)
class Priors:
    """What is believed before anything is measured.

    All are weak: accuracies from 0.02 to 0.98, and slopes either way, are likely.

    Attributes:
        mu_level: standard deviation, about 0, of the samplers' mean log-odds at the centre.
        tau_level: scale, half-normal, of their standard deviation.
        mu_slope, tau_slope: the same of slopes, log-odds a doubling.
        mu_ceiling: mean and standard deviation of the samplers' mean ceiling, in log-odds.
        tau_ceiling: scale, half-normal, of the ceilings' standard deviation, in log-odds.
        sigma_difficulty: scale, half-normal, of the problems' standard deviation, in log-odds.
        sigma_affinity: the same of problems for one sampler.

    Raises:
        TypeError, ValueError: an attribute is no number, or not positive and finite (the ceiling's
            mean may be negative).

    Example:
        >>> Priors(sigma_difficulty=1.0).mu_level
        2.0
    """

    mu_level: float = 2.0
    tau_level: float = 1.0
    mu_slope: float = 0.5
    tau_slope: float = 0.25
    mu_ceiling: tuple[float, float] = (2.0, 1.5)
    tau_ceiling: float = 0.5
    sigma_difficulty: float = 2.0
    sigma_affinity: float = 1.0

    def __post_init__(self) -> None:
        for name in vars(self).keys() - {"mu_ceiling"}:
            checks.settle(self, **{name: checks.positive(name, getattr(self, name))})
        if not isinstance(self.mu_ceiling, tuple | list) or len(self.mu_ceiling) != 2:
            raise TypeError(
                "mu_ceiling must be a mean and a standard deviation, not "
                f"{checks.shown(self.mu_ceiling)}"
            )
        mean, deviation = self.mu_ceiling
        mu_ceiling = (
            checks.number("the mean of mu_ceiling", mean),
            checks.positive("the deviation of mu_ceiling", deviation),
        )
        checks.settle(self, mu_ceiling=mu_ceiling)


Beliefs = Mapping[str, Any]
"""The attributes of `Priors`, by name."""


class Data(NamedTuple):
    """What the model is conditioned on.

    Attributes:
        x: log2 of each arm's tokens, centred; shape (K,).
        sampler: 1 where an arm is of a sampler, 0 elsewhere; shape (K, S).
        right: how many of each arm's runs were right on each problem; shape (I, K).
        repeats: how many runs that were.
    """

    x: Any
    sampler: Any
    right: Any
    repeats: Any = 1


def scaling(given: Data, priors: Beliefs) -> None:
    """Define the model of accuracy against tokens, in NumPyro; its observed site is "right".

    Args:
        given: the arms, and what they got right.
        priors: the attributes of `Priors` by name; numbers, or traced, so that other priors need
            not be compiled anew.
    """
    import jax.numpy as jnp
    import numpyro
    from jax.nn import sigmoid
    from numpyro.distributions import Binomial, HalfNormal, Normal

    (problems, _), samplers = given.right.shape, given.sampler.shape[1]

    def normals(name: str, *shape: int) -> Any:
        return numpyro.sample(f"{name}_z", Normal(0.0, 1.0).expand(shape).to_event(len(shape)))

    def pooled(name: str, mean: Array, sd: Array) -> Any:
        mu = numpyro.sample(f"mu_{name}", Normal(mean, sd))
        tau = numpyro.sample(f"tau_{name}", HalfNormal(priors[f"tau_{name}"]))
        return mu + tau * normals(name, samplers)

    level = numpyro.deterministic("level", pooled("level", 0.0, priors["mu_level"]))
    slope = numpyro.deterministic("slope", pooled("slope", 0.0, priors["mu_slope"]))
    ceiling = numpyro.deterministic("ceiling", sigmoid(pooled("ceiling", *priors["mu_ceiling"])))
    sigma = {
        name: numpyro.sample(f"sigma_{name}", HalfNormal(priors[f"sigma_{name}"]))
        for name in ("difficulty", "affinity")
    }
    difficulty: Any = numpyro.deterministic(
        "difficulty", sigma["difficulty"] * normals("difficulty", problems)
    )
    affinity = sigma["affinity"] * normals("affinity", problems, samplers)

    of_arm = jnp.asarray(given.sampler)
    eta = of_arm @ level + (of_arm @ slope) * given.x - difficulty[:, None] - affinity @ of_arm.T
    probs = (of_arm @ ceiling) * sigmoid(eta)
    numpyro.sample("right", Binomial(given.repeats, probs).to_event(2), obs=given.right)


def accuracy(level: Array, slope: Array, ceiling: Array, spread: Array, x: Array) -> np.ndarray:
    """Return the accuracy on problems like these.

    Arguments of shapes that fit, x being log2 of tokens, centred.
    """
    return np.asarray(ceiling) * averaged(np.asarray(level) + np.asarray(slope) * x, spread)


def averaged(eta: Array, spread: Array) -> np.ndarray:
    """Return E sigmoid(eta + spread Z) over Z ~ Normal(0, 1), by Gauss-Hermite quadrature.

    The shapes of the arguments broadcast.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    total = np.zeros(np.broadcast_shapes(np.shape(eta), np.shape(spread)))
    for node, weight in zip(nodes, weights / weights.sum(), strict=True):
        total += weight * expit(eta + node * np.asarray(spread))
    return total


def needed(
    target: float, level: Array, slope: Array, ceiling: Array, spread: Array, least: Array
) -> np.ndarray:
    """Return the least x, of those from `least` on, at which the accuracy is `target` or more.

    Infinity where there is none.

    A slope of 0 or less reaches what it reaches at `least`. All of one shape, but for `target` and
    `least`.
    """
    share = target / np.asarray(ceiling, np.float64)
    low, high = np.full(share.shape, -BOUND), np.full(share.shape, BOUND)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        enough = averaged(middle, spread) >= share
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    with np.errstate(divide="ignore", invalid="ignore"):
        x = (high - np.asarray(level)) / slope
    rising = (np.asarray(slope) > 0) & (share < 1) & (high < BOUND)
    return np.where(
        accuracy(level, slope, ceiling, spread, least) >= target, least, np.where(rising, x, np.inf)
    )


# log-odds between which accuracy is looked for, and how often that is halved
BOUND, HALVINGS = 700.0, 60
