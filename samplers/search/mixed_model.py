"""A mixed model of the scores below a node: each child a group, and one group that is to come.

    r = alpha_j + sigma_y eps,    alpha_j = mu + sigma_a z_j,    eps, z_j ~ N(0, 1)
    mu ~ N(0.5, 0.2^2),    sigma_a ~ HalfNormal(0.2),    sigma_y ~ HalfNormal(0.3)

Given the two scales everything is Gaussian, so mu and alpha integrate out in closed form, and the
posterior of the scales is summed over a grid. That is exact up to the grid, and takes a
millisecond; a draw is of all groups jointly, next scores with their noise included. Scales below
0.001 are not told apart: without a least one, equal scores in a group would make the posterior
improper.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .score_models import Moments

MEAN, MEAN_SCALE = 0.5, 0.2
GROUP_SCALE, NOISE_SCALE = 0.2, 0.3
POINTS = 64
SCALES = np.geomspace(1e-3, 1.5, POINTS)
GROUP_SCALES, NOISE_SCALES = SCALES[:, None], SCALES[None, :]
# log of the priors' densities times the widths of the cells, both up to a constant
LOG_PRIOR = (
    -0.5 * (GROUP_SCALES / GROUP_SCALE) ** 2
    - 0.5 * (NOISE_SCALES / NOISE_SCALE) ** 2
    + np.log(GROUP_SCALES * NOISE_SCALES)
)


def next_scores(groups: Sequence[Moments], random: np.random.Generator) -> np.ndarray:
    """Draw the next score of each group, and of a new one, from the posterior predictive.

    Args:
        groups: J of them, each with a score at least.
        random: from which it is drawn.

    Returns:
        float64, shape (J + 1,), the new group's last.

    Example:
        >>> import numpy as np
        >>> groups = [Moments(2, 1.6, 1.3), Moments(1, 0.2, 0.04)]
        >>> next_scores(groups, np.random.default_rng(0)).shape
        (3,)
    """
    counts = np.array([group.size for group in groups], np.float64)
    means = np.array([group.total for group in groups]) / counts
    spread = sum(group.spread for group in groups)
    log_weights, precision, centre = _posterior_of_scales(counts, means, spread)
    probs = np.exp(log_weights - log_weights.max()).ravel()
    place = np.unravel_index(random.choice(probs.size, p=probs / probs.sum()), log_weights.shape)
    group_scale, noise_scale = SCALES[place[0]], SCALES[place[1]]
    mu = random.normal(centre[place], precision[place] ** -0.5)
    own = 1 / group_scale**2 + counts / noise_scale**2
    alphas = (mu / group_scale**2 + counts * means / noise_scale**2) / own
    alphas = np.append(random.normal(alphas, own**-0.5), random.normal(mu, group_scale))
    return random.normal(alphas, noise_scale)


def _posterior_of_scales(
    counts: np.ndarray, means: np.ndarray, spread: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Integrate the means out, on the grid of scales.

    Args:
        counts: scores of each group, shape (J,).
        means: of each group, shape (J,).
        spread: the sum of squared distances of scores from their groups' means.

    Returns:
        The log-weights of the scales, up to a constant; and the precision and the centre of mu
        given each; all of shape (POINTS, POINTS).
    """
    variances = GROUP_SCALES[..., None] ** 2 + NOISE_SCALES[..., None] ** 2 / counts
    precision = MEAN_SCALE**-2 + (1 / variances).sum(-1)
    centre = (MEAN / MEAN_SCALE**2 + (means / variances).sum(-1)) / precision
    # mu integrated out of N(mu; MEAN, .) and of all N(means; mu, variances)
    between = ((means - centre[..., None]) ** 2 / variances).sum(-1)
    between += (MEAN - centre) ** 2 / MEAN_SCALE**2
    log_between = -0.5 * (between + np.log(variances).sum(-1) + np.log(precision))
    degrees = counts.sum() - len(counts)
    log_within = -degrees * np.log(NOISE_SCALES) - 0.5 * spread / NOISE_SCALES**2
    return LOG_PRIOR + log_between + log_within, precision, centre
