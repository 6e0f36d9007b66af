"""A finding on an uncertain evidence: the standard error of log Z-hat, estimated from one run.

See `motes.smc.variance`, which says when a run can give it.
"""

from __future__ import annotations

from ...ppl.posterior.posterior import Posterior
from ...smc import log_evidence_error
from .finding import Finding

# nats: Z is then known within a factor of 1.6; a single first step shows an error of 1, the largest
# that the estimate can be
ERROR = 0.5


def uncertain_evidence(posterior: Posterior) -> Finding | None:
    """Find a standard error of log Z-hat above 0.5 nats.

    Asked only of runs without resampling after the first step, or with multinomial resampling: for
    other schemes the estimate is useless. None also for one particle, and for one first step.
    """
    history = posterior.genealogy
    if history is None or posterior.log_evidence is None:
        return None
    if history.resampled[1:].any() and not posterior.provenance.resampled_freely:
        return None
    error = log_evidence_error(history, posterior.log_weights)
    if not error > ERROR:  # the error may be NaN
        return None
    remedies = posterior.provenance.remedies
    return Finding(
        "uncertain evidence",
        f"the log-evidence {posterior.log_evidence:.2f} has a standard error of {error:.2f} nats",
        (
            f"it is too low by some {error**2 / 2:.2f} nats on average, and models or runs "
            "compared by it may change places with the seed"
        ),
        f"{remedies.more_draws}; or {remedies.gentler}",
    )
