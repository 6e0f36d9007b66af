"""Findings on a proposal that is far from the prior, and on a part of one that draws nothing.

Steps drawn from a proposal q are weighed by p^alpha / q besides their likelihood. The ESS of these
ratios alone is what the proposal costs: for ratios with a normal logarithm of standard deviation s
it is exp(-s^2) of the draws, and the draws that are needed grow like exp of the Kullback-Leibler
divergence (Chatterjee and Diaconis 2018, doi:10.1214/17-AAP1326).

Of a mixture sum_j a_j q_j, component j drew a step with probability a_j q_j / q given what was
written. Under the mixture its mean is a_j, and under weights that favour nobody too.
"""

from __future__ import annotations

import numpy as np

from ...ppl.posterior.posterior import Posterior
from ...ppl.posterior.provenance import Drew
from ...smc import ess, normalise
from .finding import Finding

SHARE = 0.1  # of the draws: log p - log q spread by 1.5 nats, sqrt(log 10)

IDLE = 0.1  # of its weight in the mixture: nine tenths of what it draws is lost
EXPECTED_DRAWS = 5.0  # by weight; of Poisson counts with this mean one in 150 is 0


def far_proposal(posterior: Posterior) -> Finding | None:
    """Find that p^alpha / q over all trajectories has an ESS below a tenth of their number.

    Dead trajectories count. After resampling the trajectories are the survivors, which the ratio
    has already sorted: the spread is then understated. Not asked of chains and of tempered SMC,
    whose moves have led the trajectories away from the proposal.
    """
    if posterior.chains or posterior.provenance.unit == "rung":
        return None
    alpha = posterior.provenance.alpha
    log_p = np.array([x.logprob for x in posterior.trajectories], np.float64)
    log_q = np.array([x.proposal_logprob for x in posterior.trajectories], np.float64)
    if np.isnan(log_p).any() or not np.isfinite(log_p).any() or not np.isfinite(log_q).all():
        return None
    ratio = alpha * log_p - log_q
    effective = float(ess(normalise(ratio)[0]))
    if effective >= SHARE * len(ratio):
        return None
    spread = float(np.std(ratio[np.isfinite(ratio)]))
    if alpha == 1:
        power = ""
        change = (
            "choose a proposal nearer to the declared prior (its temperature above all), or "
            "declare the proposal as the prior"
        )
    else:
        power = f"^{alpha:g}"
        change = (
            "draw at a temperature near the prior's over alpha, as sampler='power_smc' does by "
            "itself"
        )
    return Finding(
        "far proposal",
        f"of {len(ratio)} trajectories drawn from the proposal, p{power} / q alone leaves "
        f"{effective:.1f} of equal weight (its logarithm is spread by {spread:.1f} nats)",
        (
            "most of what was written is unlikely where the target looks, before the reward model "
            "has said anything"
        ),
        change,
    )


def idle_component(posterior: Posterior) -> Finding | None:
    """Find a component of a mixture that drew less than a tenth of its weight of the result.

    Asked where at least five of the equally weighted draws would be its own. Not of chains and of
    tempered SMC, whose draws are not weighed by the proposal at their end.
    """
    if posterior.chains or posterior.provenance.unit == "rung":
        return None
    effective = float(ess(normalise(posterior.log_weights)[0]))
    idle = [
        drew
        for drew in posterior.provenance.drew
        if drew.share < IDLE * drew.weight and drew.weight * effective >= EXPECTED_DRAWS
    ]
    if not idle:
        return None
    return Finding(
        "idle component",
        f"{', '.join(map(_in_words, idle))} of the result",
        (
            "what it writes the target hardly looks for, and what it draws costs as much as what "
            "the others do"
        ),
        (
            "lower its weight in the mixture, or leave it out if another component can draw all "
            "that the prior can"
        ),
    )


def _in_words(drew: Drew) -> str:
    return f"{drew.component}, of weight {drew.weight:.2f}, drew {drew.share:.4f}"
