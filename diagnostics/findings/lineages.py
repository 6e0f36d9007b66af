"""Findings on lineages: from how few of their first steps a filter's particles descend.

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
# of the particles; equal weights leave so few only after some 30 resamplings, which is longer than
# most reasoning
REMNANT = 1 / 16
# of the lineages that equal weights leave: where that number is small, it is uncertain by as much
CHANCE = 0.5
COUNTED = 1e-6  # rounding: equal weights on 6 first steps are not few


def early_coalescence(posterior: Posterior) -> Finding | None:
    """Find that resampling left one of a filter's first steps, or at most 1/16, by weight."""
    history = posterior.history
    if history is None or not history.resampled[1:].any():
        return None
    left, distinct = _lineages(history)
    steps, slots = history.ancestors.shape
    most = max(ALONE, REMNANT * slots)
    # at the last row, `left` is the ESS of the final weights, which is no matter of lineages
    if left[1] > most or left[steps] <= most:
        return None
    last = max(t for t in range(1, steps) if left[t] <= most)
    unit = posterior.provenance.unit
    noun = "chains" if posterior.genealogy is None else "particles"  # waste-free SMC has chains
    living = f"{distinct[steps]} living {noun}"
    if distinct[last] == 1:
        descent = f"all {living} descend from one"
        basis = "a single draw"
    else:
        worth = f"{left[last]:.1f} of equal weight"
        descent = f"the weight of the {living} descends from {distinct[last]} (worth {worth})"
        basis = "these few"
    # the lineages that as many resamplings of equal weights would leave
    chance = max(slots / (1 + int(history.resampled[last:].sum()) / 2), 1.0)
    cause = "so many resamplings leave little more by chance alone"
    if left[last] < CHANCE * chance:
        cause = "the weights decided before there was much to judge by"
    undefined = ", and the standard errors are undefined" if distinct[1] == 1 else ""
    remedies = posterior.provenance.remedies
    return Finding(
        "early coalescence",
        (
            f"{descent} of the {slots} at {unit} {last} of {steps}; as often resampled with equal "
            f"weights, some {chance:.0f} would be left"
        ),
        f"up to that {unit} the posterior rests on {basis}: {cause}{undefined}",
        f"{remedies.more_draws}; {remedies.gentler}",
    )


def few_first_steps(posterior: Posterior) -> Finding | None:
    """Find weight that descends from fewer than 6 first steps, or is spread as over fewer than 6.

    The standard errors then fail.
    """
    eves, living = posterior.eves, posterior.living_eves
    if eves is None or living is None:
        return None
    by_eve = np.bincount(eves, weights=np.exp(posterior.log_weights))
    effective = float(1 / (by_eve @ by_eve))
    if effective >= FEW - COUNTED:
        return None
    trouble = "and from so few they are themselves uncertain by a third or more"
    if living < 2:
        trouble = "and there are none between one"
    return Finding(
        "few first steps",
        (
            f"the weight of {len(eves)} particles descends from {counted(living, 'first step')}, "
            f"worth {effective:.1f} of equal weight"
        ),
        f"standard errors are estimated from the differences between first steps, {trouble}",
        (
            f"{posterior.provenance.remedies.more_particles}, or repeat the run with other seeds "
            "and look at how far the answers differ"
        ),
    )


def _lineages(history: History) -> tuple[np.ndarray, list[int]]:
    """Compute E_t and D_t of each generation from the final weights, T + 1 of each."""
    weights = np.exp(history.log_weights[-1])
    by_ancestor = [np.bincount(row, weights=weights) for row in lineages(history.ancestors)]
    effective = [1 / (row @ row) for row in by_ancestor]
    distinct = [int(np.count_nonzero(row)) for row in by_ancestor]
    return np.array(effective), distinct
