"""The same trajectories as if another proposal had drawn them.

A weight p / q is of the proposal that is asked about, not of the one that happened to draw a
trajectory: a replica that takes over another's trajectory has to know its own q of it. One pass of
the language model over the tokens says so; nothing is drawn, and scores stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from ..models import capabilities, continued, run_batched
from ..models.mixture import Law
from .interfaces import StateSpace
from .particle import Particle
from .statespace import StateSpaceModel


def rescored(
    model: StateSpaceModel, particles: Sequence[Particle], proposals: Sequence[Law]
) -> list[Particle]:
    """Return closed particles with the log-probabilities of their steps under these proposals.

    Args:
        model: the declared posterior.
        particles: N of them.
        proposals: one for each.

    Raises:
        TypeError: the language model cannot score.
        ValueError: the language model could not have written a trajectory that it wrote.

    Example:
        >>> from motes.models import Sampling, TableLM
        >>> lm = TableLM(lambda prefix: [0.5, 0.25, 0.25], eos=2)
        >>> model = StateSpaceModel("?", lm=lm, max_steps=1)
        >>> law = {"logprob": -0.69, "proposal_logprob": -0.69}
        >>> node = lm.start("?").child("0 ", (0,), **law, truncated=True)
        >>> [x] = rescored(model, [Particle(node, ())], [Sampling(temperature=0.5)])
        >>> round(x.trajectory.step_proposal_logprob, 3)
        -0.405
    """
    if not particles:
        return []
    if not capabilities(model.lm).scoring:
        raise TypeError(
            "replicas at several temperatures need a language model with a method `logprob`, and "
            f"{model.lm.name!r} has none: give one proposal for all of them"
        )
    runs = [
        partial(_rescored, model, particle, proposal)
        for particle, proposal in zip(particles, proposals, strict=True)
    ]
    if len(runs) == 1:
        return [runs[0](lambda shared: shared)]
    return run_batched(runs)


def _rescored(model: StateSpaceModel, particle: Particle, proposal: Law, shared) -> Particle:
    view: StateSpace = model.via(shared)
    root, *steps = particle.trajectory.path
    [end] = continued(view.lm, [root], steps, prior=view.prior, proposal=proposal)
    if end is None:
        raise ValueError(
            f"the language model {model.lm.name!r} could not have written {particle.trajectory!r}, "
            "which it wrote"
        )
    return Particle(view.close(end), particle.log_odds)
