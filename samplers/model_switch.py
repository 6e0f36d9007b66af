"""Votes of several language models, asked one after the other until one is of one mind.

A few solutions are drawn from the first model. Where all of them state one answer, it is taken;
else the next model is asked, and in the end all that was drawn votes. With P_k the law of model
k's answers and n solutions of each, the first K models disagree with themselves with probability

    prod_k=1..K (1 - sum_a P_k(a)^n)

so that an easy question costs n solutions of the first model. Which models vote depends on what
they said, so that shares of the votes are no probabilities of any declared law.
"""

from __future__ import annotations

from collections.abc import Sequence

from .. import checks
from ..models import Component, LanguageModel
from ..ppl.posterior.posterior import Posterior
from ..ppl.posterior.provenance import Reason
from ..ppl.statespace import StateSpaceModel
from .base import AllParticlesDead
from .joined_votes import asked_otherwise, joined
from .search.majority_vote import MajorityVote

PAPER = "Chen et al. (2025), arXiv:2504.00762"


def model_switch(
    model: StateSpaceModel,
    models: Sequence[LanguageModel | Component],
    *,
    samples: int = 5,
    seed: int = 0,
) -> Posterior:
    """Ask language models in turn, and stop at the first whose solutions all state one answer.

    The reward model is not asked. Source: ModelSwitch, Chen et al. (2025), arXiv:2504.00762, as its
    published code decides: by the plain majority of all solutions.

    Args:
        model: what is declared; its own language model is asked first.
        models: the others, in order: as they are, or sampled in a way of their own (`Component`).
            Their tokens need not be the first one's.
        samples: n, solutions of each.
        seed: in [0, 2**32).

    Returns:
        A posterior of all solutions, each with one vote: heuristic, without evidence. Its attribute
        `runs` holds those of each model that was asked, and its cost is theirs together.

    Raises:
        TypeError, ValueError: an argument is not of its kind, or out of its range.
        AllParticlesDead: the constraint allows no solution of any model.

    Example:
        >>> from motes.models import TableLM
        >>> ends = [0.0, 0.0, 1.0]
        >>> unsure = TableLM(lambda prefix: ends if prefix else [0.5, 0.5, 0.0], eos=2)
        >>> sure = TableLM(lambda prefix: ends if prefix else [1.0, 0.0, 0.0], eos=2)
        >>> first = lambda x: str(x.token_ids[0]) if x.finished else None
        >>> model = StateSpaceModel("?", lm=unsure, max_steps=3, answer=first)
        >>> posterior = model_switch(model, [sure], samples=5)
        >>> posterior.answer, len(posterior.runs)
        ('0', 2)
    """
    if not isinstance(model, StateSpaceModel):
        raise TypeError(f"model must be a StateSpaceModel, not {checks.shown(model)}")
    vote = MajorityVote(samples=checks.count("samples", samples))
    arms = [model, *(asked_otherwise(model, other) for other in models)]
    asked: list[Posterior] = []
    for number, arm in enumerate(arms):
        try:
            posterior = vote.run(arm, seed=(checks.seed(seed), number))
        except AllParticlesDead:
            if number == len(arms) - 1 and not asked:
                raise
            continue
        asked.append(posterior)
        if len(set(posterior.extracted)) == 1 and posterior.extracted[0] is not None:
            break
    seen = f"{len(asked)} of {len(arms)} language models voted, by what those before them had said"
    change = "ask one model a fixed number of times (sampler='majority_vote')"
    return joined(
        asked,
        sampler="model_switch",
        paper=PAPER,
        step_cost="the tokens of the solutions of each model that is asked",
        reason=Reason(seen, change),
    )
