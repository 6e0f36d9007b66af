"""What a model can do is asked in one place, of one record."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from motes.models import Capabilities, FunctionReward, TableLM, Trajectory, capabilities
from motes.models.batched_methods import METHODS, offered
from motes.models.calls import can_read

ROOT = Path(__file__).parents[2]
ASKED = re.compile(r"(?:getattr|hasattr)\((?:type\()?(?:self\.)?(?:lm|prm)\b, *(\"\w+\"|\w+)")
# a name for a message, and whether something is a language model at all
ELSEWHERE = {("models/pairing.py", '"name"'), ("ppl/statespace.py", "name")}


def asked_in(text: str) -> list[str]:
    """Attributes of models that a source looks up by name."""
    return ASKED.findall(text)


def test_models_are_asked_in_one_place():
    found = set()
    for file in ROOT.glob("[!.]*/**/*.py"):
        where = file.relative_to(ROOT).as_posix()
        if not where.startswith(("tests/", "notebooks/")) and where != "models/protocols.py":
            found |= {(where, name) for name in asked_in(file.read_text())}
    assert found <= ELSEWHERE
    assert asked_in('can = getattr(self.lm, "logprob", None)') == ['"logprob"']
    assert asked_in("hasattr(type(prm), 'x') or hasattr(prm, name)") == ["name"]


class Short(FunctionReward):
    """Reads two steps."""

    def can_read(self, trajectory: Trajectory) -> bool:
        return trajectory.depth <= 2


def test_a_reward_model_shows_that_it_cannot_read_everything():
    steps = [TableLM(lambda prefix: [1.0]).start("?")]
    for depth in range(3):
        steps.append(steps[-1].child("x", (depth,), logprob=0.0, proposal_logprob=0.0))
    assert capabilities(Short(len)).limited and not capabilities(FunctionReward(len)).limited
    assert [can_read(Short(len), x) for x in steps] == [True, True, True, False]
    assert all(can_read(FunctionReward(len), x) for x in steps)


def test_methods_are_offered_by_kind_and_capabilities():
    class Plain:
        """A language model of somebody's that declares what it cannot do."""

        name, cost = "plain", None
        capabilities = Capabilities(sampling=False, scoring=False)

        def start(self, question): ...

        def extend(self, trajectories, keys, *, sampling=None, prior=None): ...

        def logprob(self, trajectories, continuations, *, prior=None):
            return np.zeros(len(trajectories))

    assert offered(Plain()) == ["extend"]  # what it declares counts, not what it has
    assert offered(Short(len)) == ["score"]
    assert [*offered(TableLM(lambda prefix: [1.0])), "score"] == list(METHODS)


def test_a_declaration_of_another_kind_is_an_error():
    judge = Short(len)
    judge.capabilities = {"limited": True}  # pyright: ignore
    with pytest.raises(TypeError, match="must be a Capabilities"):
        capabilities(judge)
