"""Rates of moves: what is hardly ever accepted does not move, and what is always accepted was hardly judged.

For a suffix move from the prior, log L before and after differ like independent draws at worst. Were log L normal with standard deviation s
and the remainder all of the trajectory, the acceptance rate would be 2 Phi(-s / sqrt 2): above 0.95 only for s < 0.09 nats.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from ...ppl.posterior.posterior import Posterior
from .advice import gentler, livelier, now
from .finding import Finding

LOW = 0.05  # a chain then stays for some 20 moves; random walks do best near 0.234 (Roberts, Gelman and Gilks 1997)
HIGH = 0.95  # see above
LOW_SWAP = 0.1  # a pair then costs some 18 iterations of each round trip, 2 (1 - s) / s (Syed et al. 2022)
TRIED = 30  # times: at a rate of 0.3 fewer than a tenth of them succeed in 1 of 500 runs


class Rate(NamedTuple):
    """How often one kind of move was accepted: where, the share, and of how many tries."""

    place: str
    accepted: float
    tries: int


def low_acceptance(posterior: Posterior) -> Finding | None:
    """Fewer than 1 in 20 moves are accepted, in some chain, at some power, or at the last rung."""
    low = min((rate for rate in rates(posterior) if rate.tries >= TRIED), key=lambda rate: rate.accepted, default=None)
    if low is None or low.accepted >= LOW:
        return None
    return Finding(
        "low acceptance",
        f"{low.accepted:.3f} of {low.tries} moves were accepted {low.place}",
        "what is drawn anew is nearly always worse than what there is, and draws repeat themselves",
        livelier(posterior) if posterior.chains else gentler(posterior),
    )


def high_acceptance(posterior: Posterior) -> Finding | None:
    """More than 0.95 of the suffix moves towards a likelihood are accepted; not of sharpened proposals, whose aim that is."""
    told = mean_acceptance(posterior)
    if told is None or told <= HIGH or posterior.settings.get("prm") is None or posterior.settings.get("alpha", 1.0) != 1.0:
        return None
    return Finding(
        "acceptance near 1",
        f"{told:.3f} of the moves were accepted",
        "the likelihood hardly tells old from new, so that the posterior is nearly the language model's own distribution",
        "look at the reward model's scores along some trajectories (diagnostics.plots.plot_scores); "
        "if it knows better, declare a higher beta",
    )


def reference_sticks(posterior: Posterior) -> Finding | None:
    """Particle Gibbs: some step of the reference is renewed in fewer than 1 in 20 iterations."""
    updates = posterior.rates.get("update_by_step") or []
    draws = len(posterior.trajectories)
    if not updates or draws < TRIED or min(updates) >= LOW:
        return None
    step = int(np.argmin(updates)) + 1
    return Finding(
        "reference sticks",
        f"step {step} of the reference was renewed in {updates[step - 1]:.3f} of the iterations",
        "other particles' lineages die out before they reach it, and the chain keeps what it began with there",
        livelier(posterior),
    )


def low_swaps(posterior: Posterior) -> Finding | None:
    """Parallel tempering: some neighbours change places in fewer than 1 in 10 attempts."""
    swaps, powers = posterior.rates.get("swap"), posterior.settings.get("betas")
    attempts = len(posterior.trajectories) // 2  # even and odd pairs in turn
    if not swaps or not isinstance(powers, list) or attempts < TRIED:
        return None
    tried = [(rate, upper, lower) for rate, (upper, lower) in zip(swaps, pairwise(powers), strict=True) if rate is not None]
    if not tried or min(tried)[0] >= LOW_SWAP:
        return None
    rate, upper, lower = min(tried)
    return Finding(
        "low swap rate",
        f"replicas at the powers {upper:g} and {lower:g} changed places in {rate:.3f} of about {attempts} attempts",
        "what the flat replicas find does not reach the target",
        f"put a power between {upper:g} and {lower:g} (betas), and {'raise ' + now(posterior, 'iterations')}",
    )


def mean_acceptance(posterior: Posterior) -> float | None:
    """The share of suffix moves from the prior at power 1 that were accepted; None where there are few, or none."""
    told = [rate for rate in rates(posterior) if rate.place not in _tempered_places(posterior)]
    suffix = posterior.sampler in ("suffix_metropolis", "tempered_smc") or posterior.settings.get("kernel") == "suffix"
    if not suffix or sum(rate.tries for rate in told) < TRIED:
        return None
    return float(np.average([rate.accepted for rate in told], weights=[rate.tries for rate in told]))


def rates(posterior: Posterior) -> list[Rate]:
    """Rates of acceptance, by chain, by power, or at the last rung."""
    return list(_rates(posterior))


def _rates(posterior: Posterior) -> Iterator[Rate]:
    told, moves = posterior.rates.get("acceptance"), _count(posterior.settings.get("moves"))
    draws = len(posterior.trajectories)
    if isinstance(last := posterior.rates.get("acceptance_at_last"), float) and posterior.history is not None:
        yield Rate("at the last rung", last, moves * posterior.history.ancestors.shape[1])
    if not isinstance(told, list):
        return
    powers: Any = posterior.settings.get("betas")
    for place, accepted in enumerate(told):
        if powers is None:
            yield Rate(f"in chain {place + 1}", accepted, moves * draws // len(told))
        else:
            yield Rate(f"at power {powers[place]:g}", accepted, moves * draws)


def _tempered_places(posterior: Posterior) -> set[str]:
    """Places of rates that are not of the target."""
    powers: Any = posterior.settings.get("betas") or []
    return {f"at power {power:g}" for power in powers[1:]}


def _count(value: Any) -> int:
    return value if isinstance(value, int) else 1
