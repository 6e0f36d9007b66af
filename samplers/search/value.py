"""What a prefix is worth: the number by which a search chooses among its nodes.

    "prm"       R, the reward model's scores of its steps put together: the last, the least, their
                product or their mean; looking ahead k steps, those of the prefix and a greedy
                continuation of it (Snell et al. 2024)
    "rollouts"  the mean of R over K sampled completions: a Monte Carlo estimate of E[R | prefix]
    "logprob"   the geometric mean of its tokens' probabilities: no reward model is asked
    a function  of trajectories, which gives a number in [0, 1] for each

All are kept as logarithms, which tell scores apart that round to one. A node outside the prior's
support, or one that has ended and breaks the constraint, is worth nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf, isnan, log
from typing import Any, NamedTuple, TypeAlias, cast

import numpy as np

from ...aliases import PRNGKeys
from ...log_odds import log_sigmoids, sigmoid
from ...models import Sampling, Trajectory
from ...models.mixture import Law
from ...ppl.particle import Particle
from ...ppl.stepwise import StepwiseModel
from ...smc import log_mean_exp, subkeys

SCORES = ("last", "min", "product", "mean")
VALUES = ("prm", "rollouts", "logprob")
GREEDY = Sampling(top_k=1)

UserValue: TypeAlias = Callable[[Sequence[Trajectory]], Sequence[float]]
"""Trajectories to a number in [0, 1] for each."""


class Valued(NamedTuple):
    """Values of some nodes, and what they cost besides scores.

    Attributes:
        log_values: float64, shape (K,).
        tokens_aside: generated in rollouts.
        texts: what a rollout of each said, where that counts.
    """

    log_values: np.ndarray
    tokens_aside: int = 0
    texts: Sequence[str] = ()


def log_score(log_odds: Sequence[float], kind: str) -> float:
    """Return log R of the scores of a trajectory's steps.

    Args:
        log_odds: of the reward model, one a step, at least one.
        kind: one of `SCORES`.

    Example:
        >>> round(log_score((0.0, 0.0), "product"), 4), round(log_score((0.0, 0.0), "last"), 4)
        (-1.3863, -0.6931)
    """
    scores = np.asarray(log_odds, np.float64)
    if kind == "mean":
        mean = float(sigmoid(scores).mean())
        return log(mean) if mean > 0 else -inf
    log_scores = log_sigmoids(scores)
    whole = {"last": log_scores[-1], "min": log_scores.min(), "product": log_scores.sum()}
    return float(whole[kind])


def ruled_out(stepwise: StepwiseModel, particle: Particle) -> bool:
    """Return whether a node is outside the prior's support, or has broken the constraint."""
    if particle.impossible:
        return True
    return not particle.open and not stepwise.model.allows(particle.trajectory)


def rolled_out(
    stepwise: StepwiseModel,
    proposal: Law | None,
    keys: PRNGKeys,
    particles: Sequence[Particle],
    steps: int,
    first: int = 0,
) -> tuple[list[Particle], int]:
    """Go on with particles for at most this many steps each.

    Args:
        stepwise: the model, step by step.
        proposal: what the steps are drawn from.
        keys: of the particles, typed JAX random keys.
        particles: K of them.
        steps: the most.
        first: the part of its particle's key that the first step is drawn from.

    Returns:
        Where they have got to, and how many tokens that took.
    """
    ends, tokens = list(particles), 0
    for step in range(steps):
        going = [i for i, x in enumerate(ends) if x.open and not x.impossible]
        if not going:
            break
        moved = stepwise.step(
            proposal, subkeys(keys, first + step, going), [ends[i] for i in going]
        )
        for i, particle in zip(going, moved, strict=True):
            ends[i] = particle
            tokens += len(particle.trajectory.step_token_ids)
    return ends, tokens


def value_of(
    stepwise: StepwiseModel,
    sampler: Any,
    keys: PRNGKeys,
    particles: Sequence[Particle],
    proposal: Law | None,
) -> Valued:
    """Return what nodes are worth to a search.

    Args:
        stepwise: the model, step by step.
        sampler: whose `value`, `score`, `greedy_steps` and `rollouts` say how.
        keys: of the nodes, typed JAX random keys, for rollouts.
        particles: K nodes, none of them the root.
        proposal: what rollouts are drawn from.
    """
    log_values = np.full(len(particles), -inf)
    alive = [i for i, x in enumerate(particles) if not ruled_out(stepwise, x)]
    if not alive:
        return Valued(log_values)
    living = [particles[i] for i in alive]
    keys = keys[np.array(alive)]
    tokens = 0
    if callable(sampler.value):
        log_values[alive] = _by_user(cast("UserValue", sampler.value), living)
    elif sampler.value == "logprob":
        log_values[alive] = [_mean_logprob(stepwise, x.trajectory) for x in living]
    elif sampler.value == "rollouts":
        log_values[alive], tokens = _by_rollouts(stepwise, sampler, keys, living, proposal)
    else:
        ends, tokens = _greedily(stepwise, keys, living, sampler.greedy_steps)
        log_values[alive] = [log_score(x.log_odds, sampler.score) for x in ends]
    return Valued(log_values, tokens)


def _greedily(
    stepwise: StepwiseModel, keys: PRNGKeys, particles: Sequence[Particle], steps: int
) -> tuple[list[Particle], int]:
    """Go on greedily; of equal siblings, which share their trajectory, once for all."""
    firsts: dict[int, int] = {}
    for i, x in enumerate(particles):
        firsts.setdefault(id(x.trajectory), i)
    chosen = np.array([*firsts.values()])
    ends, tokens = rolled_out(stepwise, GREEDY, keys[chosen], [particles[i] for i in chosen], steps)
    by_trajectory = dict(zip(firsts, ends, strict=True))
    return [by_trajectory[id(x.trajectory)] for x in particles], tokens


def _by_rollouts(
    stepwise: StepwiseModel,
    sampler: Any,
    keys: PRNGKeys,
    particles: Sequence[Particle],
    proposal: Law | None,
) -> tuple[np.ndarray, int]:
    """Estimate log E[R | prefix] from sampled completions, all in one batch."""
    count, most = sampler.rollouts, stepwise.model.max_steps
    rows = [(i, j) for i in range(len(particles)) for j in range(count)]
    # part j of a node's key is the key of its j-th rollout
    own = subkeys(keys, [j for _, j in rows], [i for i, _ in rows])
    ends, tokens = rolled_out(stepwise, proposal, own, [particles[i] for i, _ in rows], most)
    log_scores = np.array(
        [-inf if ruled_out(stepwise, x) else log_score(x.log_odds, sampler.score) for x in ends]
    )
    return np.array([log_mean_exp(row) for row in log_scores.reshape(-1, count)]), tokens


def _mean_logprob(stepwise: StepwiseModel, trajectory: Trajectory) -> float:
    if isnan(trajectory.logprob):
        raise stepwise.model.unknown_logprob("value='logprob'")
    return trajectory.logprob / len(trajectory.token_ids)


def _by_user(value: UserValue, particles: Sequence[Particle]) -> np.ndarray:
    given = value([x.trajectory for x in particles])
    values = np.asarray(given, np.float64)
    inside = values.shape == (len(particles),) and bool(np.all((values >= 0) & (values <= 1)))
    if not inside:
        raise ValueError(
            f"value must map {len(particles)} trajectories to as many numbers in [0, 1], not to "
            f"{given!r}"
        )
    with np.errstate(divide="ignore"):
        return np.log(values)
