"""Findings on how trajectories end: weight that counts for no answer, and why."""

from __future__ import annotations

import numpy as np

from ...ppl.posterior.mixing import RARE
from ...ppl.posterior.posterior import Posterior
from .finding import Finding

STOPPED = {"": "", "budget": ", stopped by its budget", "interrupt": ", stopped by an interrupt"}
# probability: less than that, given to whichever answer, turns over no lead of more than 0.05
LOST = RARE


def unfinished(posterior: Posterior) -> Finding | None:
    """Find weight on open reasoning: the run was stopped by its budget or an interrupt."""
    weight = _weight(posterior, is_open(posterior))
    if not weight:
        return None
    provenance = posterior.provenance
    by = STOPPED[provenance.stopped]
    change = "let the run end; one with a checkpoint is taken up where it stopped"
    if provenance.stopped == "budget":
        change = provenance.remedies.more_budget
    return Finding(
        "unfinished particles",
        f"{weight:.2f} of the weight is on reasoning that is still open{by}",
        (
            "it stands under no answer, and what was finished first is not a fair sample of what "
            "would have been"
        ),
        change,
    )


def truncated(posterior: Posterior) -> Finding | None:
    """Find more than 0.05 of the weight on trajectories that were cut off.

    That happens at max_steps, and at the end of a model's context.
    """
    weight = _weight(posterior, np.array([x.truncated for x in posterior.trajectories]))
    if weight <= LOST:
        return None
    longest = max(x.depth for x in posterior.trajectories)
    return Finding(
        "truncated trajectories",
        (
            f"{weight:.2f} of the weight is on trajectories that were cut off, the longest after "
            f"{longest} steps"
        ),
        (
            "they belong to the declared target but state no answer, so that the other answers "
            "share what is left"
        ),
        f"{posterior.provenance.remedies.more_steps}, which is part of the target; look whether "
        "`answer` reads what the model states, and whether the contexts of the language model and "
        "of the reward model are long enough",
    )


def unread(posterior: Posterior) -> Finding | None:
    """Find more than 0.05 of the weight on finished trajectories without an answer.

    Not asked of a program that never returns one.
    """
    program = posterior.provenance.program
    if program:
        closed = ~is_open(posterior)
    else:
        closed = np.array([x.finished for x in posterior.trajectories])
    silent = np.array([answer is None for answer in posterior.extracted])
    weight = _weight(posterior, closed & silent)
    if weight <= LOST or (program and silent.all()):
        return None
    if program:
        seen = "on runs of the program that returned None"
        change = "let the program return an answer on every way to its end"
    else:
        seen = "on trajectories that have finished without an answer that could be read"
        change = (
            "give `answer` a function that reads this model's way of stating it, or ask for "
            "another in the question"
        )
    return Finding(
        "unread answers",
        f"{weight:.2f} of the weight is {seen}",
        "it stands under None, whatever these may have said",
        change,
    )


def is_open(posterior: Posterior) -> np.ndarray:
    """Say of each trajectory whether its reasoning has not ended yet; bool, shape (N,).

    A program may end without closing its trajectory. One that has not ended has no known density,
    in a run that was stopped.
    """
    if posterior.provenance.program:
        return np.isnan(posterior.log_density) & bool(posterior.provenance.stopped)
    return np.array([x.open for x in posterior.trajectories])


def _weight(posterior: Posterior, mask: np.ndarray) -> float:
    """Add up the weights of the trajectories that a mask of shape (N,) selects."""
    return float(np.exp(posterior.log_weights)[mask].sum())
