"""A small table model whose probabilities and rewards depend on the whole prefix, with trajectories
of random length."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from motes.models import FunctionReward, TableLM
from motes.ppl import StateSpaceModel

EOS = 2


@cache
def next_probs(prefix: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng([3, *prefix]).dirichlet([1.5, 1.5, 1.0])


@cache
def log_odds(prefix: tuple[int, ...]) -> float:
    return float(np.random.default_rng([4, *prefix]).normal())


def by_first_token(x) -> str:
    return str(x.token_ids[0])


@pytest.fixture
def declare():
    """Makes the model, with any settings changed."""

    def make(**settings) -> StateSpaceModel:
        defaults = {
            "lm": TableLM(next_probs, eos=EOS),
            "prm": FunctionReward(lambda x: log_odds(x.token_ids)),
            "max_steps": 5,
            "answer": by_first_token,
            "stop_at_answer": False,
        }
        return StateSpaceModel(settings.pop("question", "?"), **{**defaults, **settings})

    return make
