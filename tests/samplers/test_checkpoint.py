"""Checkpoints: what is written is read back, bit by bit, by the same run only."""

from __future__ import annotations

import json
from math import inf, nan
from typing import NamedTuple

import numpy as np
import pytest

from motes.models import Cost, Trajectory
from motes.ppl import Particle
from motes.samplers import checkpoint
from motes.smc import State


def tree():
    root = Trajectory(question="? \ud800")
    step = root.child("So\0\n", (1, 2), logprob=-0.1, proposal_logprob=-1 / 3)
    ends = []
    for i in range(3):
        ended = {"finished": i == 0, "truncated": i == 1, "delimited": i != 2}
        ends.append(step.child(f"{i}", (i,), logprob=-0.1 * i, proposal_logprob=nan, **ended))
    return root, step, ends


def test_what_is_written_is_read(tmp_path):
    _, _, ends = tree()
    particles = np.empty(4, object)
    for i, x in enumerate([*ends, ends[0]]):
        particles[i] = Particle(x, (0.1, -inf), 1e-300)
    state = State(particles, np.array([0.1, -inf, 1 / 3, nan]), -1.5, 7)
    whole = (
        state,
        {
            "a": [1, None, True],
            2: (np.arange(6).reshape(2, 3), np.zeros((0, 2), bool), np.float64(0.1)),
        },
    )
    cost = Cost(generated_tokens=3, seconds=0.25)
    checkpoint.save(tmp_path / "run.json", {"seed": [0, 1]}, whole, cost)
    (again, rest), spent = checkpoint.load(tmp_path / "run.json", {"seed": (0, 1)})
    assert spent == cost and type(again) is State and (again.log_evidence, again.t) == (-1.5, 7)
    assert again.log_weights.tobytes() == state.log_weights.tobytes()
    for old, new in zip(particles, again.particles, strict=True):
        assert old[1:] == new[1:] and type(new) is Particle
        pairs = list(zip(old.trajectory.path, new.trajectory.path, strict=True))
        assert all(
            repr(a) == repr(b) and a.question == b.question and a.token_ids == b.token_ids
            for a, b in pairs
        )
        assert all(a.delimited == b.delimited for a, b in pairs)
        assert all(
            np.array_equal(
                [a.logprob, a.proposal_logprob], [b.logprob, b.proposal_logprob], equal_nan=True
            )
            for a, b in pairs
        )
    assert again.particles[0].trajectory is again.particles[3].trajectory
    assert again.particles[0].trajectory.parent is again.particles[1].trajectory.parent
    assert rest["a"] == [1, None, True] and type(rest[2]) is tuple
    assert (
        np.array_equal(rest[2][0], np.arange(6).reshape(2, 3))
        and rest[2][1].shape == (0, 2)
        and rest[2][1].dtype == bool
    )


def test_only_the_same_run_takes_it_up(tmp_path):
    path = tmp_path / "run.json"
    assert checkpoint.load(path, {}) is None
    checkpoint.save(path, {"seed": 0, "particles": 4}, None, Cost())
    with pytest.raises(ValueError, match="checkpoint of another run: its particles is 4, not 5"):
        checkpoint.load(path, {"seed": 0, "particles": 5})
    for content in ("not json", "[]", json.dumps({"motes": 0}), json.dumps({"nodes": []})):
        path.write_text(content)
        with pytest.raises(ValueError, match="is not a checkpoint of this version of motes"):
            checkpoint.load(path, {})


class Foreign(NamedTuple):
    value: int


def test_what_cannot_be_kept_is_an_error_and_leaves_the_file_alone(tmp_path):
    path = tmp_path / "run.json"
    checkpoint.save(path, {}, [1], Cost())
    with pytest.raises(TypeError, match="a state cannot hold"):
        checkpoint.save(path, {}, object(), Cost())
    assert checkpoint.load(path, {})[0] == [1] and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "kind", ["os:system", "subprocess:Popen", "motes.models.cost:Cost", "motes.nowhere:Thing"]
)
def test_nothing_foreign_is_made(tmp_path, kind):
    path = tmp_path / "run.json"
    checkpoint.save(path, {}, Particle(Trajectory(question="?"), ()), Cost())
    path.write_text(path.read_text().replace(f"{Particle.__module__}:{Particle.__name__}", kind))
    with pytest.raises((ValueError, ModuleNotFoundError), match="cannot hold|No module"):
        checkpoint.load(path, {})
