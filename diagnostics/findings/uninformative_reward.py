"""A finding on a reward model whose scores do not distinguish what was written."""

from __future__ import annotations

import numpy as np

from ...log_odds import log_sigmoids
from ...ppl.posterior.posterior import Posterior
from .acceptance import HIGH, mean_acceptance
from .finding import Finding

# of the particles: weights whose logarithm is spread by 0.1 nats leave exp(-0.1^2) of them
FLAT = 0.99
RANGE = 0.1  # nats: between the least and the greatest score of a step, for the same reason


def flat_reward(posterior: Posterior) -> Finding | None:
    """Find that scores make no difference: weights stay even, or nearly all moves are accepted.

    Weighted particles: the ESS stays above 0.99 N at every step, so that nothing was selected.
    Chains: their draws have been selected, and may have one score for that very reason. So within
    each step the scores must differ by less than 0.1 nats in their likelihood, and of the moves
    that the lengths of trajectories allow, min(1, tau / tau') on average, more than 0.95 must have
    been accepted.
    """
    scored = [rows for rows in _scores(posterior) if len(rows) > 1]
    if not scored:
        return None
    if posterior.chains:
        flat = _all_accepted(posterior) and _likelihood_range(posterior, scored) < RANGE
        sign = "no more moves were refused than for their lengths"
    else:
        flat = _even_weights(posterior)
        sign = "the ESS never fell below 0.99 of the particles"
    if not flat:
        return None
    odds = ", the target 'odds' where all probabilities are near 1"
    if posterior.target.startswith("odds"):  # then it is the target already
        odds = ""
    least = min(rows.min() for rows in scored)
    most = max(rows.max() for rows in scored)
    widest = max(map(_range, scored))
    return Finding(
        "flat reward",
        f"different prefixes of one length are scored within {widest:.2g} of one another (log-odds "
        f"from {least:.2f} to {most:.2f}), and {sign}",
        (
            "the weights carry nothing: the posterior is the language model's own distribution, "
            "and its answer a majority vote"
        ),
        (
            f"if the problem is not simply easy, declare a higher beta{odds}, or use another "
            "reward model"
        ),
    )


def _likelihood_range(posterior: Posterior, scored: list[np.ndarray]) -> float:
    """Return the widest range of log-likelihoods within one depth, in nats."""
    if posterior.target.startswith("odds"):  # the log-likelihood is the log-odds itself
        return max(map(_range, scored))
    return max(_range(log_sigmoids(rows)) for rows in scored)


def _even_weights(posterior: Posterior) -> bool:
    """Say whether the weights stayed nearly equal at every step."""
    history = posterior.history
    if history is None or not len(history.ess):
        return False
    slots = history.ancestors.shape[1]
    return float(history.ess.min()) >= FLAT * slots


def _all_accepted(posterior: Posterior) -> bool:
    """Say whether moves were accepted nearly as often as the lengths of trajectories allow."""
    accepted = mean_acceptance(posterior)
    if accepted is None:
        return False
    depths = [max(x.depth, 1) for x in posterior.trajectories]
    lengths, counts = np.unique(depths, return_counts=True)
    ratios = np.minimum(1.0, lengths[:, None] / lengths)
    allowed = counts @ ratios @ counts / counts.sum() ** 2
    return accepted > HIGH * float(allowed)


def _scores(posterior: Posterior) -> list[np.ndarray]:
    """List the log-odds of the different prefixes of each depth."""
    by_depth: dict[int, dict[tuple[int, ...], float]] = {}
    for trajectory, log_odds in zip(posterior.trajectories, posterior.log_odds, strict=True):
        prefix: tuple[int, ...] = ()
        for node, value in zip(trajectory.path[1:], log_odds.tolist(), strict=False):
            prefix += node.step_token_ids
            by_depth.setdefault(node.depth, {})[prefix] = value
    return [np.array(list(scores.values())) for _, scores in sorted(by_depth.items())]


def _range(values: np.ndarray) -> float:
    """Return the distance between the least and the greatest value; 0 for equal infinite ones."""
    least = float(values.min())
    most = float(values.max())
    return 0.0 if least == most else most - least
