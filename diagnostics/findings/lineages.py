"""Lineages: from how few of their first steps a filter's particles descend.

D_t is the number of particles of generation t from which those that are alive in the end descend
(`motes.smc.distinct_ancestors`), and E_t = 1 / sum_a W_t(a)^2 what they are worth, W_t(a) being the
final weight of all that descend from a. Both fall going back, whatever the weights: k multinomial
resamplings of N equal weights leave about N / (1 + k / 2) lineages (dn/dk = -n^2 / 2N; Kingman
1982). Where fewer are left, the weights did that. What the posterior says of the first t steps
rests on D_t draws, worth E_t.
"""

from __future__ import annotations

import numpy as np

from ...ppl.posterior.posterior import Posterior
from ...smc import History, lineages
from ..formatting import counted
from .finding import Finding

# an error estimated from fewer eves is itself uncertain by a third and more, 1 / sqrt(2 (eves - 1))
FEW = 6

ALONE = 1.25  # lineages: one has nine tenths of the weight
# of the particles; with equal weights it takes some 30 resamplings to leave so few, longer than
# most reasoning
REMNANT = 1 / 16
# of the lineages that equal weights leave: their number is itself uncertain by that where it is
# small
CHANCE = 0.5
COUNTED = 1e-6  # rounding: equal weights on 6 first steps are not few


def early_coalescence(posterior: Posterior) -> Finding | None:
    """Resampling has left one of a filter's first steps, or 1/16 of them at most, by weight."""
    history = posterior.history
    if history is None or not history.resampled[1:].any():
        return None
    left, distinct = _lineages(history)
    steps, slots = history.ancestors.shape
    most = max(ALONE, REMNANT * slots)
    # what is left of the final weights alone is no matter of lineages
    if left[1] > most or left[steps] <= most:
        return None
    last = max(t for t in range(1, steps) if left[t] <= most)
    word, one = posterior.provenance.unit, distinct[last] == 1
    noun = "chains" if posterior.genealogy is None else "particles"  # waste-free
    who = f"{'all' if one else 'the weight of the'} {distinct[steps]} living {noun} descend{'s' * (not one)} from"
    whom = "one" if one else f"{distinct[last]} (worth {left[last]:.1f} of equal weight)"
    chance = max(slots / (1 + int(history.resampled[last:].sum()) / 2), 1.0)
    hasty, worn = (
        "the weights decided before there was much to judge by",
        "so many resamplings leave little more by chance alone",
    )
    cause = hasty if left[last] < CHANCE * chance else worn
    remedies = posterior.provenance.remedies
    return Finding(
        "early coalescence",
        (
            f"{who} {whom} of the {slots} at {word} {last} of {steps}; as often resampled with "
            "equal "
            f"weights, some {chance:.0f} would be left"
        ),
        f"up to that {word} the posterior rests on {'a single draw' if one else 'these few'}: "
        f"{cause}" + ", and the standard errors are undefined" * (distinct[1] == 1),
        f"{remedies.more_draws}; {remedies.gentler}",
    )


def few_first_steps(posterior: Posterior) -> Finding | None:
    """The weight descends from one first step, from fewer than 6, or is spread as over fewer than 6: standard errors fail."""
    eves, living = posterior.eves, posterior.living_eves
    if eves is None or living is None:
        return None
    by_eve = np.bincount(eves, weights=np.exp(posterior.log_weights))
    effective = float(1 / (by_eve @ by_eve))
    if effective >= FEW - COUNTED:
        return None
    return Finding(
        "few first steps",
        (
            f"the weight of {len(eves)} particles descends from {counted(living, 'first step')}, "
            f"worth {effective:.1f} of equal weight"
        ),
        "standard errors are estimated from the differences between first steps, "
        + (
            "and there are none between one"
            if living < 2
            else "and from so few they are themselves uncertain by a third or more"
        ),
        (
            f"{posterior.provenance.remedies.more_particles}, or repeat the run with other seeds "
            "and "
            "look at how far the answers differ"
        ),
    )


def _lineages(history: History) -> tuple[np.ndarray, list[int]]:
    """For each generation the E_t and the D_t of the final weights, T + 1 of either."""
    weights = np.exp(history.log_weights[-1])
    held = [np.bincount(row, weights=weights) for row in lineages(history.ancestors)]
    return np.array([1 / (row @ row) for row in held]), [int((row > 0).sum()) for row in held]
