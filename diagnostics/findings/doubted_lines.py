"""Findings on a reward model that calls what was written wrong.

A step with r < 1/2 is called wrong rather than right. Under the target "product" a line of T steps
that are all called no better than even has log-likelihood T log(1/2), and the log-evidence is the
log of the mean likelihood of what the language model writes. Where it is lower than that, the
language model's lines are worse, on average, than lines whose every step is a coin's toss.
"""

from __future__ import annotations

from math import exp, log

import numpy as np

from ...log_odds import sigmoid
from ...ppl.posterior.posterior import Posterior
from .finding import Finding

EVEN = 0.5  # a probability of being right below which a step is called wrong


def doubted_best_line(posterior: Posterior) -> Finding | None:
    """Find that the reward model calls most steps of the most probable line wrong.

    Under the targets "final" the last score stands for the whole line.
    """
    best = posterior.best
    log_odds = posterior.log_odds[posterior.trajectories.index(best)]
    if not len(log_odds):
        return None
    probabilities = sigmoid(log_odds)
    if posterior.target.startswith("final"):
        which = "the last score"
        score = float(probabilities[-1])
    else:
        which = "the median score"
        score = float(np.median(probabilities))
    if score >= EVEN:
        return None
    return Finding(
        "doubted best line",
        f"{which} of the most probable line is a probability of {score:.2f} of being right (its "
        f"best step has {probabilities.max():.2f}, its worst {probabilities.min():.2f})",
        (
            "the reward model thinks that even this line is wrong: the posterior only says which "
            "of the lines it doubts least"
        ),
        "read the line; if it is right, calibrate the reward model (motes.ppl.calibrate) or use "
        "another; if it is wrong, the language model needs more draws, or is too weak",
    )


def low_evidence(posterior: Posterior) -> Finding | None:
    """Find a log-evidence lower than that of lines whose every step is as likely wrong as right.

    Asked of the target "product" alone, whose evidence is the probability that every step is right.
    """
    if posterior.log_evidence is None or posterior.target != "product":
        return None
    if not any(map(len, posterior.log_odds)):
        return None
    steps = float(np.exp(posterior.log_weights) @ [x.depth for x in posterior.trajectories])
    even = steps * log(EVEN)
    if posterior.log_evidence >= even:
        return None
    per_step = exp(posterior.log_evidence / max(steps, 1.0))
    return Finding(
        "low evidence",
        (
            f"the log-evidence is {posterior.log_evidence:.2f}, as if each of {steps:.1f} steps "
            f"were right with probability {per_step:.2f}"
        ),
        (
            "the language model seldom writes what the reward model believes, so that few draws "
            "carry what there is of it"
        ),
        f"{posterior.provenance.remedies.more_draws}, use a stronger language model, or check that "
        "the reward model was made for texts like these",
    )
