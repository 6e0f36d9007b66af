"""A small declared posterior whose functions stand at a module's top, where other processes find
them."""

from __future__ import annotations

from math import inf

from motes.models import FunctionReward, TableLM
from motes.ppl import StateSpaceModel
from motes.samplers import ParticleFilter


def next_probs(prefix):
    return [0.4, 0.3, 0.3] if prefix else [0.5, 0.5, 0.0]


def log_odds(x):
    return 1.0 - x.token_ids[-1] - 0.3 * x.depth


def never(x):
    return -inf


def first_token(x):
    return str(x.token_ids[0]) if x.token_ids[-1] == 2 else None


def model():
    return StateSpaceModel(
        "?",
        lm=TableLM(next_probs, eos=2),
        prm=FunctionReward(log_odds),
        max_steps=4,
        answer=first_token,
    )


def hopeless():
    return StateSpaceModel(
        "?", lm=TableLM(next_probs, eos=2), prm=FunctionReward(never), max_steps=4
    )


def filtered(model, particles=6, seed=3):
    return ParticleFilter(particles=particles).run(model, seed=seed)
