"""An uncertain evidence: the standard error of log Z-hat from one run, where the run can tell it (see `motes.smc.variance`)."""

from __future__ import annotations

from ...ppl.posterior.posterior import Posterior
from ...smc import log_evidence_error
from .finding import Finding

# nats: Z within a factor of 1.6 either way; the estimate cannot exceed 1, which is what a single
# first step shows
ERROR = 0.5


def uncertain_evidence(posterior: Posterior) -> Finding | None:
    """The standard error of log Z-hat is above 0.5 nats.

    Told only without resampling after the first step, or with multinomial resampling: for other
    schemes the estimate is useless. None for one particle too, and for one first step.
    """
    history = posterior.genealogy
    if history is None or posterior.log_evidence is None:
        return None
    if history.resampled[1:].any() and not posterior.provenance.resampled_freely:
        return None
    error = log_evidence_error(history, posterior.log_weights)
    if not error > ERROR:
        return None
    remedies = posterior.provenance.remedies
    return Finding(
        "uncertain evidence",
        f"the log-evidence {posterior.log_evidence:.2f} has a standard error of {error:.2f} nats",
        (
            f"it is too low by some {error**2 / 2:.2f} nats on average, and models or runs "
            "compared "
            "by it may change places with the seed"
        ),
        f"{remedies.more_draws}; or {remedies.gentler}",
    )
