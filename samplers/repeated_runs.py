"""Independent runs of one sampler on one declaration, at a time, pooled by their evidence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from tqdm.auto import tqdm

from .. import checks
from ..models import run_batched
from ..models.own_time import own_seconds
from ..ppl.interfaces import Declared
from ..ppl.posterior.pooling import pool
from ..ppl.posterior.posterior import Posterior
from .base import AllParticlesDead, Sampler, run_keys


def repeated(
    sampler: Sampler, model: Declared, runs: int, seed: int = 0, progress: bool = False
) -> Posterior:
    """Sample a posterior several times independently, in shared batches, and pool the runs.

    See `motes.ppl.pool`.

    How the runs differ is an honest error of the log-evidence and of every answer's probability.

    Args:
        sampler: one with an evidence.
        model: the declared posterior.
        runs: how many, at least 1. Run k is that of the seed (seed, k).
        seed: in [0, 2**32).
        progress: show a progress bar, in runs.

    Returns:
        The pooled posterior, whose `runs` are those that have a particle alive; the others count as
        evidence 0. Its cost is that of all runs, the dead ones included, and its seconds are wall
        time; each run's are its share of them.

    Raises:
        AllParticlesDead: in every run.
        TypeError, ValueError, FloatingPointError: as a run does, or the sampler has no evidence.

    Example:
        >>> from motes.models import FunctionReward, TableLM
        >>> from motes.ppl import StateSpaceModel
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> prm = FunctionReward(lambda x: 1.0 - x.token_ids[-1])
        >>> model = StateSpaceModel("?", lm=lm, prm=prm, max_steps=4)
        >>> from motes.samplers import ParticleFilter
        >>> pooled = repeated(ParticleFilter(particles=8), model, runs=3)
        >>> len(pooled.runs), len(pooled.trajectories)
        (3, 24)
    """
    runs = checks.count("runs", runs)
    run_keys((seed, 0))
    if getattr(sampler, "evidence", "") == "none":
        raise ValueError(
            f"runs are pooled by their evidence, and {getattr(sampler, 'name', sampler)!r} has "
            "none: chains repeat themselves"
        )

    def run(number: int, shared: Callable[[Any], Any]) -> Posterior | AllParticlesDead:
        try:
            return sampler.run(model.via(shared), seed=(seed, number))
        except AllParticlesDead as death:
            return death

    before, began = model.cost, own_seconds()
    with tqdm(total=runs, desc="runs", unit="run", disable=not progress) as bar:
        found = run_batched(
            [partial(run, number) for number in range(runs)], ended=lambda *_: bar.update()
        )
    living = [each for each in found if isinstance(each, Posterior)]
    if not living:
        raise next(each for each in found if isinstance(each, AllParticlesDead))
    pooled = pool(living, died=len(found) - len(living))
    cost = replace(model.cost - before, seconds=own_seconds() - began)
    return replace(pooled, cost=cost)
