"""A posterior made by hand, on which everything can be checked by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from posteriors import posterior_of

from motes.models import Cost, Trajectory
from motes.ppl import Posterior
from motes.smc import History

QUESTION = "Ann has 7 shells & <b>Ben</b> 3 more. How many have they?"


@pytest.fixture
def make_posterior() -> Callable[..., Posterior]:
    """Six particles after two steps, resampled before the second: 17 (written two ways) 0.55, no
    answer 0.25, 18 0.2, one dead."""

    def make(**changes: object) -> Posterior:
        root = Trajectory(question=QUESTION)
        right = root.child(
            "Ben has 7 + 3 = 10.\n\n", (1, 2, 3), logprob=-1.0, proposal_logprob=-1.2
        )
        wrong = root.child(
            "Ben has 7 + 3 = 11.\n\n", (1, 2, 4), logprob=-2.0, proposal_logprob=-2.2
        )
        heavy = right.child(
            "The answer is 17.", (5, 0), logprob=-0.1, proposal_logprob=-0.1, finished=True
        )
        again = right.child(
            "The answer is 17.", (5, 0), logprob=-0.1, proposal_logprob=-0.1, finished=True
        )
        other = right.child(
            "The answer is 17.0.", (6, 0), logprob=-2.1, proposal_logprob=-2.1, finished=True
        )
        false = wrong.child(
            "The answer is 18.", (7, 0), logprob=-0.1, proposal_logprob=-0.1, finished=True
        )
        cut = {"truncated": True, "delimited": False}
        silent = wrong.child(
            "So\0 wh\u00e4t? \ud800\n\n", (8,), logprob=-0.1, proposal_logprob=-0.1, **cut
        )
        dead = root.child("", (), logprob=-3.0, proposal_logprob=-0.3)
        weights = np.array([0.3, 0.1, 0.2, 0.25, 0.15, 0.0])
        with np.errstate(divide="ignore"):
            log_weights = np.log(weights)
        history = History(
            ess=np.array([5.2, 4.2]),
            resampled=np.array([False, True]),
            log_increments=np.array([-0.5, -0.75]),
            ancestors=np.array([[0, 1, 2, 3, 4, 5], [0, 0, 2, 2, 4, 5]]),
            log_weights=np.stack([np.full(6, -np.log(6)), log_weights]),
        )
        attributes = {
            "question": QUESTION,
            "trajectories": (heavy, other, false, silent, again, dead),
            "log_weights": log_weights,
            "log_odds": tuple(
                np.array(row)
                for row in (
                    [3.0, 2.0],
                    [3.0, -1.0],
                    [-1.0, np.inf],
                    [-1.0, 0.0],
                    [3.0, 2.0],
                    [-np.inf],
                )
            ),
            "extracted": ("17", "17.0", "18", None, "17", None),
            "log_evidence": -1.25,
            "history": history,
            "sampler": "particle_filter",
            "target": "product",
            "guarantee": "consistent",
            "evidence": "unbiased",
            "settings": {"particles": 6, "prm": None, "proposal": {"temperature": 1.0}},
            "cost": Cost(prompt_tokens=20, generated_tokens=40, prm_tokens=60, seconds=1.5),
        }
        attributes |= changes
        attributes.setdefault(
            "log_density", np.linspace(-9.0, -4.0, len(attributes["trajectories"]))
        )
        return posterior_of(**attributes)

    return make
