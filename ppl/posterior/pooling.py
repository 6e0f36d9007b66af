"""Independent runs put together by their evidence, and weighted draws made equal.

K runs of one sampler on one declaration, with Z-hat_k each, stand together for (Verge et al. 2015;
see `motes.smc.combine`)

    Z-hat = mean_k Z-hat_k,    weight of trajectory i of run k = W_k^i Z-hat_k / sum_l Z-hat_l,

which to average the runs equally would not. How the runs differ is the honest error of whatever
they say:

    P(a) = sum_k Z-hat_k P_k(a) / sum_k Z-hat_k
    se^2 = K / (K - 1)  sum_k (Z-hat_k (P_k(a) - P(a)))^2 / (sum_k Z-hat_k)^2

(the delta method for a ratio of means). A run that died has Z-hat_k = 0 and counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from math import inf, nan
from operator import add
from typing import Any

import numpy as np

from ... import checks
from ...smc import RunKeys, combine
from .equal_draws import equal_draws
from .errors import NoErrors, RunErrors, by_run, run_shares
from .posterior import Posterior


def pool(posteriors: Sequence[Posterior], *, died: int = 0) -> Posterior:
    """Join independent runs into one posterior, whose attribute `runs` holds them.

    Args:
        posteriors: of one question, target and sampler, of different seeds, with as many
            trajectories each.
        died: runs besides that ended with `AllParticlesDead`; each is an estimate of zero, and to
            leave it out would be a bias.

    Raises:
        ValueError: there are none, or they cannot be pooled: one has no evidence (as chains have
            none), they are of different things, or of one seed.

    The cost is the sum of the runs'. Their seconds add up to the time that passed where they ran
    one after the other or in shared batches, and to the processes' working time where these ran
    side by side.

    Example:
        >>> import motes
        >>> from motes.models import TableLM
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> ask = {"lm": lm, "prm": None, "particles": 8, "max_steps": 4}
        >>> runs = [motes.solve("?", seed=seed, **ask) for seed in (1, 2, 3)]
        >>> pooled = pool(runs)
        >>> len(pooled.runs), len(pooled.trajectories)
        (3, 24)
    """
    check_poolable(posteriors, died)
    first = posteriors[0]
    if len({len(run.trajectories) for run in posteriors}) > 1:
        raise ValueError("runs must have the same number of trajectories to be pooled")
    log_evidences = np.array(
        [*(run.log_evidence for run in posteriors), *[-inf] * died], np.float64
    )
    shares = combine(np.zeros((len(log_evidences), 1)), log_evidences)
    log_shares = np.asarray(shares.log_weights)[:, 0]
    log_weights = []
    for run, log_share in zip(posteriors, log_shares, strict=False):  # dead runs come last
        log_weights.append(run.log_weights + log_share)
    latents = {}
    for name in dict.fromkeys(name for run in posteriors for name in run.latents):
        latents[name] = np.concatenate([_column(run, name, posteriors) for run in posteriors])
    return replace(
        first,
        trajectories=tuple(x for run in posteriors for x in run.trajectories),
        log_weights=np.concatenate(log_weights),
        log_odds=tuple(row for run in posteriors for row in run.log_odds),
        extracted=tuple(answer for run in posteriors for answer in run.extracted),
        log_density=np.concatenate([run.log_density for run in posteriors]),
        latents=latents,
        log_evidence=float(shares.log_evidence),
        errors=RunErrors(runs=tuple(posteriors), died=died),
        provenance=replace(first.provenance, died=died, moves=(), drew=(), seed=None),
        rates={},
        settings={
            **first.settings,
            "seed": [run.provenance.seed for run in posteriors],
            "died": died,
        },
        cost=reduce(add, (run.cost for run in posteriors)),
    )


def check_poolable(posteriors: Sequence[Posterior], died: int = 0) -> None:
    """Raise ValueError where runs cannot be put together by their evidence."""
    if not posteriors:
        raise ValueError("posteriors must hold at least one run")
    if died < 0:
        raise ValueError(f"died must be a number of runs, not {died}")
    if without := [run.sampler for run in posteriors if run.log_evidence is None]:
        raise ValueError(f"runs are pooled by their evidence, and one of {without[0]!r} has none")
    if len({(run.question, run.target) for run in posteriors}) > 1:
        raise ValueError(
            "posteriors must be of one question and one target: their evidence is not of the same "
            "thing"
        )
    identities = [run.provenance.identity for run in posteriors]
    for name, mark in _differing(identities):
        raise ValueError(
            f"posteriors must be of one declaration, and their {name} differs: it is {mark[0]!r} "
            f"in one run and {mark[1]!r} in another"
        )
    seeds = [run.provenance.seed for run in posteriors if run.provenance.seed is not None]
    if repeated := [seed for seed in seeds if seeds.count(seed) > 1]:
        raise ValueError(
            f"posteriors must be of independent runs, and several have the seed {repeated[0]}"
        )


def _differing(identities: Sequence[Any]) -> list[tuple[str, tuple[Any, Any]]]:
    """Return what differs between runs of which it is known, by name, as two of them have it."""
    known = [identity for identity in identities if identity]
    found = []
    for other in known[1:]:
        for name in {**known[0], **other}:
            if known[0].get(name) != other.get(name):
                found.append((name, (known[0].get(name), other.get(name))))
    return found


def pooled_interval(
    posterior: Posterior, answer: str | None, share: float = 0.95, draws: int = 4000
) -> tuple[float, float] | None:
    """Return a credible interval of an answer's probability over a pooled posterior's runs.

    None with fewer than three of them.

    By the Bayesian bootstrap (Rubin 1981): runs are weighed by Dirichlet(1, ..., 1) besides their
    Z-hat. It speaks of where the estimate would lie with more runs like these, and knows of no bias
    that they share.

    Args:
        posterior: pooled.
        answer: one of its answers.
        share: of probability in the interval.
        draws: from the bootstrap's posterior, the same ones every time.

    Raises:
        TypeError, ValueError: `share` or `draws` is not of its kind, or out of its range.
    """
    share, draws = checks.level("share", share), checks.count("draws", draws)
    died = posterior.provenance.died
    shares = run_shares(posterior.runs, died)
    if len(shares) < 3:
        return None
    stated = np.array([label == answer for label in posterior.labels], np.float64)
    own = by_run(posterior.runs, died, stated)
    weights = np.random.default_rng(0).dirichlet(np.ones(len(shares)), size=draws) * shares
    low, high = np.quantile(weights @ own / weights.sum(axis=1), [(1 - share) / 2, (1 + share) / 2])
    return float(low), float(high)


def resampled(posterior: Posterior, draws: int, seed: int = 0) -> Posterior:
    """Draw equally weighted trajectories from a posterior, for what ignores weights.

    They are drawn by systematic resampling.

    Args:
        posterior: weighted or not.
        draws: how many, at least 1.
        seed: in [0, 2**32).

    Returns:
        A posterior without history, runs and tree. Its draws are copies of the same trajectories,
        no better than they were: their number says nothing about precision, and errors are
        undefined.

    Raises:
        TypeError, ValueError: an argument is not of its kind, or out of its range.
    """
    draws, keys = checks.count("draws", draws), RunKeys(seed)
    chosen = equal_draws(posterior.log_weights, draws, keys.seed)
    return replace(
        posterior,
        trajectories=tuple(posterior.trajectories[i] for i in chosen),
        log_weights=np.full(draws, -np.log(draws)),
        log_odds=tuple(posterior.log_odds[i] for i in chosen),
        extracted=tuple(posterior.extracted[i] for i in chosen),
        log_density=posterior.log_density[chosen],
        latents={name: column[chosen] for name, column in posterior.latents.items()},
        errors=NoErrors(),
        tree=None,
        provenance=replace(posterior.provenance, copies=int(draws), moves=(), died=0),
        rates={},
        settings={**posterior.settings, "resampled": draws, "resampling_seed": keys.seed},
    )


def _column(run: Posterior, name: str, runs: Sequence[Posterior]) -> np.ndarray:
    """Return a latent of a run; NaN where this run has not drawn it."""
    if name in run.latents:
        return run.latents[name]
    shape = next(other.latents[name].shape[1:] for other in runs if name in other.latents)
    return np.full((len(run.trajectories), *shape), nan)
