"""A proposal far from the prior.

Steps drawn from a proposal q are weighed by p^alpha / q beside their likelihood. The ESS of these
ratios alone is what the proposal costs: for ratios with a normal logarithm of standard deviation s
it is exp(-s^2) of the draws, and the draws that are needed grow like exp of the Kullback-Leibler
divergence (Chatterjee and Diaconis 2018, doi:10.1214/17-AAP1326).
"""

from __future__ import annotations

import numpy as np

from ...ppl.posterior.posterior import Posterior
from ...smc import ess, normalise
from .finding import Finding

SHARE = 0.1  # of the draws: log p - log q spread by 1.5 nats, sqrt(log 10)


def far_proposal(posterior: Posterior) -> Finding | None:
    """The ESS of p^alpha / q over the trajectories, dead ones included, is below a tenth of their number.

    After resampling the trajectories are the survivors, which the ratio has already sorted: the
    spread is then understated. Not of chains and of tempered SMC, whose moves have led the
    trajectories away from the proposal.
    """
    alpha = posterior.provenance.alpha
    log_p = np.array([x.logprob for x in posterior.trajectories], np.float64)
    log_q = np.array([x.proposal_logprob for x in posterior.trajectories], np.float64)
    if (
        posterior.chains
        or posterior.provenance.unit == "rung"
        or np.isnan(log_p).any()
        or not np.isfinite(log_q).all()
        or not np.isfinite(log_p).any()
    ):
        return None
    ratio = alpha * log_p - log_q
    effective = float(ess(normalise(ratio)[0]))
    if effective >= SHARE * len(ratio):
        return None
    spread = float(np.std(ratio[np.isfinite(ratio)]))
    power = f"^{alpha:g}" if alpha != 1 else ""
    return Finding(
        "far proposal",
        f"of {len(ratio)} trajectories drawn from the proposal, p{power} / q alone leaves "
        f"{effective:.1f} of equal weight "
        f"(its logarithm is spread by {spread:.1f} nats)",
        (
            "most of what was written is unlikely where the target looks, before the reward model "
            "has "
            "said anything"
        ),
        "choose a proposal nearer to the declared prior (its temperature above all), or declare "
        "the proposal as the prior"
        if alpha == 1
        else "draw at a temperature near the prior's over alpha, as sampler='power_smc' does by itself",
    )
