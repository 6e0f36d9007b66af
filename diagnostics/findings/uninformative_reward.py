"""A reward model that tells nothing apart: its scores weigh all that was written alike."""

from __future__ import annotations

import numpy as np

from ...ppl.posterior.posterior import Posterior
from .acceptance import HIGH, mean_acceptance
from .finding import Finding

# of the particles: weights whose logarithm is spread by 0.1 nats leave exp(-0.1^2) of them
FLAT = 0.99
RANGE = 0.1  # nats: likewise, between the least and the greatest score of a step


def flat_reward(posterior: Posterior) -> Finding | None:
    """Different trajectories are scored, and yet the weights stay even, or the moves are nearly all accepted.

    Of weighted particles: the ESS stays above 0.99 N at every step, so that nothing was selected.
    Of chains the draws are selected, and may have one score for that very reason: the scores within
    each step must differ by less than 0.1 nats in their likelihood, and no fewer than 0.95 of the
    moves be accepted that the lengths of trajectories allow, min(1, tau / tau') on average.
    """
    scored = [rows for rows in _scores(posterior) if len(rows) > 1]
    if not scored:
        return None
    likelihoods = [
        rows if posterior.target.startswith("odds") else -np.logaddexp(0.0, -rows)
        for rows in scored
    ]
    even = (
        _even_weights(posterior)
        if not posterior.chains
        else _all_accepted(posterior) and max(map(_range, likelihoods)) < RANGE
    )
    if not even:
        return None
    # not where that is the target already
    odds = ", the target 'odds' where all probabilities are near 1"
    if posterior.target.startswith("odds"):
        odds = ""
    least, most = min(rows.min() for rows in scored), max(rows.max() for rows in scored)
    return Finding(
        "flat reward",
        f"different prefixes of one length are scored within {max(map(_range, scored)):.2g} of "
        f"one another (log-odds from {least:.2f} to "
        f"{most:.2f}), and "
        + (
            "no more moves were refused than for their lengths"
            if posterior.chains
            else "the ESS never fell below 0.99 of the particles"
        ),
        (
            "the weights carry nothing: the posterior is the language model's own distribution, "
            "and "
            "its answer a majority vote"
        ),
        (
            f"if the problem is not simply easy, declare a higher beta{odds}, or use another "
            "reward "
            "model"
        ),
    )


def _even_weights(posterior: Posterior) -> bool:
    history = posterior.history
    return (
        history is not None
        and len(history.ess) > 0
        and float(history.ess.min()) >= FLAT * history.ancestors.shape[1]
    )


def _all_accepted(posterior: Posterior) -> bool:
    told = mean_acceptance(posterior)
    lengths, counts = np.unique(
        [max(x.depth, 1) for x in posterior.trajectories], return_counts=True
    )
    allowed = counts @ np.minimum(1.0, lengths[:, None] / lengths) @ counts / counts.sum() ** 2
    return told is not None and told > HIGH * float(allowed)


def _scores(posterior: Posterior) -> list[np.ndarray]:
    """For each depth the log-odds of the different prefixes of that many steps."""
    by_depth: dict[int, dict[tuple[int, ...], float]] = {}
    for trajectory, log_odds in zip(posterior.trajectories, posterior.log_odds, strict=True):
        prefix: tuple[int, ...] = ()
        for node, value in zip(trajectory.path[1:], log_odds.tolist(), strict=False):
            prefix += node.step_token_ids
            by_depth.setdefault(node.depth, {})[prefix] = value
    return [np.array(list(found.values())) for _, found in sorted(by_depth.items())]


def _range(values: np.ndarray) -> float:
    least, most = float(values.min()), float(values.max())
    return 0.0 if least == most else most - least
