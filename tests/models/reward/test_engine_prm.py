"""Reward models behind servers, and their faults; those in vLLM are in test_vllm_prm.py.

Real engines are in tests/models/engines/test_real_engines.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from stub_servers import (
    SILENCE,
    LlamaCppStub,
    SGLangStub,
    Stub,
    TableModel,
    TextStub,
    VllmStub,
    serving,
)

import motes
from motes.models import Sampling, StepRule, Trajectory, load_lm, load_prm
from motes.models.engines import connection
from motes.models.engines.connection import ServerError
from motes.models.pocket import PRM_FOLDER
from motes.models.reward.judge_reader import JudgeReader

QUESTION = "How many pens has Ben?"
STEPS = ["Ben has 3 pens.\n\n", "He buys 4.\n\n", "The answer is 7."]


@pytest.fixture(scope="module")
def table_model() -> TableModel:
    return TableModel()


@pytest.fixture(scope="module")
def pocket_prm() -> Any:
    return load_prm("pocket", probe=False)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "FIRST_WAIT", 0.01)


class PoolingStub(VllmStub):
    """vLLM's server of the pocket's reward model, as --runner pooling starts it."""

    def __init__(self, model: TableModel, network: Any) -> None:
        super().__init__(model)
        self.network = network

    def get(self, path: str) -> Any:
        found = super().get(path)
        if found is not None:
            found["data"][0]["root"] = str(PRM_FOLDER)
        return found

    def post(self, path: str, body: Any) -> Any:
        if path != "/pooling":
            return super().post(path, body) if path == "/tokenize" else None
        assert body["use_activation"] is False
        values = outputs_of(self.network, body["input"])
        length = len(body["input"])
        usage = {"prompt_tokens": length, "prompt_tokens_details": {"cached_tokens": 4}}
        row = {"index": 0, "object": "pooling", "data": values}
        return {"object": "list", "model": self.name, "data": [row], "usage": usage}


def outputs_of(network: Any, ids: list[int]) -> list[float]:
    """One plain forward pass; the outputs at the last token."""
    with torch.no_grad():
        return network(input_ids=torch.tensor([ids])).logits[0, -1].tolist()


def grown() -> list[Trajectory]:
    nodes = [Trajectory(question=QUESTION)]
    for i, step in enumerate(STEPS):
        nodes.append(nodes[-1].child(step, (i,), logprob=0.0, proposal_logprob=0.0))
    return nodes[1:]


@pytest.fixture
def stub(table_model: TableModel, pocket_prm: Any) -> Iterator[Stub]:
    with serving(PoolingStub(table_model, pocket_prm.model)) as running:
        yield running


def test_a_head_behind_a_server_gives_the_scores_of_the_same_model_here(
    stub: Stub, pocket_prm: Any
) -> None:
    prm = load_prm(stub.url)
    assert prm.context == 512
    path = grown()
    expected = pocket_prm.score(grown())
    assert prm.score([*path, path[0]]) == pytest.approx([*expected, expected[0]], abs=1e-4)
    asked = [body for body in stub.bodies if "use_activation" in body]
    assert len(asked) == 1 + 3  # one when it is loaded; then a node is asked about once
    lengths = sum(len(body["input"]) for body in asked[1:])
    assert prm.cost.prm_tokens == lengths - 3 * 4 and prm.cost.prm_forward_passes == 3
    prm.score(path)
    assert prm.cost.prm_forward_passes == 3
    long = grown()[0].child("so " * 600, (1,), logprob=0.0, proposal_logprob=0.0)
    assert prm.can_read(path[2]) and not prm.can_read(long)


def test_a_filter_with_a_reward_model_behind_a_server_is_the_filter_with_it_here(
    stub: Stub, pocket_prm: Any
) -> None:
    lm = load_lm("pocket", probe=False, step=StepRule(cap=24))
    run: dict[str, Any] = {"particles": 4, "max_steps": 3, "seed": 0, "progress": False}
    ours = motes.solve(QUESTION, lm=lm, prm=load_prm(stub.url), **run)
    here = motes.solve(QUESTION, lm=lm, prm=pocket_prm, **run)
    np.testing.assert_allclose(ours.log_weights, here.log_weights, atol=1e-3)
    assert [x.token_ids for x in ours.trajectories] == [x.token_ids for x in here.trajectories]


@pytest.mark.parametrize("kind", [VllmStub, LlamaCppStub, SGLangStub])
def test_a_causal_model_behind_any_server_of_tokens_is_read_by_two_of_them(
    kind: type[Stub], table_model: TableModel
) -> None:
    with serving(kind(table_model)) as running:
        prm = load_prm(f"judge:{running.url}")
        reader = JudgeReader(table_model.tokenizer)
        [right], [wrong] = reader.verdict.right, reader.verdict.wrong
        expected = []
        for node in grown():
            ids = list(reader.conversation(node))
            terms = [table_model.log_prob(ids, token, Sampling()) for token in (right, wrong)]
            expected.append(terms[0] - terms[1])
        assert prm.score(grown()) == pytest.approx(expected, abs=1e-6)
        assert prm.name == f"judge:{running.url}"
        own = load_prm(running.url, reader=JudgeReader)
        assert own.score(grown()) == pytest.approx(expected, abs=1e-6)
        assert not any(body.get("echo") for body in running.bodies)


def row(change: Any) -> Any:
    """A fault of the outputs of a conversation."""

    def fault(path: str, answer: Any) -> Any:
        if path != "/pooling":
            return answer
        return answer | {"data": [answer["data"][0] | {"data": change(answer["data"][0]["data"])}]}

    return fault


def whole(**changes: Any) -> Any:
    return lambda path, answer: answer | changes if path == "/pooling" else answer


FAULTS: dict[str, tuple[Any, type[Exception], str]] = {
    "NaN": (row(lambda v: [float("nan"), v[1]]), FloatingPointError, "a score that is NaN for"),
    "too few": (row(lambda v: v[:1]), ServerError, "where 2 outputs of the head of 'stub'"),
    "too many": (row(lambda v: [*v, 0.0]), ServerError, "where 2 outputs of the head"),
    "none": (row(lambda v: None), ServerError, "sent None where 2 outputs"),
    "texts": (row(lambda v: ["a", "b"]), ServerError, "where 2 outputs of the head"),
    "truths": (row(lambda v: [True, False]), ServerError, "where 2 outputs of the head"),
    "base64": (row(lambda v: "AAAA"), ServerError, "sent 'AAAA' where 2 outputs"),
    "no rows": (whole(data=[]), ServerError, "sent no outputs for a conversation"),
    "two rows": (whole(data=[{}, {}]), ServerError, "sent no outputs for a conversation"),
    "other model": (
        whole(model="gpt-oss"),
        ServerError,
        "answers with the model 'gpt-oss', and 'stub' was asked",
    ),
    "cut": (whole(usage={"prompt_tokens": 5}), ServerError, "read 5 tokens of a conversation of"),
    "500": (lambda path, answer: (500, {"error": "gone"}), ServerError, "500: gone, 2 times"),
    "404": (lambda path, answer: (404, {"error": "no"}), ServerError, "answered 404: no$"),
    "closes": (lambda path, answer: b"", ServerError, "broke off the connection, 2 times"),
    "stalls": (lambda path, answer: SILENCE, ServerError, "was silent for too long"),
    "half JSON": (lambda path, answer: (200, b'{"data": ['), ServerError, "broken JSON"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_on_the_wire_ends_in_one_sentence_and_gives_no_score(name: str, stub: Stub) -> None:
    fault, kind, words = FAULTS[name]
    # short only where silence is the fault, as machines are busy
    prm = load_prm(stub.url, retries=1, timeout=1.0 if name == "stalls" else 60.0)
    stub.fault = fault
    with pytest.raises(kind, match=words) as caught:
        prm.score(grown()[:1])
    assert "\n" not in str(caught.value)
    stub.fault = None
    assert np.isfinite(prm.score(grown()[:1])).all()


def test_a_fault_that_passes_changes_no_score(stub: Stub, pocket_prm: Any) -> None:
    prm = load_prm(stub.url, retries=6, at_once=1)
    number = iter(range(10**6))
    stub.fault = lambda path, answer: (503, {}) if next(number) % 2 == 0 else answer
    assert prm.score(grown()) == pytest.approx(pocket_prm.score(grown()), abs=1e-4)


def test_a_row_a_token_is_read_at_the_last(stub: Stub, pocket_prm: Any) -> None:
    prm = load_prm(stub.url)
    stub.fault = row(lambda values: [[9.0, -9.0], values])
    assert prm.score(grown()) == pytest.approx(pocket_prm.score(grown()), abs=1e-4)


def test_what_cannot_be_used_is_said_when_it_is_loaded(stub: Stub, table_model: TableModel) -> None:
    with pytest.raises(ValueError, match="device must be left out for 'http"):
        load_prm(stub.url, device="cpu")
    with pytest.raises(TypeError, match="load_prm has no argument 'rationales' for 'http"):
        load_prm(stub.url, rationales=3)
    with pytest.raises(ServerError, match="does not serve the model 'x', but stub"):
        load_prm(stub.url, model="x")
    with serving(VllmStub(table_model)) as running:
        with pytest.raises(ValueError, match="'stub' is of no family of reward models"):
            load_prm(running.url)
        with pytest.raises(ValueError, match="family must be left out beside 'judge:http"):
            load_prm(f"judge:{running.url}", family="trl")
        with pytest.raises(TypeError, match="reader must have an attribute verdict"):
            load_prm(running.url, reader=lambda tokenizer: object())
    with serving(TextStub(table_model)) as running, pytest.raises(ServerError, match="of tokens"):
        load_prm(running.url, family="judge")
