"""Independent runs of one sampler on one declaration, at a time, pooled by their evidence."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from .. import checks
from ..models import run_batched
from ..models.own_time import own_seconds
from ..ppl.interfaces import Declared
from ..ppl.posterior.pooling import pool
from ..ppl.posterior.posterior import Posterior
from ..ppl.posterior.provenance import Provenance, Stopping
from .base import AllParticlesDead, Sampler, run_keys
from .run_facts import chosen_by_answers
from .stopping.drawn_solutions import Solutions
from .stopping.looking import ended, first_stop
from .stopping.stopping_rule import StoppingRule
from .stopping.stopping_rules import stopping_rule


def repeated(
    sampler: Sampler,
    model: Declared,
    runs: int,
    seed: int = 0,
    progress: bool = False,
    stop: StoppingRule | str | Mapping[str, Any] | None = None,
    batch: int = 4,
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
        stop: a stopping rule (see `motes.samplers.stopping`), its name, or a mapping, for which
            each run is one solution: its answer is the run's most probable one. Then `runs` is the
            most there are, and those that were enough come back. None for all runs.
        batch: runs at a time, with a stopping rule.

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
    runs, batch = checks.count("runs", runs), checks.count("batch", batch)
    run_keys((seed, 0))
    rule = None if stop is None else stopping_rule(stop)
    if rule is not None:
        rule.check(scored=False, bounded=True)
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
    found: list[Posterior | AllParticlesDead] = []
    enough = 0
    with tqdm(total=runs, desc="runs", unit="run", disable=not progress) as bar:
        while len(found) < runs and not enough:
            looked = len(found)
            end = runs if rule is None else min(looked + batch, runs)
            numbers = [partial(run, number) for number in range(looked, end)]
            found += run_batched(numbers, ended=lambda *_: bar.update())
            if rule is not None:
                enough = first_stop(rule, _answers(found), looked)
    kept = found[: enough or None]
    living = [each for each in kept if isinstance(each, Posterior)]
    if not living:
        raise next(each for each in kept if isinstance(each, AllParticlesDead))
    pooled = pool(living, died=len(kept) - len(living))
    if rule is not None:
        stopping = ended(rule, _answers(found), enough, runs).stopping
        pooled = replace(pooled, provenance=_stopped(pooled.provenance, rule, stopping))
    cost = replace(model.cost - before, seconds=own_seconds() - began)
    return replace(pooled, cost=cost)


def _answers(found: Sequence[Posterior | AllParticlesDead]) -> Solutions:
    """Give each run's answer as a solution; a run that died has none."""
    answers = [each.answer if isinstance(each, Posterior) else None for each in found]
    return Solutions(tuple(answers), np.zeros(len(found)), log_bound=0.0)


def _stopped(provenance: Provenance, rule: StoppingRule, stopping: Stopping) -> Provenance:
    """Mark where runs come from that a rule could stop."""
    said = f"runs of {provenance.sampler} as the solutions: {stopping.said}"
    marked = replace(provenance, stopping=stopping._replace(said=said))
    if not rule.looks_at_answers:
        return marked
    reasons = (*provenance.reasons, chosen_by_answers(stopping))
    return replace(marked, guarantee="heuristic", evidence="none", reasons=reasons)
