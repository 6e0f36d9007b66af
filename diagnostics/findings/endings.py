"""How trajectories end: weight that stands under no answer, and for which reason."""

from __future__ import annotations

import numpy as np

from ...ppl.posterior.mixing import RARE
from ...ppl.posterior.posterior import Posterior
from .finding import Finding

STOPPED = {"": "", "budget": ", stopped by its budget", "interrupt": ", stopped by an interrupt"}
# probability: less than that, given to whichever answer, turns over no lead of more than 0.05
LOST = RARE


def unfinished(posterior: Posterior) -> Finding | None:
    """Some weight is on open reasoning: the run was stopped by its budget or an interrupt."""
    weight = _weight(posterior, is_open(posterior))
    if not weight:
        return None
    provenance = posterior.provenance
    by = STOPPED[provenance.stopped]
    return Finding(
        "unfinished particles",
        f"{weight:.2f} of the weight is on reasoning that is still open{by}",
        (
            "it stands under no answer, and what was finished first is not a fair sample of what "
            "would have been"
        ),
        provenance.remedies.more_budget
        if provenance.stopped == "budget"
        else "let the run end; one with a checkpoint is taken up where it stopped",
    )


def truncated(posterior: Posterior) -> Finding | None:
    """More than 0.05 of the weight is on trajectories that were cut off, at max_steps or at the end of the model's context."""
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
            "share "
            "what is left"
        ),
        f"{posterior.provenance.remedies.more_steps}, which is part of the target; "
        "look whether `answer` reads what the model states, "
        "and whether the contexts of the language model and of the reward model are long enough",
    )


def unread(posterior: Posterior) -> Finding | None:
    """More than 0.05 of the weight is on finished trajectories without an answer; not of a program that never returns one."""
    closed = (
        np.array([x.finished for x in posterior.trajectories])
        if not posterior.provenance.program
        else ~is_open(posterior)
    )
    silent = np.array([answer is None for answer in posterior.extracted])
    weight = _weight(posterior, closed & silent)
    if weight <= LOST or (posterior.provenance.program and silent.all()):
        return None
    if posterior.provenance.program:
        seen, change = (
            "on runs of the program that returned None",
            "let the program return an answer on every way to its end",
        )
    else:
        seen = "on trajectories that have finished without an answer that could be read"
        change = "give `answer` a function that reads this model's way of stating it, or ask for another in the question"
    return Finding(
        "unread answers",
        f"{weight:.2f} of the weight is {seen}",
        "it stands under None, whatever these may have said",
        change,
    )


def is_open(posterior: Posterior) -> np.ndarray:
    """Which reasoning has not come to its end; bool, shape (N,).

    A program may end without closing its trajectory; that it has not ended shows in that a stopped
    run knows no density of it.
    """
    if posterior.provenance.program:
        return np.isnan(posterior.log_density) & bool(posterior.provenance.stopped)
    return np.array([x.open for x in posterior.trajectories])


def _weight(posterior: Posterior, chosen: np.ndarray) -> float:
    return float(np.exp(posterior.log_weights)[chosen].sum())
