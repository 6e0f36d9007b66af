"""The likeliest tokens that servers tell: how many, at a context's end, and faults on the wire."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from stub_servers import TOKEN_SERVERS, TableModel, VllmStub, serving

import motes
from motes.models import (
    Sampling,
    StepRule,
    Trajectory,
    load_lm,
    load_prm,
    recorded,
    replayed,
    token_confidences,
)
from motes.models.engines.connection import ServerError

QUESTION = "How many pens has Ben?"
ROWS = {"prompt_logprobs", "input_top_logprobs", "top_logprobs"}  # where the dialects tell them


@pytest.fixture(scope="module")
def table_model() -> TableModel:
    return TableModel()


def behind(root: Trajectory, tokens: list[int]) -> Trajectory:
    return root.child("...", tuple(tokens), logprob=-1.0, proposal_logprob=-1.0)


@pytest.mark.parametrize("most", [0, 1, 7, 20, 21, 50, 1000])
def test_how_many_it_tells_is_found_out(most: int, table_model: TableModel) -> None:
    stub = VllmStub(table_model)
    stub.most = max(most, 1)  # fewer than one would leave no way to find out the server's law
    if not most:
        stub.fault = lambda path, answer: told(answer, lambda rows: None, {"prompt_logprobs"})
    with serving(stub) as running:
        can = load_lm(running.url).capabilities
        asked = [body["prompt_logprobs"] for body in stub.bodies if "prompt_logprobs" in body]
    assert can.confidences == (most > 0) and can.top_confidences == min(most, 100)
    assert len(asked) <= (3 if most in (20, 1000) else 9)


def told(answer: Any, change: Callable[[Any], Any], names: set[str] = ROWS) -> Any:
    """An answer with another table of likeliest tokens, wherever it stands."""

    def changed(part: Any) -> Any:
        if isinstance(part, list):
            return [changed(each) for each in part]
        if not isinstance(part, dict):
            return part
        return {
            name: change(value) if name in names else changed(value) for name, value in part.items()
        }

    return changed(answer)


def last_row(change: Callable[[list[Any]], Any]) -> Callable[[Any], Any]:
    """A fault of the entries behind the last context, in whichever form they stand."""

    def changed(rows: Any) -> Any:
        if isinstance(rows[-1], dict) and "id" in rows[-1]:  # llama.cpp tells of one context
            return change(rows)
        if isinstance(rows[-1], dict):  # of vLLM by id; the first may be the token that was sent
            own = dict(list(rows[-1].items())[:-3])
            return [*rows[:-1], own | dict(change(list(rows[-1].items())[-3:]))]
        return [*rows[:-1], change(rows[-1])]

    return changed


def valued(value: Any) -> Callable[[list[Any]], Any]:
    """The last entry with another log-probability."""

    def change(entries: list[Any]) -> Any:
        entry = entries[-1]
        if isinstance(entry, dict):
            return [*entries[:-1], entry | {"logprob": value}]
        if isinstance(entry, tuple):
            return [*entries[:-1], (entry[0], entry[1] | {"logprob": value})]
        return [*entries[:-1], [value, *entry[1:]]]

    return change


FAULTS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "too few": (last_row(lambda entries: entries[:-1]), "told 2 of a law's likeliest .* 3 were"),
    "one twice": (
        last_row(lambda entries: [*entries[:-1], entries[0]]),
        "told 2 of a law's likeliest tokens where 3 were",
    ),
    "NaN": (last_row(valued(float("nan"))), "log-probability nan of a token"),
    "-9999": (last_row(valued(-9999.0)), "-9999.0 of a token: .* finite"),
    "above 0": (last_row(valued(0.5)), "0.5 of a token"),
    "null": (last_row(valued(None)), "no log-probability for each of 3 tokens"),
    "too probable": (last_row(valued(-1e-9)), "3 likeliest tokens that make more than 1"),
    "nothing": (lambda rows: None, "sent no log-probabilit"),
    "texts": (lambda rows: ["a"] * len(rows), "sent no log-probabilit"),
    "too few rows": (lambda rows: rows[:-1] if len(rows) != 3 else rows[:-2], "told 1|sent no"),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("kind", TOKEN_SERVERS)
def test_a_wrong_table_is_no_confidence(kind: str, fault: str, table_model: TableModel) -> None:
    change, words = FAULTS[fault]
    with serving(TOKEN_SERVERS[kind](table_model)) as running:
        lm = load_lm(running.url, retries=0)
        x = behind(lm.start(QUESTION), [5, 6, 7])
        assert np.isfinite(token_confidences(lm, [x], top=3)[0]).all()
        running.fault = lambda path, answer: told(answer, change)
        with pytest.raises((ServerError, FloatingPointError), match=words) as caught:
            token_confidences(lm, [x], top=3)
        assert "\n" not in str(caught.value)


def test_ranks_of_vllm_must_be_different_and_the_token_that_was_sent_be_told(
    table_model: TableModel,
) -> None:
    """A table without a rank could lack a likely token, and one of another token is another's."""

    def first(row: dict[str, Any]) -> dict[str, Any]:
        return {name: entry | {"rank": 1} for name, entry in row.items()}

    def moved(rows: list[Any]) -> list[Any]:
        return [*rows[:-1], {"1": {"logprob": -1.0, "rank": 1}}]

    changes = {
        "the same rank": lambda rows: [*rows[:-1], first(rows[-1])],
        "no log-probability of the token 7": moved,
    }
    with serving(VllmStub(table_model)) as running:
        lm = load_lm(running.url, retries=0)
        x = behind(lm.start(QUESTION), [5, 6, 7])
        for words, change in changes.items():
            running.fault = lambda path, answer, change=change: told(answer, change)
            with pytest.raises(ServerError, match=words):
                token_confidences(lm, [x], top=2)


@pytest.mark.parametrize("kind", TOKEN_SERVERS)
def test_a_text_that_fills_the_context_is_scored_too(kind: str) -> None:
    """A server of vLLM, asked about a whole text, wants room for a token behind it."""
    model = TableModel(context=64)
    with serving(TOKEN_SERVERS[kind](model)) as running:
        lm = load_lm(running.url, retries=0)
        root = lm.start(QUESTION)
        prompt = lm.rendered(QUESTION).token_ids
        for seed in range(3):  # drawn among the likeliest, and not
            tokens = np.random.default_rng(seed).integers(10, 90, lm.context - len(prompt))
            x = behind(root, tokens.tolist())
            table = model.log_probs(prompt, x)
            own = table[np.arange(len(table)), list(tokens)].sum()
            assert lm.logprob([root], [x.token_ids]) == pytest.approx([own])
            for top in (1, 20):
                expected = -np.sort(table, axis=1)[:, -top:].mean(axis=1)
                np.testing.assert_allclose(token_confidences(lm, [x], top=top)[0], expected)


def test_a_filter_follows_the_certainty_of_a_served_model(
    table_model: TableModel, tmp_path: Any
) -> None:
    """Its scores are those of the tables by hand, also from a recording, under a law of its own."""
    with serving(VllmStub(table_model)) as running:
        served = load_lm(running.url, step=StepRule(cap=12), probabilities=False)
        lm = recorded(served, tmp_path / "lm.jsonl")
        with pytest.raises(ValueError, match=r"top must be a number .* top=20 would do"):
            load_prm("self-certainty", lm=lm)
        prior = Sampling(temperature=0.7, top_p=0.9)
        run: dict[str, Any] = {"particles": 4, "max_steps": 3, "seed": 0, "prior": prior}
        settings: dict[str, Any] = {"top": 20, "pilot": 3, "max_steps": 3}
        prm = load_prm("self-certainty", lm=lm, **settings)
        posterior = motes.solve(QUESTION, lm=lm, prm=prm, **run)
        prompt = served.rendered(QUESTION).token_ids
        mean, spread = prm.usual(QUESTION)
        for x in posterior.trajectories:
            table = table_model.log_probs(prompt, x)[-len(x.step_token_ids) :]
            certainty = -np.sort(table, axis=1)[:, -20:].mean()
            assert prm.score([x]) == pytest.approx([(certainty - mean) / spread])
    again = replayed(lm.path)
    assert again.capabilities.top_confidences == 20
    prm = load_prm("self-certainty", lm=again, **settings)
    replay = motes.solve(QUESTION, lm=again, prm=prm, **run)
    np.testing.assert_array_equal(replay.log_weights, posterior.log_weights)
