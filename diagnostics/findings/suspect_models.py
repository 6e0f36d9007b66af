"""Findings on models that seem to misunderstand what they are asked.

A language model may ignore the law that it is to sample from; a reward model may give probabilities
where log-odds are meant.
"""

from __future__ import annotations

import numpy as np

from ...ppl.posterior.posterior import Posterior
from .finding import Finding

# scored steps, at least: were each sign a coin's, 12 log-odds would all be positive in 1 of 4,096
# runs
SCORES = 12


def suspect_language_model(posterior: Posterior) -> Finding | None:
    """Report what looked wrong in a language model while it drew; see `motes.models.behaviour`."""
    doubts = posterior.provenance.doubts
    if not doubts:
        return None
    return Finding(
        "suspect language model",
        "; ".join(doubts),
        (
            "then it does not sample what was declared, and the weights correct for draws that "
            "were never made"
        ),
        "let extend draw step i with keys[i] from sampling, and give its log-probabilities under "
        "prior and sampling; a model with one law declares capabilities = "
        "Capabilities(sampling=False)",
    )


def suspect_scores(posterior: Posterior) -> Finding | None:
    """Find scores that all lie in [0, 1], as probabilities do, where log-odds are meant.

    Read as log-odds, they make every r = sigmoid(score) lie between 0.5 and 0.73. A constant score
    of 0 says nothing, and is another finding.
    """
    scores = np.concatenate([np.zeros(0), *posterior.log_odds])
    if len(scores) < SCORES or not np.all((scores >= 0) & (scores <= 1)) or not scores.any():
        return None
    return Finding(
        "scores like probabilities",
        (
            f"all {len(scores)} scores of the reward model lie between {scores.min():.2g} and "
            f"{scores.max():.2g}"
        ),
        (
            "a score is the log-odds of being right, logit(r): read so, every step has a "
            "probability between 0.5 and 0.73"
        ),
        (
            "if they are probabilities, make the reward model by FunctionReward.from_probability, "
            "or return log(r / (1 - r))"
        ),
    )
