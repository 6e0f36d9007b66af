"""A sampler is bound to its model once, and its history grows without copies."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from motes.models import FunctionReward, TableLM
from motes.ppl import StateSpaceModel
from motes.ppl.stepwise import StepwiseModel
from motes.samplers import SAMPLERS, make_sampler
from motes.smc import GrowingHistory, Resampling, RunKeys

SMALL = {"particles": 4, "iterations": 6, "warmup": 2, "chains": 2, "starts": 4, "expansions": 2}


def declared() -> StateSpaceModel:
    lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
    return StateSpaceModel(
        "?", lm=lm, prm=FunctionReward(lambda x: 0.4 * x.token_ids[-1]), max_steps=6
    )


def bound(name: str):
    kind = SAMPLERS[name]
    sampler = make_sampler(
        name, **{key: value for key, value in SMALL.items() if key in kind.__dataclass_fields__}
    )
    return sampler.bind(declared(), RunKeys(3))


@pytest.mark.parametrize(
    "name",
    ["particle_filter", "twisted_smc", "puri2025", "suffix_metropolis", "importance_sampling"],
)
def test_the_view_is_built_once(name, monkeypatch):
    """However many steps a run has, its Feynman-Kac view and its resampling are made no
    more often."""
    built: Counter[str] = Counter()
    whole, resampling = StepwiseModel.__init__, Resampling.__post_init__

    def counted(self, *args, **kwargs):
        built["views"] += 1
        whole(self, *args, **kwargs)

    def counted_resampling(self):
        built["resampling"] += 1
        resampling(self)

    one = bound(name)
    state = one.step(one.init())
    monkeypatch.setattr(StepwiseModel, "__init__", counted)
    monkeypatch.setattr(Resampling, "__post_init__", counted_resampling)
    for _ in range(3):
        if not one.done(state):
            state = one.step(state)
    one.done(state)
    # a suffix move writes its remainder through a view of its own, one a move; nothing else makes
    # any
    assert built["views"] <= (3 if name == "suffix_metropolis" else 0) and not built["resampling"]


@pytest.mark.parametrize("name", SAMPLERS)
def test_no_step_changes_the_state_that_it_was_given(name):
    """Two continuations of one state are the same, in either order: nothing that the first did is
    seen by the second."""
    one = bound(name)
    state = one.init()
    if not one.done(state):
        state = one.step(state)
    ends = []
    for _ in range(2):
        here = state
        while not one.done(here):
            here = one.step(here)
        ends.append(one.draws(here, complete=True))
    first, second = ends
    assert [x.trajectory.token_ids for x in first.particles] == [
        x.trajectory.token_ids for x in second.particles
    ]
    assert np.array_equal(first.log_weights, second.log_weights)
    if first.history is not None:
        assert all(np.array_equal(a, b) for a, b in zip(first.history, second.history, strict=True))


def row(number: int) -> tuple[float, bool, float, np.ndarray, np.ndarray]:
    return float(number), number % 2 == 0, -0.5 * number, np.array([0, 1]), np.array([-0.1, -2.0])


def test_a_history_grows_in_place_and_branches_by_copy():
    root = GrowingHistory.empty(2)
    one = root.appended(*row(1))
    two, other = one.appended(*row(2)), one.appended(*row(5))
    assert two.rows is one.rows and other.rows is not one.rows
    assert [h.history().ess.tolist() for h in (root, one, two, other)] == [
        [],
        [1.0],
        [1.0, 2.0],
        [1.0, 5.0],
    ]
    again = one.appended(*row(7)).appended(*row(8))
    assert again.history().ess.tolist() == [1.0, 7.0, 8.0] and two.history().ess.tolist() == [
        1.0,
        2.0,
    ]
    history = two.history()
    assert (
        history.ancestors.dtype == np.int64
        and history.resampled.dtype == bool
        and history.log_weights.shape == (2, 2)
    )
    assert root.history().ancestors.shape == (0, 2)
