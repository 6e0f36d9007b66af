"""Findings on weights of which too few count.

N particles with normalised weights W_i are worth ESS = 1 / sum_i W_i^2 draws of equal weight (Kong,
Liu and Wong 1994). That is a figure of the weights there are: where none of the draws has found
what carries the target, they look even. Of independent draws the tail of the weights tells more, by
Pareto's k-hat; see `motes.smc.pareto_smooth`.
"""

from __future__ import annotations

from math import log10

import numpy as np

from ...ppl.posterior.posterior import Posterior
from ...smc import ess, pareto_smooth
from ..formatting import counted
from .finding import Finding

# draws: a probability of one half from so many independent ones has a standard error of 0.1
FEW = 25.0
# of the particles: filters resample below a half by default, so that less than half of that is left
# by one reweighing
SHARE = 0.25
HALF = 0.5  # of the weight: more than all others together; the ESS is then below 4
# Vehtari, Simpson, Gelman, Yao and Gabry (2024), with 1 - 1 / log10(S) where that is less
K_HAT = 0.7
# draws: with fewer, 1 - 1 / log10(S) is below 1/2, to which the prior of the fit draws k-hat
ENOUGH = 100


def degenerate(posterior: Posterior) -> Finding | None:
    """Find a final ESS that is small, both by itself and for the number of particles.

    Not asked of chains, whose draws weigh the same, nor of searches, whose weights are votes.
    """
    if posterior.chains or posterior.tree is not None:
        return None
    slots = len(posterior.log_weights)
    effective = float(ess(posterior.log_weights))
    if effective >= FEW or effective >= SHARE * slots:
        return None
    remedies = posterior.provenance.remedies
    return Finding(
        "degenerate weights",
        f"the {slots} particles are worth {effective:.1f} of equal weight in the end",
        (
            "so few draws leave a probability near one half uncertain by "
            f"{0.5 / effective**0.5:.2f} at best, whatever the number of particles"
        ),
        f"{remedies.more_draws}; or {remedies.gentler}",
    )


def one_heavy(posterior: Posterior) -> Finding | None:
    """Find one of several particles that has more weight than all others together.

    Not asked of searches, whose weights are votes: all of them may be for the best.
    """
    if posterior.tree is not None:
        return None
    weights = np.exp(posterior.log_weights)
    heaviest = int(np.argmax(weights))
    if posterior.chains or len(weights) < 2 or weights[heaviest] <= HALF:
        return None
    answer = "no answer" if posterior.labels[heaviest] is None else "its answer"
    remedies = posterior.provenance.remedies
    return Finding(
        "one heavy particle",
        f"one of {len(weights)} particles has {weights[heaviest]:.2f} of the weight",
        (
            f"{answer} is what this one draw happened to end with, and another seed may tell "
            "another story"
        ),
        f"{remedies.more_draws} and repeat the run with other seeds; or {remedies.gentler}",
    )


def heavy_tail(posterior: Posterior) -> Finding | None:
    """Find independent draws whose k-hat is above min(0.7, 1 - 1 / log10(S)).

    None where draws depend on one another, or are fewer than 100.
    """
    history = posterior.genealogy
    if history is None or history.resampled.any():
        return None
    living = int((posterior.log_weights > -np.inf).sum())
    if living < ENOUGH:
        return None
    slots = len(posterior.log_weights)
    k_hat = pareto_smooth(posterior.log_weights).k_hat
    most = min(K_HAT, 1 - 1 / log10(slots))
    if not k_hat > most:  # k-hat may be NaN
        return None
    return Finding(
        "heavy tail",
        (
            f"the tail of the {counted(slots, 'weight')} has Pareto k-hat {k_hat:.2f}, where "
            f"{most:.2f} at most is wanted"
        ),
        (
            "their variance is infinite or nearly so: estimates converge slowly, and their "
            "standard errors and the ESS are too hopeful"
        ),
        f"draw from something nearer to the target: {posterior.provenance.remedies.gentler}",
    )
