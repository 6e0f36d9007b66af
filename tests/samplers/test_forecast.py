"""A run tells how far it is within a step, and how long it may take at most."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest

import motes
from motes.models import StepRule, TableLM, load_lm
from motes.models.progress import Drawn, listening
from motes.samplers.forecast import Forecast, step_bar


@pytest.fixture(scope="module")
def pocket() -> Any:
    return load_lm("pocket", step=StepRule(delimiter=None, tokens=5))


def told(forecast: Forecast, *drawn: Drawn) -> None:
    for each in drawn:
        forecast(each)


def seconds(step: float) -> Any:
    ticks = count()
    return lambda: step * next(ticks)


def test_a_hosted_model_tells_every_token(pocket: Any) -> None:
    heard: list[Drawn] = []
    with listening(pocket, heard.append) as tells:
        posterior = motes.solve("How many?", lm=pocket, prm=None, particles=3, max_steps=2)
    assert tells
    assert sum(drawn.rows for drawn in heard) == posterior.cost.generated_tokens
    assert {drawn.longest for drawn in heard} == {5} and max(drawn.column for drawn in heard) == 5
    assert heard[0].rows == 3 and heard[0].column == 1
    assert heard[0].room == pocket.context - len(pocket.rendered("How many?").token_ids)
    before = len(heard)
    motes.solve("How many?", lm=pocket, prm=None, particles=3, max_steps=1)
    assert len(heard) == before


def test_who_listened_before_listens_again(pocket: Any) -> None:
    outer: list[Drawn] = []
    with listening(pocket, outer.append):
        with pytest.raises(RuntimeError), listening(pocket, lambda drawn: None):
            raise RuntimeError
        motes.solve("How many?", lm=pocket, prm=None, particles=1, max_steps=1)
    assert outer


@pytest.mark.parametrize("many", [False, True])
def test_the_bar_of_a_step(
    pocket: Any, many: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("motes.samplers.forecast.SEEN", 0.0)
    monkeypatch.setattr("motes.samplers.forecast.LONG", 0.0)
    arguments = {"lm": pocket, "prm": None, "particles": 2, "max_steps": 3, "progress": True}
    motes.solve_many(["How many?"], **arguments) if many else motes.solve("How many?", **arguments)
    assert (
        "motes: at most 30 tokens (2 solutions of up to 3 steps of 5 tokens"
        in capsys.readouterr().err
    )


def test_nothing_is_shown_unasked(pocket: Any, capsys: pytest.CaptureFixture[str]) -> None:
    motes.solve("How many?", lm=pocket, prm=None, particles=2, max_steps=2)
    assert capsys.readouterr() == ("", "")


def test_models_that_tell_nothing() -> None:
    lm = TableLM(lambda prefix: [0.5, 0.5], eos=1)
    with step_bar(lm, 4, True):
        assert motes.solve("?", lm=lm, prm=None, particles=2, max_steps=4).answers


def test_the_forecast_by_hand() -> None:
    said: list[str] = []
    forecast = Forecast(10, said.append, clock=seconds(2.0))
    told(forecast, *(Drawn(8, column, 100, 5000) for column in (1, 2)))
    assert said == [] and forecast.rate == 4.0  # 8 tokens in the 2 seconds since the first ones
    told(forecast, Drawn(4, 3, 100, 4998))
    assert forecast.tokens == 20 and forecast.rate == 3.0
    [sentence] = said
    assert sentence.startswith("at most 8,000 tokens (8 solutions of up to 10 steps of 100 tokens")
    assert "44 min at 3 tokens/s" in sentence  # 8000 / 3 seconds
    told(forecast, Drawn(4, 4, 100, 4997), Drawn(8, 1, 100, 4000))
    assert len(said) == 1


def test_the_context_bounds_the_forecast() -> None:
    said: list[str] = []
    told(
        Forecast(32, said.append, clock=seconds(4.0)),
        *(Drawn(2, column, 256, 1000) for column in (1, 2)),
    )
    assert said[0].startswith("at most 2,000 tokens")


def test_a_short_run_is_not_announced() -> None:
    said: list[str] = []
    told(
        Forecast(1, said.append, clock=seconds(4.0)),
        *(Drawn(2, column, 10, 1000) for column in range(1, 10)),
    )
    assert said == []
