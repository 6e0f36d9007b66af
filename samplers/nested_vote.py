"""Votes of votes: every way of sampling votes among its own solutions, and then the ways vote.

Of the solutions that T ways have drawn, way t elects the commonest answer of its own; the result is
the answer that most ways have elected. Where P_t is the law of way t's answers, n solutions of it
elect a with

    e_t(a) = P(a is the commonest of n draws from P_t),

and the share of an answer here estimates mean_t e_t(a), a smoothed majority: no probability of any
declared law, and as n grows 1 for what most ways find likeliest, however little they do. A vote of
all solutions alike is a majority under the mixture of the laws (`motes.models.MixtureLM`).

The ways are asked in rounds, all at once: temperatures and prompts of one model share its forward
passes. After a round in which all have elected one and the same answer the vote is over, so that
easy questions cost little.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from .. import checks
from ..models import Component, LanguageModel, Sampling, run_batched
from ..ppl.posterior.posterior import Posterior
from ..ppl.posterior.provenance import Reason
from ..ppl.statespace import StateSpaceModel
from .base import AllParticlesDead
from .joined_votes import asked_otherwise, joined, shared_out
from .search.majority_vote import MajorityVote

PAPER = "the vote over temperatures of arXiv:2510.02611"
TEMPERATURES = tuple(
    Sampling(temperature=temperature)
    for temperature in (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2)
)


def nested_vote(
    model: StateSpaceModel,
    ways: Sequence[Sampling | Component | LanguageModel] = TEMPERATURES,
    *,
    samples: int = 4,
    rounds: int = 4,
    seed: int = 0,
) -> Posterior:
    """Let several temperatures, prompts or models vote, each among its own solutions first.

    The reward model is not asked. A solution that states no answer has no say, and a way of which
    none does elects no answer. Where a way's own vote is tied, its share is divided.

    Source: the vote over temperatures of arXiv:2510.02611, as a summary of it has it: equal shares
    of the samples, a vote of each temperature, a vote of these, and an early end where the
    temperatures agree. That text sets temperature 0 beside these, which is no `Sampling`:
    `Sampling(top_k=1)` is greedy. In how many rounds it draws was not to be found.

    Args:
        model: what is declared; its own prior is asked only if it is among the ways.
        ways: how to draw solutions: by a `Sampling` of the model's language model, by another one,
            or by one under a prompt of its own (`lm.prompted(...)`); T of them, at least 1.
        samples: solutions of each way in a round.
        rounds: the most rounds; 1 for no early end.
        seed: in [0, 2**32).

    Returns:
        A posterior of all solutions, heuristic and without evidence. Those that state what their
        way has elected share its 1 / T of the weight; others have none. Its attribute `runs` holds
        the draws of every round and way in turn, and its cost is theirs together.

    Raises:
        TypeError, ValueError: an argument is not of its kind, or out of its range.
        AllParticlesDead: the constraint allows no solution of any way.

    Example:
        >>> from motes.models import TableLM
        >>> lm = TableLM(lambda prefix: [0.0, 0.0, 1.0] if prefix else [0.7, 0.3, 0.0], eos=2)
        >>> first = lambda x: str(x.token_ids[0]) if x.finished else None
        >>> model = StateSpaceModel("?", lm=lm, max_steps=3, answer=first)
        >>> cold, warm = Sampling(temperature=0.3), Sampling()
        >>> posterior = nested_vote(model, [cold, warm], samples=5)
        >>> posterior.answer, posterior.answers[posterior.answer]
        ('0', 1.0)
    """
    if not isinstance(model, StateSpaceModel):
        raise TypeError(f"model must be a StateSpaceModel, not {checks.shown(model)}")
    vote = MajorityVote(samples=checks.count("samples", samples))
    most, seed = checks.count("rounds", rounds), checks.seed(seed)
    declared = [asked_otherwise(model, way) for way in ways]
    if not declared:
        raise ValueError("ways must hold at least one way to draw solutions")
    asked: list[Posterior] = []
    voters: list[int] = []  # whose draws these are
    result: Posterior | AllParticlesDead | None = None

    def voted(number: int, shared: Callable[[Any], Any]) -> Posterior | AllParticlesDead:
        declaration = declared[number % len(declared)].via(shared)
        try:
            return vote.run(declaration, seed=(seed, number))
        except AllParticlesDead as death:
            return death

    for number in range(most):
        first = number * len(declared)
        # the ways of one network share its forward passes
        runs = run_batched([partial(voted, first + way) for way in range(len(declared))])
        for way, run in enumerate(runs):
            if isinstance(run, AllParticlesDead):
                result = run
            else:
                asked.append(run)
                voters.append(way)
        if asked:
            result = _elected(asked, voters, len(declared), most)
            if len(result.answers) == 1 and result.answer is not None:
                break
    if not isinstance(result, Posterior):
        assert result is not None  # there is a round and a way
        raise result
    return result


def _elected(asked: Sequence[Posterior], voters: Sequence[int], ways: int, most: int) -> Posterior:
    """Return all draws so far, weighed by what each way elects."""
    drawn = voters.count(voters[0])
    seen = f"{ways} ways of sampling voted for their own majorities, in {drawn} rounds of {most}"
    change = "let all solutions vote alike, under a declared mixture (MixtureLM)"
    joint = joined(
        asked,
        sampler="nested_vote",
        paper=PAPER,
        step_cost="the tokens of the solutions of each way",
        reason=Reason(seen, change),
    )
    counted = joint.log_weights > -np.inf
    of_way = np.repeat(voters, len(joint.labels) // len(asked))
    weights = np.zeros(len(joint.labels))
    for way in set(voters):
        own = np.flatnonzero(counted & (of_way == way))
        stated = [joint.labels[i] for i in own if joint.labels[i] is not None]
        counts = Counter(stated)
        most_votes = max(counts.values(), default=0)
        elected = {label for label in counts if counts[label] == most_votes} or {None}
        members = [i for i in own if joint.labels[i] in elected]
        weights[members] = 1 / len(members) / len(set(voters))
    return shared_out(joint, weights)
