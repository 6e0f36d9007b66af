"""Wrong numbers of a server that scores given tokens: an error, and never a weight."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from stub_servers import (
    TOKEN_SERVERS,
    LlamaCppStub,
    SGLangStub,
    TableModel,
    VllmStub,
    serving,
)

from motes.models import Sampling, load_lm, load_prm
from motes.models.engines.connection import ServerError

QUESTION = "How many pens has Ben?"
WRONG = [float("nan"), 0.5, -9999.0, None]


@pytest.fixture(scope="module")
def table_model() -> TableModel:
    return TableModel()


def spoiled(value: float | None) -> Callable[[str, Any], Any]:
    """A fault that puts this in the place of every log-probability: only these are floats."""

    def changed(part: Any) -> Any:
        if isinstance(part, dict):
            return {name: changed(each) for name, each in part.items()}
        if isinstance(part, list):
            return [changed(each) for each in part]
        return value if isinstance(part, float) else part

    return lambda path, answer: changed(answer)


@pytest.mark.parametrize("value", WRONG, ids=str)
@pytest.mark.parametrize("tokens", [[5], [5, 6, 7]], ids=len)
@pytest.mark.parametrize("kind", TOKEN_SERVERS)
def test_a_wrong_number_of_a_given_token_is_no_score(
    kind: str, tokens: list[int], value: Any, table_model: TableModel
) -> None:
    """One token, and several, are scored by requests of different kinds."""
    with serving(TOKEN_SERVERS[kind](table_model)) as running:
        lm = load_lm(running.url, retries=0)
        before = lm.logprob([lm.start(QUESTION)], [tokens])
        assert np.isfinite(before).all()
        running.fault = spoiled(value)
        with pytest.raises((ServerError, FloatingPointError), match="log-probability") as caught:
            lm.logprob([lm.start(QUESTION)], [tokens])
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", WRONG, ids=str)
def test_a_wrong_number_is_no_judgement(value: Any, table_model: TableModel) -> None:
    with serving(VllmStub(table_model)) as running:
        judge = load_prm(f"judge:{running.url}")
        root = load_lm(running.url).start(QUESTION)
        step = root.child("5 pens.", (5,), logprob=-1.0, proposal_logprob=-1.0)
        assert np.isfinite(judge.score([step])).all()
        running.fault = spoiled(value)
        with pytest.raises((ServerError, FloatingPointError), match="log-probability"):
            judge.score([step.child("No.", (6,), logprob=-1.0, proposal_logprob=-1.0)])


@pytest.mark.parametrize("kind", [LlamaCppStub, SGLangStub])
def test_another_model_in_a_judges_place_is_no_judge(kind: Any, table_model: TableModel) -> None:
    with serving(kind(table_model)) as running:
        judge = load_prm(f"judge:{running.url}", retries=0)
        root = load_lm(running.url).start(QUESTION)
        step = root.child("5 pens.", (5,), logprob=-1.0, proposal_logprob=-1.0)
        assert np.isfinite(judge.score([step])).all()
        running.place = "another.gguf"
        with pytest.raises(ServerError, match="serves .*another.gguf.* by now"):
            judge.score([step.child("No.", (6,), logprob=-1.0, proposal_logprob=-1.0)])


def test_a_token_that_a_law_cuts_off_is_impossible(table_model: TableModel) -> None:
    """A server that cuts off says -9999 of it, as it does of a number that it does not have."""
    with serving(VllmStub(table_model, processed=True)) as running:
        lm = load_lm(running.url, retries=0)
        running.fault = spoiled(-9999.0)
        found = lm.logprob([lm.start(QUESTION)], [[5]], prior=Sampling(top_k=1))
        assert found.tolist() == [-np.inf]
