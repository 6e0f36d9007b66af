"""Findings on the rates at which moves are accepted.

A chain whose moves are hardly ever accepted stands still; where nearly all are accepted, the
likelihood hardly judged them.

For a suffix move from the prior, log L before and after differ like independent draws at worst.
Were log L normal with standard deviation s and the remainder all of the trajectory, the acceptance
rate would be 2 Phi(-s / sqrt 2): above 0.95 only for s < 0.09 nats.
"""

from __future__ import annotations

from math import exp, isnan, log

import numpy as np

from ...ppl.posterior.posterior import Posterior
from ...ppl.posterior.provenance import Move
from .finding import Finding

# A chain then stays for some 20 moves; random walks do best near 0.234 (Roberts et al. 1997).
LOW = 0.05
HIGH = 0.95  # see above
# A pair then costs some 18 iterations of each round trip, 2 (1 - s) / s (Syed et al. 2022).
LOW_SWAP = 0.1
EXPECTED_TRIPS = 10  # of Poisson counts with this mean one in 20,000 is 0
HELD = 0.1  # of a chain's tries: one such trajectory would fill as much of its draws
TRIED = 30  # times: at a rate of 0.3 fewer than a tenth of them succeed in 1 of 500 runs


def low_acceptance(posterior: Posterior) -> Finding | None:
    """Find moves of which fewer than 1 in 20 are accepted: in a chain, at a power, at a rung."""
    low = _worst(posterior, "acceptance")
    if low is None or low.rate >= LOW:
        return None
    remedies = posterior.provenance.remedies
    return Finding(
        "low acceptance",
        f"{low.rate:.3f} of {low.tries} moves were accepted {low.place}",
        "what is drawn anew is nearly always worse than what there is, and draws repeat themselves",
        remedies.livelier if posterior.chains else remedies.gentler,
    )


def high_acceptance(posterior: Posterior) -> Finding | None:
    """Find that more than 0.95 of the suffix moves towards a likelihood are accepted.

    Sharpened proposals are left out: a high rate of acceptance is their aim.
    """
    accepted = mean_acceptance(posterior)
    provenance = posterior.provenance
    if accepted is None or accepted <= HIGH or not provenance.judged or provenance.alpha != 1.0:
        return None
    return Finding(
        "acceptance near 1",
        f"{accepted:.3f} of the moves were accepted",
        (
            "the likelihood hardly tells old from new, so that the posterior is nearly the "
            "language model's own distribution"
        ),
        "look at the reward model's scores along some trajectories "
        "(diagnostics.plots.plot_scores); if it knows better, declare a higher beta",
    )


def draft_misses(posterior: Posterior) -> Finding | None:
    """Find a trajectory that a cheap target by which chains screen makes far too little of.

    A chain that stands at x leaves it in a share of at most 1 / w(x) of the promoted tries, w = pi
    / pi~ with both normalised, as an independence sampler does (Mengersen and Tweedie 1996).
    """
    log_weight = posterior.provenance.largest_log_weight
    promoted = [move.rate * move.tries for move in _moves(posterior, "promotion")]
    tries = max(promoted, default=0.0)
    if tries < TRIED or log_weight < log(HELD * tries):
        return None
    times = f"{exp(log_weight):.3g}" if log_weight < log(1e6) else f"e^{log_weight:.0f}"
    return Finding(
        "draft misses the target",
        (
            f"a trajectory was met that the target makes {times} times as probable as the draft "
            f"does, and each chain put {tries:.0f} or fewer before the target"
        ),
        (
            "a chain stays at such a one for about as many tries, and others like it may never be "
            "drafted: what it says of them is not to be trusted"
        ),
        (
            "take a draft (and a cheap_prm) nearer to the declared models, declare a flatter "
            "target, or use sampler='suffix_metropolis', which the language model writes"
        ),
    )


def reference_sticks(posterior: Posterior) -> Finding | None:
    """Find a step of particle Gibbs' reference that is renewed in fewer than 1 in 20 iterations."""
    low = _worst(posterior, "update")
    if low is None or low.rate >= LOW:
        return None
    return Finding(
        "reference sticks",
        f"{low.place} of the reference was renewed in {low.rate:.3f} of the iterations",
        (
            "other particles' lineages die out before they reach it, and the chain keeps what it "
            "began with there"
        ),
        posterior.provenance.remedies.livelier,
    )


def low_swaps(posterior: Posterior) -> Finding | None:
    """Find neighbouring replicas that change places in fewer than 1 in 10 attempts."""
    low = _worst(posterior, "swap")
    if low is None or low.rate >= LOW_SWAP:
        return None
    return Finding(
        "low swap rate",
        (
            f"replicas at the powers {low.place} changed places in {low.rate:.3f} of about "
            f"{low.tries} attempts"
        ),
        "what the flat replicas find does not reach the target",
        f"put a power between {low.place} (betas), and {posterior.provenance.remedies.more_draws}",
    )


def few_round_trips(posterior: Posterior) -> Finding | None:
    """Find replicas that swap, but do not get from the target to the last power and back.

    Were each swap independent of those before it, n iterations would make n / (2 + 2 sum_k r_k /
    (1 - r_k)) round trips, where r_k is the share of pair k that did not swap (Syed et al. 2022).
    """
    swaps = _moves(posterior, "swap")
    if not swaps or any(move.rate < LOW_SWAP for move in swaps):
        return None  # where a pair hardly swaps, that is the finding
    cost = sum((1 - move.rate) / move.rate for move in swaps)
    expected = len(posterior.trajectories) / (2 + 2 * cost)
    trips = posterior.provenance.round_trips
    if expected < EXPECTED_TRIPS or trips > expected / 10:
        return None
    return Finding(
        "few round trips",
        f"replicas made {trips} round trips, where their swaps alone would make {expected:.0f}",
        (
            "what has just been swapped is swapped back: replicas hardly move between two swaps, "
            "and what the flat ones find does not reach the target"
        ),
        posterior.provenance.remedies.livelier,
    )


def mean_acceptance(posterior: Posterior) -> float | None:
    """Average the acceptance of suffix moves from the prior at power 1; None if there are few."""
    if not posterior.provenance.suffix_moves:
        return None
    moves = [move for move in _moves(posterior, "acceptance") if move.at_target]
    tries = [move.tries for move in moves]
    if sum(tries) < TRIED:
        return None
    return float(np.average([move.rate for move in moves], weights=tries))


def _moves(posterior: Posterior, kind: str) -> list[Move]:
    """Select the moves of this kind whose rate is known."""
    moves = posterior.provenance.moves
    return [move for move in moves if move.kind == kind and not isnan(move.rate)]


def _worst(posterior: Posterior, kind: str) -> Move | None:
    """Select the move with the lowest rate, among those that were tried often enough."""
    tried = [move for move in _moves(posterior, kind) if move.tries >= TRIED]
    return min(tried, key=lambda move: move.rate, default=None)
