"""A finding on a reward model that contradicts its own later scores: the empirical Bellman error.

Let v(x_1:t) be the probability that the solution turns out right, given its first t steps. Then by
the tower rule

    v(x_1:t)  =  E[ v(x_1:t+1) | x_1:t ],      x_t+1 drawn from the prior,

and a reward model read as v should give a prefix the mean of what it gives that prefix's next
steps. This holds of a model of *final success* and of no other: a calibrated probability that step
t *by itself* is right may be 0.9 before steps at 0.5. So it is asked of runs under the target
"final", where the last score stands for the whole solution and the earlier ones for what is
expected of it, and where the caller says that success is what the scores mean.

Selection. What is left in the end is no fair sample of a prefix's next steps: those that scored low
have been resampled away, and the survivors' mean is too high. But a filter's history keeps the
weights of all particles of every generation, from which G_t, and from it the score, follows for
those too that left no descendants. Given a parent, its children are independent draws from the
prior, and whether it has several was decided by weights before they were drawn; so with m children
of mean score r-bar and variance s^2, and the parent's score r,

    e = (r-bar - r)^2 - s^2 / m,      E e = (E r-bar - r)^2,

without bias, and the e of all parents are uncorrelated under the tower rule. Children are counted
as drawn, equal ones too: to drop repetitions would favour what is rare. Used are the parents that
resampling has multiplied, of filters that draw from the prior and weigh by the score alone: with
another proposal, a twist or a rejuvenation the weights are something else.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ...log_odds import sigmoid
from ...ppl.posterior.posterior import Posterior
from ...smc import History
from .finding import Finding

# targets, at power 1 and without a constraint, whose weights give back the scores
READ = ("product", "odds", "final")
PARENTS = 10  # fewer do not tell their own spread
ERRORS = 3.0  # standard errors: one false alarm in some 700 runs
# root mean square, in probability: calibrated models are off by about as much at a single prefix
MATTERS = 0.1
UNSCORED = 1e-9  # nats, of log G: a closed particle has G = 1


def contradicted(posterior: Posterior, success: bool | None = None) -> Finding | None:
    """Find a Bellman error above 0.1 in probability and 3 standard errors above 0.

    Args:
        posterior: of the particle filter.
        success: whether the scores are probabilities of final success; None for what the target
            implies, which is so for "final" alone.
    """
    history = posterior.history
    if success is None:
        success = posterior.target == "final"
    if not success or posterior.target not in READ or history is None:
        return None
    if not posterior.provenance.plain_weights:
        return None
    families = np.array(list(_families(history, posterior.target)))
    if len(families) < PARENTS:
        return None
    excess = np.square(families[:, 0]) - families[:, 1]
    mean = float(excess.mean())
    error = float(excess.std(ddof=1)) / len(excess) ** 0.5
    if mean <= MATTERS**2 or mean <= ERRORS * error:
        return None
    drift = float(families[:, 0].mean())
    side = "higher" if drift > 0 else "lower"
    twice = ""
    if posterior.target != "final":
        target = repr(posterior.target)
        twice = f"; and the target {target} counts one and the same success at every step"
    return Finding(
        "contradicted scores",
        f"at {len(families)} prefixes that were continued several times the score is "
        f"{mean**0.5:.2f} off the mean score of the next steps (root mean square; these are {side} "
        f"by {abs(drift):.2f} on average)",
        "a probability of final success would equal that mean: the filter keeps what the next "
        f"step will not bear out{twice}",
        "calibrate the reward model, or weigh late (sampler='importance_sampling' or "
        "'tempered_smc'); if it judges each step by itself, this is no fault of its own, and the "
        "target to declare is 'product'",
    )


def _families(history: History, target: str) -> Iterator[tuple[float, float]]:
    """Yield r-bar - r and s^2 / m of each parent with several children."""
    slots = history.ancestors.shape[1]
    uniform = np.full(slots, -np.log(slots))
    weights = uniform
    scores = np.ones(slots)  # psi_0 is 1
    for t, ancestors in enumerate(history.ancestors):
        resampled = bool(history.resampled[t])
        log_g = _log_potential(history, t, uniform if resampled else weights)
        weights = history.log_weights[t]
        before = scores
        scores = _score(log_g, before[ancestors], target)
        if resampled and t > 0:
            for parent in np.unique(ancestors):
                children = np.flatnonzero(ancestors == parent)
                if len(children) > 1 and np.abs(log_g[children]).max() > UNSCORED:
                    yield (
                        float(scores[children].mean() - before[parent]),
                        float(scores[children].var(ddof=1) / len(children)),
                    )


def _log_potential(history: History, t: int, weights: np.ndarray) -> np.ndarray:
    """Recover log G of row t from the normalised log-weights that its particles had before it."""
    alive = weights > -np.inf
    change = history.log_weights[t] + history.log_increments[t] - np.where(alive, weights, 0.0)
    return np.where(alive, change, -np.inf)


def _score(log_g: np.ndarray, before: np.ndarray, target: str) -> np.ndarray:
    """Compute the score r_t from log G_t, as a probability.

    Under the target "final", G_t = psi_t / psi_t-1 with psi = 1 before the first step; this returns
    psi_t.
    """
    if target == "odds":
        return sigmoid(log_g)
    if target == "final":
        return np.exp(log_g) * before
    return np.exp(log_g)
