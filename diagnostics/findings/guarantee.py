"""Findings on runs without a guarantee, and on draws that are copies."""

from __future__ import annotations

from ...ppl.posterior.posterior import Posterior
from ...ppl.posterior.provenance import Reason
from ..formatting import counted
from .finding import Finding

UNKNOWN = Reason(
    "its sampler promises nothing", "use one that states a guarantee (`motes samplers`)"
)


def no_guarantee(posterior: Posterior) -> Finding | None:
    """Find that the posterior is heuristic, with every reason that the run gives for it."""
    if posterior.guarantee != "heuristic":
        return None
    reasons = posterior.provenance.reasons or (UNKNOWN,)
    evidence = ", nor its log-evidence to that target's"
    if posterior.log_evidence is None:
        evidence = ", and it estimates no evidence"
    return Finding(
        "no guarantee",
        "the run is heuristic: " + "; ".join(reason.seen for reason in reasons),
        (
            "its weights do not converge to the declared target, however many particles there "
            f"are{evidence}"
        ),
        "; ".join(reason.change for reason in reasons),
    )


def copies(posterior: Posterior) -> Finding | None:
    """Find that the draws were copied from another posterior's: nothing shows how good those were.

    `motes.ppl.Posterior.resampled` makes such copies.
    """
    if not posterior.provenance.copies:
        return None
    distinct = counted(len(posterior.distinct), "trajectory", "trajectories")
    return Finding(
        "copies",
        (
            f"the {len(posterior.trajectories)} draws are copies of {distinct} of another "
            "posterior, drawn by weight"
        ),
        (
            "they weigh the same whatever the weights were before, and their number says nothing "
            "of precision"
        ),
        "check the posterior from which they were drawn",
    )
