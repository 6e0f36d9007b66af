"""Models on which runs go well, or wrong in one known way; every run is made once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from motes.diagnostics.findings import Finding, check
from motes.models import FunctionReward, TableLM
from motes.ppl import Posterior, StateSpaceModel
from motes.samplers import make_sampler
from motes.samplers.registry import settings_of

EOS = 2
FEWER = {
    "particle_gibbs": {"particles": 8, "iterations": 200},
    "parallel_tempering": {"iterations": 200},
    "replica_exchange": {"iterations": 250},
}
SETTINGS = {"particles": 128, "iterations": 600, "warmup": 20, "chains": 4, "starts": 4, "moves": 2}


def next_probs(prefix: tuple[int, ...]) -> list[float]:
    """One to five steps of 0 or 1, and an end."""
    if not prefix:
        return [0.6, 0.4, 0.0]
    return [0.0, 0.0, 1.0] if len(prefix) == 5 else [0.3, 0.3, 0.4]


def first_token(x) -> str:
    return str(x.token_ids[0])


@pytest.fixture(scope="session")
def declare() -> Callable[..., StateSpaceModel]:
    """A model on which every sampler does well: a reward model with a mild preference."""

    def make(
        *,
        log_odds: Callable[..., float] | None = lambda x: 1.5 - 0.8 * x.token_ids[-1] % 2,
        **settings: Any,
    ) -> StateSpaceModel:
        defaults = {
            "lm": TableLM(settings.pop("probs", next_probs), eos=EOS),
            "prm": log_odds and FunctionReward(log_odds),
            "max_steps": 6,
            "answer": first_token,
            "stop_at_answer": False,
        }
        return StateSpaceModel("?", **{**defaults, **settings})

    return make


@pytest.fixture(scope="session")
def sample() -> Callable[..., Posterior]:
    """The run of a sampler by name, of settings that the sampler has or the test gives."""

    def run(model: Any, name: str = "particle_filter", seed: Any = 0, **settings: Any) -> Posterior:
        known = {
            key: value
            for key, value in (SETTINGS | FEWER.get(name, {})).items()
            if key in settings_of(name)
        }
        return make_sampler(name, **known | settings).run(model, seed=seed)

    return run


@pytest.fixture(scope="session")
def good(declare, sample) -> Callable[..., Posterior]:
    """A sampler's run that went well."""
    return cache(lambda name="particle_filter", seed=0: sample(declare(), name, seed))


@pytest.fixture(scope="session")
def found() -> Callable[..., dict[str, Finding]]:
    """The findings of a run by name."""
    return lambda posterior, **settings: {
        finding.name: finding for finding in check(posterior, **settings)
    }
