"""Posteriors to draw, and what holds of every test: no display, no figure left over, no setting
changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import matplotlib
import numpy as np
import pytest
from posteriors import posterior_of

from motes.models import Cost, FunctionReward, TableLM, Trajectory
from motes.ppl import Posterior, StateSpaceModel
from motes.samplers import make_sampler
from motes.samplers.registry import settings_of
from motes.smc import History, ess

matplotlib.use("Agg")

SMALL = {
    "particles": 8,
    "iterations": 6,
    "warmup": 1,
    "chains": 3,
    "starts": 4,
    "moves": 1,
    "ess_threshold": 0.9,
}


@pytest.fixture(autouse=True)
def tidy() -> Iterator[None]:
    import matplotlib.pyplot as plt

    plt.close("all")  # what tests of other folders, run before in this process, left open
    before = dict(matplotlib.rcParams)
    yield
    plt.close("all")
    assert dict(matplotlib.rcParams) == before


@pytest.fixture
def open_figures() -> Callable[[], int]:
    import matplotlib.pyplot as plt

    return lambda: len(plt.get_fignums())


@pytest.fixture(scope="session")
def sampled() -> Callable[..., Posterior]:
    """The posterior of a sampler by name, of a table model of two tokens and an end; drawn once for
    all tests."""

    @cache
    def run(name: str, **settings: Any) -> Posterior:
        prm = (
            None
            if settings.get("prm", True) is None
            else FunctionReward(lambda x: 1.5 - x.token_ids[-1] - 0.3 * x.depth)
        )
        lm = TableLM(lambda prefix: [0.4, 0.3, 0.3] if prefix else [0.5, 0.5, 0.0], eos=2)
        model = StateSpaceModel(
            "?",
            lm=lm,
            prm=prm,
            max_steps=4,
            answer=lambda x: str(x.token_ids[0]),
            stop_at_answer=False,
        )
        known = {key: value for key, value in SMALL.items() if key in settings_of(name)}
        return make_sampler(
            name,
            **known | {key: value for key, value in settings.items() if key not in ("prm", "seed")},
        ).run(model, seed=settings.get("seed", 2))

    return run


@pytest.fixture
def forked() -> Callable[..., Posterior]:
    """A filter of many particles and steps, resampled before steps 3 and 5, of random weights,
    scores and answers; every seventh dead."""

    def make(
        slots: int = 48, steps: int = 6, answers: int = 30, spelled: str = "{}", **changes: Any
    ) -> Posterior:
        generator = np.random.default_rng([slots, steps])
        ancestors = np.tile(np.arange(slots), (steps, 1))
        for t in (t for t in (2, 4) if t < steps):
            ancestors[t] = np.sort(generator.integers(0, slots, slots))
        weights = generator.gamma(0.5, size=slots) + 1e-6
        weights[6::7] = 0.0
        weights /= weights.sum()
        with np.errstate(divide="ignore"):
            log_weights = np.log(weights)
        trajectories = tuple(
            _written(slot, int(generator.integers(1, steps + 1))) for slot in range(slots)
        )
        attributes = {
            "question": "?",
            "trajectories": trajectories,
            "log_weights": log_weights,
            "log_odds": tuple(generator.normal(0, 2, x.depth) for x in trajectories),
            "extracted": tuple(
                spelled.format(slot % answers) if x.finished else None
                for slot, x in enumerate(trajectories)
            ),
            "log_density": np.zeros(slots),
            "log_evidence": -1.0,
            "history": History(
                ess=np.full(steps, float(ess(log_weights))),
                resampled=np.array([t in (2, 4) for t in range(steps)]),
                log_increments=np.zeros(steps),
                ancestors=ancestors,
                log_weights=np.tile(log_weights, (steps, 1)),
            ),
            "sampler": "particle_filter",
            "target": "product",
            "guarantee": "consistent",
            "evidence": "unbiased",
            "settings": {},
            "cost": Cost(),
        }
        return posterior_of(**attributes | changes)

    return make


def _written(slot: int, depth: int) -> Trajectory:
    """A trajectory of this depth; every fifth is truncated."""
    x = Trajectory(question="?")
    for t in range(depth):
        last = t == depth - 1
        law = {"logprob": -1.0, "proposal_logprob": -1.0}
        x = x.child(
            "step\n",
            (slot, t),
            **law,
            finished=last and slot % 5 > 0,
            truncated=last and slot % 5 == 0,
        )
    return x
