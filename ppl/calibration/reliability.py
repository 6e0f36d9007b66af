"""When is a reward model right? A model of its reliability, in NumPyro.

A step at depth d of problem j that the reward model gives the log-odds l is right with probability

    r = fn + (1 - fp - fn) sigmoid(a + b l + c_d + u_j),    b > 0

the logistic calibration of Platt (1999; b alone is the inverse temperature of Guo et al. 2017),
with an effect of the depth and one of the problem,

    c_d = sigma_depth z_d,    u_j = sigma_problem z_j,    z ~ Normal(0, 1)

(written with z, *not centred*, because NUTS moves badly in the funnel of c given sigma;
Papaspiliopoulos, Roberts and Sköld 2007), and with two rates of error that no score abolishes, as
those of a diagnostic test (Rogan and Gladen 1978): fp, the false positive rate, is how often a step
is wrong of which the reward model is sure that it is right, and fn, the false negative rate, how
often one is right that it is sure is wrong. Log-odds beyond +-CLIP count as +-CLIP, infinite ones
included: by then r differs from its limit by less than exp(-15), if b is 1, and one odd score
cannot decide the slope.

The priors are weak: the reward model is taken at its word (a = 0, b = 1) up to a factor of e or so,
effects are of the order of 1 in log-odds, and the error rates are most likely small.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from ... import checks
from .labels import Labels

CLIP = 15.0
"""Log-odds beyond this, either way, count as this."""

POPULATION = (
    "intercept",
    "slope",
    "sigma_depth",
    "sigma_problem",
    "false_positive",
    "false_negative",
)
"""The parameters that belong to no single depth or problem."""

HIDDEN = ("false_positive_share", "depth_z", "problem_z")
"""Coordinates that the sampler moves in, and nobody asks for."""


@dataclass(frozen=True, kw_only=True)
class Priors:
    """What is believed of the reward model before any step is judged.

    Attributes:
        intercept: standard deviation of a, normal about 0.
        slope: standard deviation of log b, normal about 0.
        sigma_depth: scale of sigma_depth, half-normal.
        sigma_problem: scale of sigma_problem, half-normal.
        false_positive: parameters of the Beta distribution of fp / (1 - fn), so that fp + fn < 1.
        false_negative: parameters of the Beta distribution of fn.

    Raises:
        ValueError: an attribute is not positive and finite.
    """

    intercept: float = 1.5
    slope: float = 1.0
    sigma_depth: float = 1.0
    sigma_problem: float = 1.0
    false_positive: tuple[float, float] = (1.0, 9.0)
    false_negative: tuple[float, float] = (1.0, 9.0)

    def __post_init__(self) -> None:
        for name in ("intercept", "slope", "sigma_depth", "sigma_problem"):
            checks.settle(self, **{name: checks.positive(name, getattr(self, name))})
        for name in ("false_positive", "false_negative"):
            value = getattr(self, name)
            if not isinstance(value, tuple | list) or len(value) != 2:
                raise TypeError(
                    f"{name} must be the two parameters of a Beta distribution, "
                    f"not {checks.shown(value)}"
                )
            each = f"each parameter of {name}"
            checks.settle(self, **{name: tuple(checks.positive(each, part) for part in value)})


Beliefs = Mapping[str, Any]
"""The attributes of `Priors`, by name."""


class Data(NamedTuple):
    """What the reliability model is conditioned on; all of shape (n,).

    `right` is None to draw it.
    """

    log_odds: Any
    depth: Any
    problem: Any
    right: Any = None


class Sizes(NamedTuple):
    """How many depths and problems there are."""

    depths: int
    problems: int


def data(labels: Labels) -> tuple[Data, Sizes]:
    """Prepare the labels for the model: log-odds clipped, judgements as 0 and 1."""
    clipped = np.clip(labels.log_odds, -CLIP, CLIP)
    sizes = Sizes(len(labels.depths), len(labels.questions))
    return Data(clipped, labels.depth, labels.problem, labels.right.astype(np.int32)), sizes


@cache
def sized(sizes: Sizes) -> Callable[[Data, Beliefs], None]:
    """Give the reliability model of these sizes: one function for each, compiled once."""
    return lambda given, priors: reliability(given, sizes, priors)


def reliability(given: Data, sizes: Sizes, priors: Beliefs) -> None:
    """Define the reliability model, a NumPyro model whose observed site is "right".

    Args:
        given: the judged steps.
        sizes: how many effects there are.
        priors: the attributes of `Priors` by name; numbers, or traced, so that other priors need
            not be compiled anew.
    """
    import jax.numpy as jnp
    import numpyro
    from jax.scipy.special import expit
    from numpyro.distributions import Bernoulli, Beta, HalfNormal, LogNormal, Normal

    a = numpyro.sample("intercept", Normal(0.0, priors["intercept"]))
    b = numpyro.sample("slope", LogNormal(0.0, priors["slope"]))
    fn = numpyro.sample("false_negative", Beta(*priors["false_negative"]))
    fp = numpyro.deterministic(
        "false_positive",
        (1 - fn) * numpyro.sample("false_positive_share", Beta(*priors["false_positive"])),
    )
    effects = {}
    for name, size in (("depth", sizes.depths), ("problem", sizes.problems)):
        sigma = numpyro.sample(f"sigma_{name}", HalfNormal(priors[f"sigma_{name}"]))
        z = numpyro.sample(f"{name}_z", Normal(0.0, 1.0).expand([size]))
        effects[name] = numpyro.deterministic(f"{name}_effect", sigma * z)
    logit = (
        a + b * given.log_odds + effects["depth"][given.depth] + effects["problem"][given.problem]
    )
    # sums of positive terms, so that nothing cancels; `log_rates` does the same on the log scale,
    # which takes three times as long
    right, wrong = (
        rate + (1 - fp - fn) * expit(sign * logit) for rate, sign in ((fn, 1), (fp, -1))
    )
    numpyro.sample("right", Bernoulli(logits=jnp.log(right) - jnp.log(wrong)), obs=given.right)


def log_rates(
    logit: np.ndarray, false_positive: np.ndarray, false_negative: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Compute log r and log(1 - r), in nats, without cancellation or underflow.

    Args:
        logit: a + b l + c_d + u_j, any shape.
        false_positive: fp, a shape that fits.
        false_negative: fn, a shape that fits.
    """
    log_rest = np.log1p(-(false_positive + false_negative))
    log_right = np.logaddexp(np.log(false_negative), log_rest - np.logaddexp(0.0, -logit))
    log_wrong = np.logaddexp(np.log(false_positive), log_rest - np.logaddexp(0.0, logit))
    return log_right, log_wrong


def log_rates_of(labels: Labels, draws: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return log r and log(1 - r) of every judged step under every draw, shape (S, n) both.

    Args:
        labels: n judged steps.
        draws: by parameter, shape (S,), effects (S, D) and (S, J).
    """
    log_odds = np.clip(labels.log_odds, -CLIP, CLIP)
    logit = draws["intercept"][:, None] + draws["slope"][:, None] * log_odds
    logit += draws["depth_effect"][:, labels.depth] + draws["problem_effect"][:, labels.problem]
    return log_rates(logit, draws["false_positive"][:, None], draws["false_negative"][:, None])
