"""The pocket's two models are a default together; nobody else has a default judge."""

from __future__ import annotations

from pathlib import Path

import pytest

import motes
from motes.models import FunctionReward, TableLM
from motes.models.pairing import paired

LM = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2, name="coin")
PRM = FunctionReward(lambda x: 0.0)


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What is loaded by name, as (kind, name)."""
    loaded: list[tuple[str, str]] = []
    monkeypatch.setattr(
        motes.models, "load_lm", lambda name, device: loaded.append(("lm", name)) or LM
    )
    monkeypatch.setattr(
        motes.models, "load_prm", lambda name, device: loaded.append(("prm", name)) or PRM
    )
    return loaded


WAYS = {
    "solve": lambda **models: motes.solve("?", particles=2, max_steps=3, **models),
    "solve_many": lambda **models: motes.solve_many(["?", "!"], particles=2, max_steps=3, **models)[
        0
    ],
    "evaluate": lambda **models: motes.evaluate(
        [("?", 1)],
        samplers={"filter": motes.samplers.ParticleFilter(particles=2)},
        max_steps=3,
        progress=False,
        **models,
    ),
}


@pytest.fixture(params=WAYS)
def ask(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Each function that takes a language model and a reward model."""
    monkeypatch.chdir(tmp_path)
    return WAYS[request.param]


@pytest.mark.parametrize(
    "models", [{}, {"lm": "pocket"}, {"prm": "pocket"}, {"lm": "pocket", "prm": "auto"}]
)
def test_the_pocket_is_a_pair(ask, loads, models):
    ask(**models)
    assert loads == [("lm", "pocket"), ("prm", "pocket")]


@pytest.mark.parametrize("lm", ["owner/name", LM, "Pocket/pocket"])
def test_another_language_model_needs_a_choice(ask, loads, lm):
    name = lm if isinstance(lm, str) else "coin"
    with pytest.raises(
        ValueError, match=f"prm must be given beside the language model {name!r}.*prm=None"
    ):
        ask(lm=lm)
    assert loads == []


@pytest.mark.parametrize("prm", [None, PRM, "pocket"])
def test_a_choice_is_taken(ask, loads, prm):
    ask(lm=LM, prm=prm)
    assert loads == [("prm", "pocket")] * (prm == "pocket")


def test_no_likelihood_beside_the_pocket():
    assert paired("pocket", None) is None


def test_a_function_that_loads_is_called_once_the_rest_is_checked():
    calls = []

    def load():
        calls.append("lm")
        return LM

    with pytest.raises(ValueError, match="particles must be at least 1"):
        motes.solve("?", lm=load, prm=None, particles=0)
    with pytest.raises(ValueError, match="prm must be given"):
        motes.solve("?", lm=load)
    assert calls == []
    assert motes.solve("?", lm=load, prm=None, particles=3, max_steps=2).settings["lm"] == "coin"
    assert calls == ["lm"]
