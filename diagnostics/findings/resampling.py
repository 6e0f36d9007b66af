"""A finding on a filter that never resampled: it was importance sampling."""

from __future__ import annotations

from ...ppl.posterior.posterior import Posterior
from .finding import Finding

LOST = 0.75  # of the particles: below that a quarter of them is lost to weights that never selected


def never_resampled(posterior: Posterior) -> Finding | None:
    """Find a filter whose weights became uneven, and that never resampled by them.

    Not asked of a filter whose settings forbid it, nor of independent draws or tempering.
    """
    history = posterior.history
    provenance = posterior.provenance
    if history is None or provenance.unit != "step" or provenance.independent:
        return None
    steps, slots = history.ancestors.shape
    if history.resampled.any() or not provenance.ess_threshold or steps < 2 or slots < 2:
        return None
    final = float(history.ess[-1])
    if final >= LOST * slots:
        return None
    return Finding(
        "never resampled",
        f"in {steps} steps the {slots} particles were never resampled, and are worth {final:.1f} "
        f"in the end (the threshold is {provenance.ess_threshold * slots:.1f})",
        (
            "the filter was importance sampling: what the reward model said early has not changed "
            "what was written later"
        ),
        (
            f"raise {provenance.remedies.threshold} if early scores can be believed; otherwise "
            "nothing is wrong"
        ),
    )
