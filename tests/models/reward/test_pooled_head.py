"""Heads behind a server's /pooling: its outputs, or the hidden states that they are applied to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from prm_checkpoints import CASES, LABELS, STEPS, checkpoint, grown
from stub_servers import VllmStub, serving
from transformers import AutoTokenizer

from motes.models import load_prm
from motes.models.engines import connection
from motes.models.engines.connection import ServerError

FAMILIES = ["skywork-o1-open-prm", "reasoneval", "qwen2.5-math-prm"]


class PoolingStub(VllmStub):
    """vLLM's server of a checkpoint with a head, started to give hidden states or outputs.

    Attributes:
        rows: makes of the last hidden state what is sent.
    """

    def __init__(self, place: Path) -> None:
        model: Any = SimpleNamespace(tokenizer=AutoTokenizer.from_pretrained(place), context=512)
        super().__init__(model)
        self.place = place
        network = load_prm(place, probe=False).model
        self.backbone, self.head = network.base_model, network.score
        self.rows: Callable[[torch.Tensor], Any] = lambda hidden: hidden.tolist()

    def get(self, path: str) -> Any:
        found = super().get(path)
        if found is not None:
            found["data"][0]["root"] = str(self.place)
        return found

    @torch.no_grad()
    def post(self, path: str, body: Any) -> Any:
        if path != "/pooling":
            return super().post(path, body)
        ids = torch.tensor([body["input"]])
        hidden = self.backbone(input_ids=ids).last_hidden_state[0, -1]
        if body["use_activation"] is not False:
            hidden = hidden / hidden.norm()
        usage = {"prompt_tokens": len(body["input"]), "prompt_tokens_details": None}
        row = {"index": 0, "object": "pooling", "data": self.rows(hidden)}
        return {"object": "list", "model": self.name, "data": [row], "usage": usage}


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "FIRST_WAIT", 0.01)


@pytest.fixture
def skywork(tmp_path: Path) -> Iterator[PoolingStub]:
    with serving(PoolingStub(checkpoint(CASES["skywork-o1-open-prm"], tmp_path))) as running:
        yield running


@pytest.mark.parametrize("name", FAMILIES)
def test_hidden_states_and_outputs_give_the_scores_of_the_model_here(
    name: str, tmp_path: Path
) -> None:
    stub = PoolingStub(checkpoint(CASES[name], tmp_path))
    expected = load_prm(stub.place, probe=False).score(grown(STEPS))
    kinds = {
        "the last hidden state": lambda hidden: hidden.tolist(),
        "all of them": lambda hidden: [(-hidden).tolist(), hidden.tolist()],
        "outputs": lambda hidden: stub.head(hidden).tolist(),
        "outputs of each step": lambda hidden: [[9.0], stub.head(hidden).tolist()],
    }
    with serving(stub):
        for rows in kinds.values():
            stub.rows = rows
            prm = load_prm(stub.url, family=name)
            assert prm.score(grown(STEPS)) == pytest.approx(expected, abs=1e-4)
            assert prm.cost.prm_forward_passes == len(STEPS)


def test_a_server_that_gives_something_else_is_refused_when_it_is_loaded(
    skywork: PoolingStub, tmp_path: Path
) -> None:
    skywork.rows = lambda hidden: hidden[:7].tolist()
    words = "sent 7 numbers where 1 outputs of the head of 'stub', or 32 numbers of the hidden"
    with pytest.raises(ServerError, match=words):
        load_prm(skywork.url, family="skywork-o1-open-prm")
    skywork.rows = lambda hidden: []
    with pytest.raises(ServerError, match=r"sent \[\] where outputs were expected"):
        load_prm(skywork.url, family="skywork-o1-open-prm")
    skywork.rows = lambda hidden: hidden.tolist()
    tokenizer = AutoTokenizer.from_pretrained(skywork.place)
    with pytest.raises(ServerError, match="sent 32 numbers where 1 outputs of the head"):
        load_prm(skywork.url, family="skywork-o1-open-prm", tokenizer=tokenizer)
    other = checkpoint(CASES["skywork-o1-open-prm"]._replace(head=LABELS), tmp_path / "other")
    with pytest.raises(ValueError, match="it has a head score with 2 outputs"):
        load_prm(skywork.url, family="skywork-o1-open-prm", tokenizer=other)


def test_hidden_states_are_checked_one_by_one(skywork: PoolingStub) -> None:
    prm = load_prm(skywork.url, family="skywork-o1-open-prm")
    skywork.rows = lambda hidden: hidden[:-1].tolist()
    with pytest.raises(ServerError, match="where 32 numbers of a hidden state of 'stub' were"):
        prm.score(grown(STEPS))
    skywork.rows = lambda hidden: [float("nan"), *hidden[1:].tolist()]
    with pytest.raises(FloatingPointError, match="a score that is NaN for"):
        prm.score(grown(STEPS))
