"""Moves on trajectories: cut one, write its remainder anew, accept or not.

A trajectory x of tau steps is cut before step u + 1, u uniform among 0 .. tau - 1; x' has its first
u steps and others, drawn from q to the end. It is accepted with probability

    min(1, gamma(x') q(x_u+1:tau | x_1:u) tau / (gamma(x) q(x'_u+1:tau' | x_1:u) tau'))

which leaves gamma invariant: tau / tau' because the same cut is less likely in a longer trajectory
(Metropolis et al. 1953; Hastings 1970; for language models Karan and Du 2025, arXiv:2510.14901,
whose published code leaves the lengths out).

With a horizon H, u is uniform among 0 .. H - 1 whatever the trajectory is. A cut behind its end
leaves it as it is, which costs nothing, and the lengths cancel: no trajectory makes a cut more
likely than another (2609.38104, where finished text is padded to the horizon).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np

from ..aliases import PRNGKeys
from ..models.mixture import Law
from ..models.randomness import SlotUniforms
from ..ppl.interfaces import Reasoning, Stepwise
from ..smc import subkeys

LogWeight: TypeAlias = Callable[[int, Reasoning], float]
"""(row, trajectory) -> log gamma / q of a trajectory, in nats, up to a constant of the row."""


class Moved(NamedTuple):
    """Trajectories after a move.

    Attributes:
        particles: N.
        accepted: which of them are new, bool, shape (N,).
    """

    particles: list[Reasoning]
    accepted: np.ndarray


def suffix_move(
    stepwise: Stepwise,
    proposal: Law | None,
    keys: PRNGKeys,
    particles: Sequence[Reasoning],
    log_weight: LogWeight,
    *,
    stop: int | None = None,
    anew: np.ndarray | None = None,
    horizon: int | None = None,
) -> Moved:
    """Make one move of each trajectory, all in one batch.

    Args:
        stepwise: the model, step by step, which judges and closes steps.
        proposal: q, from which the trajectories have been drawn too.
        keys: typed JAX random keys, shape (N,).
        particles: N, of positive density.
        log_weight: of a whole trajectory.
        stop: steps after which a trajectory counts as whole though it is open; None for none.
        anew: rows that are drawn anew from their first step on, whatever their length: an
            independence sampler; bool, shape (N,).
        horizon: H, where cuts do not depend on the trajectory; None where they are made within it.
    """
    n = len(particles)
    uniforms = SlotUniforms(subkeys(keys, 0), n)
    lengths = np.array([particle.length for particle in particles])
    anew = np.zeros(n, bool) if anew is None else anew
    cells = lengths if horizon is None else np.full(n, horizon)
    cuts = np.where(anew, 0, np.floor(uniforms.at(0) * cells)).astype(int)
    going = np.flatnonzero(cuts < lengths).tolist()  # all of them, where cuts are made within
    drawn: list[Reasoning] = []
    if going:
        heads = [particles[i].path[cuts[i]] for i in going]
        drawn = complete(stepwise, proposal, subkeys(keys, 1, going), heads, stop)
    log_ratios = np.full(n, -np.inf)
    for i, new in zip(going, drawn, strict=True):
        log_ratios[i] = log_weight(i, new) - log_weight(i, particles[i])
        if horizon is None and not anew[i]:
            log_ratios[i] += np.log(lengths[i]) - np.log(new.length)
    accepted = uniforms.at(1) < np.exp(np.minimum(log_ratios, 0.0))
    moved = list(particles)
    for i, new in zip(going, drawn, strict=True):
        if accepted[i]:
            moved[i] = new
    return Moved(moved, accepted)


def complete(
    stepwise: Stepwise,
    proposal: Law | None,
    keys: PRNGKeys,
    particles: Sequence[Reasoning],
    stop: int | None = None,
) -> list[Reasoning]:
    """Write each trajectory to its end, a step of all open ones at a time.

    With `stop`, no further than to that many steps.
    """
    particles = list(particles)
    for number in range(stepwise.model.max_steps):
        going = [i for i, x in enumerate(particles) if x.open and (stop is None or x.length < stop)]
        going = [i for i in going if not particles[i].impossible]
        if not going:
            break
        moved = stepwise.step(proposal, subkeys(keys, number, going), [particles[i] for i in going])
        for i, particle in zip(going, moved, strict=True):
            particles[i] = particle
    return particles
