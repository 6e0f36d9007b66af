"""Faults on the wire: a run goes on, or ends in one sentence, and never with a wrong weight.

The server is a stub on a real socket whose answers are spoiled on their way out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
import pytest
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
from motes.models import FunctionReward, Sampling, StepRule, Trajectory, load_lm, token_confidences
from motes.models.engines import connection
from motes.models.engines.connection import ServerError

QUESTION = "How many pens has Ben?"
KEY = "a-key-that-nobody-may-see"


@pytest.fixture(scope="module")
def table_model() -> TableModel:
    return TableModel()


@pytest.fixture
def stub(table_model: TableModel) -> Iterator[Stub]:
    with serving(VllmStub(table_model)) as running:
        yield running


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "FIRST_WAIT", 0.01)


def extended(lm: Any, rows: int = 3) -> list[Trajectory]:
    return lm.extend([lm.start(QUESTION)] * rows, jax.random.split(jax.random.key(0), rows))


def choice(**changes: Any) -> Callable[[str, Any], Any]:
    """A fault that changes the answer's choice; other answers are left as they are."""

    def fault(path: str, answer: Any) -> Any:
        if "choices" not in answer:  # of a request for something else that comes late
            return answer
        return answer | {"choices": [answer["choices"][0] | changes]}

    return fault


def logprobs(change: Callable[[list[float]], Any]) -> Callable[[str, Any], Any]:
    def fault(path: str, answer: Any) -> Any:
        values = change(answer["choices"][0]["logprobs"]["token_logprobs"])
        return choice(logprobs={"token_logprobs": values})(path, answer)

    return fault


def halved(path: str, answer: Any) -> Any:
    """Only the first half of the tokens, rounded up."""
    [found] = answer["choices"]
    count = (len(found["token_ids"]) + 1) // 2
    values = found["logprobs"]["token_logprobs"][:count]
    return choice(
        token_ids=found["token_ids"][:count],
        logprobs={"token_logprobs": values},
        finish_reason="length",
        stop_reason=None,
    )(path, answer)


def always(value: Any) -> Callable[[str, Any], Any]:
    return lambda path, answer: value


BROKEN_OFF = b'HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n{"choices": ['
FATAL: dict[str, tuple[Callable[[str, Any], Any], type[Exception], str]] = {
    "500": (
        always((500, {"error": {"message": "out of luck"}})),
        ServerError,
        "500: out of luck, 2",
    ),
    "closes": (always(b""), ServerError, "broke off the connection, 2 times"),
    "breaks off": (always(BROKEN_OFF), ServerError, "broke off the connection, 2 times"),
    "stalls": (always(SILENCE), ServerError, "was silent for too long .*, 2 times"),
    "400": (always((400, {"error": {"message": "too long"}})), ServerError, "400: too long$"),
    "401": (always((401, {})), ServerError, "wants another key .* MOTES_API_KEY"),
    "half JSON": (always((200, b'{"choices": [')), ServerError, "broken JSON"),
    "a list": (always((200, b"[1]")), ServerError, "a JSON object was expected"),
    "an error": (always({"error": "dead"}), ServerError, "reports an error: dead"),
    "no choice": (lambda path, answer: answer | {"choices": []}, ServerError, "sent no answer"),
    "NaN": (logprobs(lambda v: [np.nan, *v[1:]]), FloatingPointError, "log-probability nan"),
    "-9999": (logprobs(lambda v: [*v[:-1], -9999.0]), FloatingPointError, "-9999.0 .* finite"),
    "above 0": (logprobs(lambda v: [0.5, *v[1:]]), FloatingPointError, "0.5 .* at most 0"),
    "null": (logprobs(lambda v: [None, *v[1:]]), ServerError, "no log-probability for each"),
    "too few logs": (logprobs(lambda v: v[1:]), ServerError, "no log-probability for each"),
    "no logs": (choice(logprobs=None), ServerError, "no log-probability for each"),
    "no tokens": (
        choice(token_ids=[], logprobs={"token_logprobs": []}),
        ServerError,
        "wrote no token",
    ),
    "texts": (choice(token_ids=["a"]), ServerError, "where token ids were expected"),
    "too many": (choice(token_ids=[5] * 13), ServerError, "13 tokens where at most 12"),
    "other ids": (
        choice(token_ids=[70_000], logprobs={"token_logprobs": [-1.0]}),
        ServerError,
        "token 70000, which the tokenizer does not have",
    ),
    "other end": (
        choice(
            token_ids=[5],
            logprobs={"token_logprobs": [-1.0]},
            finish_reason="stop",
            stop_reason=None,
        ),
        ServerError,
        "ended a text with the token 5",
    ),
    "aborted": (choice(finish_reason="abort"), ServerError, "for the reason 'abort'"),
    "other prompt": (choice(prompt_token_ids=[1, 2]), ServerError, "read another prompt"),
    "other model": (
        lambda path, answer: answer | {"model": "gpt-oss"},
        ServerError,
        "answers with the model 'gpt-oss', and 'stub' was asked",
    ),
}


def patience(words: str) -> float:
    """Return a timeout in seconds: short only where silence is the fault, as machines are busy."""
    return 1.0 if "silent" in words else 60.0


@pytest.mark.parametrize("name", FATAL)
def test_a_fault_that_stays_ends_the_run_in_one_sentence(
    name: str, stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOTES_API_KEY", KEY)
    fault, kind, words = FATAL[name]
    lm = load_lm(stub.url, step=StepRule(cap=12), retries=1, timeout=patience(words))
    before = lm.cost
    stub.fault = fault
    with pytest.raises(kind, match=words) as caught:
        extended(lm)
    assert "\n" not in str(caught.value) and KEY not in str(caught.value)
    assert lm.cost == before  # nothing was drawn


@pytest.mark.parametrize("passing", [(503, {}), b"", BROKEN_OFF], ids=["503", "closes", "breaks"])
def test_a_fault_that_passes_changes_no_draw_and_no_weight(passing: Any, stub: Stub) -> None:
    lm = load_lm(stub.url, step=StepRule(cap=12), retries=6, at_once=1)
    expected = extended(lm)
    number = iter(range(10**6))
    stub.fault = lambda path, answer: passing if next(number) % 2 == 0 else answer
    for one, other in zip(extended(lm), expected, strict=True):
        assert (one.token_ids, one.logprob) == (other.token_ids, other.logprob)


def test_too_few_tokens_are_asked_on_and_have_their_own_probability(
    stub: Stub, table_model: TableModel
) -> None:
    lm = load_lm(stub.url, step=StepRule(cap=12))
    prompt = lm.rendered(QUESTION).token_ids
    stub.fault, seen = halved, len(stub.bodies)
    for x in extended(lm, 6):
        table = table_model.log_probs(prompt, x)
        assert x.logprob == pytest.approx(table[np.arange(len(table)), list(x.token_ids)].sum())
        assert x.delimited or x.finished or len(x.token_ids) == 12
    seeds = [body["seed"] for body in stub.bodies[seen:]]
    assert len(set(seeds)) == len(seeds) > 6


def test_every_field_of_the_law_is_sent_and_each_slot_has_its_seed(stub: Stub) -> None:
    lm = load_lm(stub.url, step=StepRule(cap=12))
    seen = len(stub.bodies)
    extended(lm, 4)
    bodies = stub.bodies[seen:]
    law = {"temperature": 1.0, "top_p": 1.0, "top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0}
    none = {"presence_penalty": 0.0, "frequency_penalty": 0.0, "min_tokens": 0, "n": 1}
    for body in bodies:
        assert (law | none).items() <= body.items() and not body["ignore_eos"]
        assert 0 <= body["seed"] < 2**63 and body["stop"] == ["\n\n"]
    assert len({body["seed"] for body in bodies}) == len(bodies) == 4


def test_the_key_is_sent_and_shown_nowhere(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTHER_KEY", KEY)
    lm = load_lm(stub.url, key_variable="OTHER_KEY")
    assert {headers["Authorization"] for headers in stub.headers} == {f"Bearer {KEY}"}
    shown = [repr(lm), repr(vars(lm)), repr(vars(lm._connection)), lm.fingerprint, lm.name]
    assert KEY not in "".join(shown)


@pytest.mark.parametrize(
    ("event", "kind", "words"),
    [
        ({"tokens": [5], "completion_probabilities": []}, ServerError, "no probability for each"),
        (
            {"tokens": [5], "completion_probabilities": [{"id": 5, "prob": 0.0}]},
            FloatingPointError,
            "finite, since the token can be drawn",
        ),
        (
            {"tokens": [5], "completion_probabilities": [{"id": 5, "prob": 1.5}]},
            FloatingPointError,
            "at most 0",
        ),
        (
            {"tokens": [5], "completion_probabilities": [{"id": 5, "prob": float("nan")}]},
            FloatingPointError,
            "at most 0",
        ),
        (b'{"tokens": [', ServerError, "broken JSON"),
        (SILENCE, ServerError, "was silent for too long"),
    ],
    ids=["no probabilities", "zero", "above 1", "NaN", "half JSON", "stalls"],
)
def test_a_stream_that_goes_wrong(
    event: Any, kind: type[Exception], words: str, table_model: TableModel
) -> None:
    with serving(LlamaCppStub(table_model)) as running:
        lm = load_lm(running.url, step=StepRule(cap=12), retries=0, timeout=patience(words))
        running.fault = lambda path, answer: event
        with pytest.raises(kind, match=words):
            extended(lm)


@pytest.mark.parametrize("refused", [("top_k",), ("top_k", "min_p", "repetition_penalty")])
def test_a_server_is_sent_the_other_fields_that_it_knows(
    refused: tuple[str, ...], table_model: TableModel
) -> None:
    strict = TextStub(table_model)
    strict.refused = refused
    with serving(strict) as running:
        lm = load_lm(running.url, step=StepRule(cap=40))
        extended(lm)
        others = {"top_k", "min_p", "repetition_penalty"}
        assert others <= running.bodies[0].keys()
        assert others - running.bodies[-1].keys() == set(refused)
    with serving(TextStub(table_model)) as running:
        extended(load_lm(running.url, step=StepRule(cap=40)))
        assert running.bodies[-1]["top_k"] == -1 and running.bodies[-1]["min_p"] == 0


def test_what_cannot_be_used_is_said_when_it_is_loaded(
    stub: Stub, table_model: TableModel, smollm_folder: Any
) -> None:
    for url, words in [
        ("http://user:secret@127.0.0.1:1", "no user and no password"),
        ("http://", "must be 'http://HOST:PORT'"),
    ]:
        with pytest.raises(ValueError, match=words) as caught:
            load_lm(url)
        assert "secret" not in str(caught.value)
    with pytest.raises(TypeError, match="no argument 'temperature' for servers"):
        load_lm(stub.url, temperature=0.7)
    with pytest.raises(TypeError, match="'tokenizer' for servers and vLLM alone"):
        load_lm("pocket", tokenizer="pocket")
    with pytest.raises(ValueError, match="device must be 'auto' for a server"):
        load_lm(stub.url, device="cpu")
    with pytest.raises(ServerError, match="does not serve the model 'gpt', but stub"):
        load_lm(stub.url, model="gpt")
    with pytest.raises(ValueError, match="the tokenizer is not that of 'stub'"):
        load_lm(stub.url, tokenizer=smollm_folder)
    lm = load_lm(stub.url)
    with pytest.raises(ValueError, match="temperature must be at most 2 .*, not 3"):
        motes.ppl.StateSpaceModel(QUESTION, lm=lm, prm=None, prior=Sampling(temperature=3.0))
    with pytest.raises(ValueError, match="--logprobs-mode processed_logprobs"):
        motes.ppl.StateSpaceModel(QUESTION, lm=lm, prm=None, prior=Sampling(temperature=0.7))
    with (
        pytest.raises(ValueError, match="cap or|at its cap"),
        serving(TextStub(table_model)) as other,
    ):
        load_lm(other.url, step=StepRule(tokens=3))

    class Same(VllmStub):
        def _write(self, prompt: Any, body: Any, law: Any) -> Any:
            return super()._write(prompt, body | {"seed": 1}, law)

    with serving(Same(table_model)) as other, pytest.raises(ServerError, match="copies of one"):
        load_lm(other.url)
    with serving(VllmStub(table_model, seeded=False)) as other:
        assert not load_lm(other.url).capabilities.seeds


def meta(**changes: Any) -> Callable[[str, Any], Any]:
    """A fault that changes what an answer of SGLang says of itself."""
    return lambda path, answer: answer | {"meta_info": answer["meta_info"] | changes}


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        (meta(output_token_logprobs=None), ServerError, "no log-probability for each"),
        (meta(output_token_logprobs=[[-1.0, 5, None]] * 3), ServerError, "no log-probability"),
        (lambda path, answer: answer | {"output_ids": [5] * 13}, ServerError, "13 tokens where"),
        (lambda path, answer: answer | {"output_ids": ["a"]}, ServerError, "token ids were expe"),
        (lambda path, answer: {"text": "5"}, ServerError, "sent no answer"),
        (meta(finish_reason={"type": "abort", "message": "full"}), ServerError, "abort.*full"),
        (meta(finish_reason=None), ServerError, "for the reason None"),
        (meta(prompt_tokens=1), ServerError, "read another prompt"),
        (always((503, {"error": {"message": "asleep"}})), ServerError, "503: asleep$"),
        (always((400, {"error": {"message": "longer than"}})), ServerError, "400: longer than$"),
        (always(SILENCE), ServerError, "was silent for too long"),
        (always(BROKEN_OFF), ServerError, "broke off"),
    ],
)
def test_a_server_of_sglang_that_goes_wrong(
    fault: Any, kind: type[Exception], words: str, table_model: TableModel
) -> None:
    with serving(SGLangStub(table_model)) as running:
        lm = load_lm(running.url, step=StepRule(cap=12), retries=0, timeout=patience(words))
        before, running.fault = lm.cost, fault
        with pytest.raises(kind, match=words) as caught:
            extended(lm)
        assert "\n" not in str(caught.value) and lm.cost == before


@pytest.mark.parametrize("value", [float("nan"), 0.5, -9999.0, None])
def test_a_wrong_number_of_sglang_is_no_weight(value: Any, table_model: TableModel) -> None:
    def spoiled(path: str, answer: Any) -> Any:
        [first, *rest] = answer["meta_info"]["output_token_logprobs"]
        return meta(output_token_logprobs=[[value, *first[1:]], *rest])(path, answer)

    with serving(SGLangStub(table_model)) as running:
        lm = load_lm(running.url, step=StepRule(cap=12), retries=0)
        running.fault = spoiled
        with pytest.raises((ServerError, FloatingPointError), match="log-probability"):
            extended(lm)


def test_what_a_server_of_sglang_can_tell(table_model: TableModel) -> None:
    """Any temperature; no top-k and top-p, of whose weight it does not tell; seeds by its flag."""
    warm, cut = Sampling(temperature=3.0), Sampling(top_k=5)

    def refused(lm: Any, law: Sampling) -> str:
        with pytest.raises(ValueError, match=r"must be Sampling\(\)") as caught:
            extended_by(lm, law)
        return str(caught.value)

    def extended_by(lm: Any, law: Sampling) -> list[Trajectory]:
        keys = jax.random.split(jax.random.key(0), 2)
        return lm.extend([lm.start(QUESTION)] * 2, keys, sampling=law, prior=Sampling())

    with serving(SGLangStub(table_model)) as running:
        lm = load_lm(running.url, step=StepRule(cap=12))
        assert lm.capabilities.seeds and lm.context < table_model.context
        for x in extended_by(lm, warm):
            table = table_model.log_probs(lm.rendered(QUESTION).token_ids, x)
            place = np.arange(len(table)), list(x.token_ids)
            assert x.logprob == pytest.approx(table[place].sum())
            hot = np.array([warm.log_probs(row) for row in table])
            assert x.proposal_logprob == pytest.approx(hot[place].sum())
        assert "leave top-k and top-p out" in refused(lm, cut)
        with pytest.raises(ValueError, match="leave top-k and top-p out"):
            lm.logprob([lm.start(QUESTION)], [[5]], prior=cut)
        free = load_lm(running.url, step=StepRule(cap=12), probabilities=False)
        assert all(np.isnan(x.logprob) for x in extended_by(free, cut))
    with serving(SGLangStub(table_model, original=True)) as running:
        lm = load_lm(running.url, step=StepRule(cap=12))
        assert "without SGLANG_RETURN_ORIGINAL_LOGPROB" in refused(lm, warm)
    with serving(SGLangStub(table_model, deterministic=False)) as running:
        assert not load_lm(running.url).capabilities.seeds


@pytest.mark.parametrize("kind", [LlamaCppStub, SGLangStub])
def test_another_model_behind_the_same_address_ends_the_run(
    kind: Any, table_model: TableModel
) -> None:
    """Between two batches, and within one; answers of these servers do not name their model."""
    with serving(kind(table_model)) as running:
        lm = load_lm(running.url, step=StepRule(cap=12), retries=1)
        [x, *_] = extended(lm)
        before, running.place = lm.cost, "another.gguf"
        for ask in (
            lambda: extended(lm),
            lambda: lm.logprob([x.path[0]], [x.token_ids]),
            lambda: token_confidences(lm, [x]),
        ):
            with pytest.raises(ServerError, match="serves .*another.gguf.* by now, and ") as caught:
                ask()
            assert "\n" not in str(caught.value)
        running.place = kind.place

        def swapped(path: str, answer: Any) -> Any:
            running.place = "another.gguf"
            return answer

        cost, running.fault = lm.cost, swapped
        with pytest.raises(ServerError, match="another.gguf"):
            extended(lm, 6)
        assert lm.cost.generated_tokens == cost.generated_tokens == before.generated_tokens
        running.place, running.fault = kind.place, None
        assert extended(lm)
        running.get = lambda path: None  # it loads a model, perhaps
        with pytest.raises(ServerError, match="does not say what it serves, 2 times"):
            extended(lm)


def test_an_older_server_of_sglang_is_asked_too(table_model: TableModel) -> None:
    """Without /tokenize, and with the path that newer ones no longer have."""

    class Older(SGLangStub):
        def get(self, path: str) -> Any:
            return super().get(
                {"/model_info": "/", "/get_model_info": "/model_info"}.get(path, path)
            )

        def post(self, path: str, body: Any) -> Any:
            return None if path == "/tokenize" else super().post(path, body)

    with serving(Older(table_model)) as running:
        assert extended(load_lm(running.url, step=StepRule(cap=12)))


@pytest.mark.parametrize("kind", [VllmStub, SGLangStub, LlamaCppStub, TextStub])
def test_no_more_requests_at_a_time_than_was_said(kind: Any, table_model: TableModel) -> None:
    def slow(path: str, answer: Any) -> Any:
        time.sleep(0.01)
        return answer

    with serving(kind(table_model)) as running:
        lm = load_lm(running.url, step=StepRule(cap=6), at_once=3)
        running.fault, running.most_at_once = slow, 0
        assert len(extended(lm, 9)) == 9
        assert 1 < running.most_at_once <= 3


@pytest.mark.parametrize("kind", [VllmStub, SGLangStub, LlamaCppStub])
def test_a_filter_that_loses_its_server_goes_on_from_its_checkpoint(
    kind: Any, table_model: TableModel, tmp_path: Any
) -> None:
    prm = FunctionReward(lambda x: 0.3 * len(x.step_token_ids) - 1, name="length")

    def solved(url: str, checkpoint: Any = None) -> Any:
        lm = load_lm(url, step=StepRule(cap=12), retries=0)
        settings: dict[str, Any] = {"particles": 4, "max_steps": 3, "seed": 0, "progress": False}
        return motes.solve(QUESTION, lm=lm, prm=prm, checkpoint=checkpoint, **settings)

    place = tmp_path / "run.npz"
    with serving(kind(table_model)) as running:
        load_lm(running.url)
        loading = len(running.bodies)
        whole = solved(running.url)
        running.bodies.clear()
        running.dies_after = loading + 4 + 2  # within the second step of four particles
        with pytest.raises(ServerError, match="broke off the connection"):
            solved(running.url, place)
    assert place.exists()
    with serving(kind(table_model)) as running:
        again = solved(running.url, place)
        asked = len(running.bodies)
    assert [x.token_ids for x in again.trajectories] == [x.token_ids for x in whole.trajectories]
    np.testing.assert_allclose(again.log_weights, whole.log_weights)
    with serving(kind(table_model)) as running:
        solved(running.url)
        assert asked == len(running.bodies) - 4  # the first step was not drawn again
