"""Servers of language models, small enough to be read, that speak the dialects of real ones.

The model is a pair of random tables: the logits of the next token are a row of one, by the last
token, and a row of another, by the one before it. The tokenizer is the pocket's. What a request
leaves out is taken from a generation_config.json as published models have them, so that a client
that does not send every field of the law draws from another one.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
from transformers import AutoTokenizer

from motes.models import Sampling, Trajectory
from motes.models.pocket import LM_FOLDER

DEFAULTS = {"temperature": 0.7, "top_p": 0.8, "top_k": 20, "min_p": 0.05, "penalty": 1.05}
Answer = dict[str, Any]


class TableModel:
    """The model behind a stub, and what its log-probabilities must be."""

    def __init__(self, seed: int = 0, context: int = 512) -> None:
        self.tokenizer: Any = AutoTokenizer.from_pretrained(LM_FOLDER)
        self.context, size = context, len(self.tokenizer)
        rng = np.random.default_rng(seed)
        self.eos = self.tokenizer.eos_token_id
        self._last, self._before = rng.normal(0, 2, (2, size, size))
        self._last[:, self.eos] = -1.0
        special = [token for token in self.tokenizer.all_special_ids if token != self.eos]
        self._last[:, special] = -30.0
        for token in range(size):  # steps of a few tokens
            if "\n" in self.tokenizer.decode([token]):
                self._last[:, token] += 4.0

    def logits(self, ids: list[int]) -> np.ndarray:
        before = self._before[ids[-2]] if len(ids) > 1 else 0.0
        return self._last[ids[-1]] + 0.3 * before

    def draw(self, ids: list[int], law: Sampling, rng: np.random.Generator) -> int:
        return int(rng.choice(len(self._last), p=np.exp(law.log_probs(self.logits(ids)))))

    def log_prob(self, ids: list[int], token: int, law: Sampling) -> float:
        return float(law.log_probs(self.logits(ids))[token])

    def ranked(
        self, ids: list[int], count: int, besides: int | None = None, law: Sampling | None = None
    ) -> list[tuple[int, int, float]]:
        """Token, rank and log-probability of the likeliest tokens, and of one besides."""
        row = (law or Sampling()).log_probs(self.logits(ids))
        order = np.argsort(-row, kind="stable").tolist()
        extra = [] if besides is None or besides in order[:count] else [besides]
        return [
            (token, order.index(token) + 1, max(float(row[token]), -9999.0))
            for token in [*extra, *order[:count]]
        ]

    def log_probs(self, prompt: tuple[int, ...], trajectory: Trajectory) -> np.ndarray:
        """Raw log-probabilities (tokens, vocabulary) before each token of a trajectory."""
        ids, rows = [*prompt], []
        for token in trajectory.token_ids:
            rows.append(Sampling().log_probs(self.logits(ids)))
            ids.append(token)
        return np.array(rows)


class PrefixCache:
    """What an engine has read, by whole blocks of tokens.

    Args:
        block: how many tokens a block has.
    """

    def __init__(self, block: int) -> None:
        self.block, self._kept = block, set[tuple[int, ...]]()

    def cached(self, prompt: Sequence[int]) -> int:
        """How many tokens of a prompt need not be read; its last one always is."""
        ends = range((len(prompt) - 1) // self.block * self.block, 0, -self.block)
        return next((end for end in ends if tuple(prompt[:end]) in self._kept), 0)

    def read(self, tokens: Sequence[int]) -> None:
        """Keep what was read."""
        ends = range(self.block, len(tokens) + 1, self.block)
        self._kept |= {tuple(tokens[:end]) for end in ends}


class Stub:
    """A server that runs, and what has been asked of it.

    Attributes:
        bodies: the bodies of all requests, by path.
        most_at_once: the most requests that it has worked on at a time.
        dies_after: after so many requests it closes every connection; None for never.
        fault: makes of a path and an answer what is sent instead: an object, a status and an
            object, bytes to be sent as they are, or None for silence. None for no fault.
    """

    def __init__(self, model: TableModel) -> None:
        self.model = model
        self.bodies: list[Answer] = []
        self.headers: list[dict[str, str]] = []
        self.most_at_once = self.at_work = 0
        self.dies_after: int | None = None
        self.fault: Callable[[str, Answer], Any] | None = None
        self.url = ""
        self.lock = threading.Lock()

    def get(self, path: str) -> Answer | None:
        raise NotImplementedError

    def post(self, path: str, body: Answer) -> Answer | list[Answer] | None:
        """An answer, or the events of a stream; None where there is no such path."""
        raise NotImplementedError

    def law(self, body: Answer) -> Sampling:
        """The law of a request, with the server's own defaults for what it leaves out."""
        top_k = body.get("top_k", DEFAULTS["top_k"])
        assert body.get("min_p", 0.05) == 0 and not body.get("presence_penalty", 1)
        return Sampling(
            temperature=body.get("temperature", DEFAULTS["temperature"]),
            top_p=body.get("top_p", DEFAULTS["top_p"]),
            top_k=int(top_k) if top_k > 0 else None,
        )


class VllmStub(Stub):
    """vLLM's server as of 0.32: /version, /v1/models, /tokenize, /v1/completions.

    Attributes:
        most: how many of a law's likeliest tokens it tells, --max-logprobs.
        kept: its prefix cache.
    """

    def __init__(self, model: TableModel, *, processed: bool = False, seeded: bool = True) -> None:
        super().__init__(model)
        self.most, self.kept = 20, PrefixCache(block=16)
        self.processed, self.seeded, self.name = processed, seeded, "stub"

    def get(self, path: str) -> Answer | None:
        if path != "/v1/models":
            return None
        entry = {"id": self.name, "owned_by": "vllm", "root": str(LM_FOLDER)}
        return {"data": [entry | {"max_model_len": self.model.context}]}

    def post(self, path: str, body: Answer) -> Any:
        if path == "/tokenize":
            ids = self.model.tokenizer(body["prompt"], add_special_tokens=False)["input_ids"]
            return {"tokens": ids, "count": len(ids)}
        assert path == "/v1/completions" and body.get("repetition_penalty") == 1
        prompt, law = list(body["prompt"]), self.law(body)
        count = body.get("prompt_logprobs", body.get("logprobs") or 0)
        if len(prompt) + 1 > self.model.context or count > self.most:
            return 400, {"error": {"message": "too many"}}
        told = law if self.processed else Sampling()
        if "prompt_logprobs" in body:
            assert body["echo"] and not body["max_tokens"]
            rows = [self.model.ranked(prompt[:n], count, prompt[n]) for n in range(1, len(prompt))]
            shown = [
                {str(token): {"logprob": value, "rank": rank} for token, rank, value in row}
                for row in rows
            ]
            answer = self._answer([], prompt, "length", None, None)
            answer["choices"][0]["prompt_logprobs"] = [None, *shown]
            return answer
        if body.get("echo"):
            values = [
                None if place == 0 else self.model.log_prob(prompt[:place], token, Sampling())
                for place, token in enumerate(prompt)
            ]
            values = [-9999.0 if value == -np.inf else value for value in values]
            return self._answer([], prompt, "length", None, {"token_logprobs": values})
        ids, reason, stopped = self._write(prompt, body, law)
        context = [[*prompt, *ids[:place]] for place in range(len(ids))]
        values = [self.model.log_prob(c, t, told) for c, t in zip(context, ids, strict=True)]
        logprobs: Answer = {"token_logprobs": values}
        if body.get("logprob_token_ids"):
            [token] = body["logprob_token_ids"]
            value = self.model.log_prob(prompt, token, told)
            logprobs["top_logprobs"] = [{f"token_id:{token}": max(value, -9999.0)}]
        elif count:
            row = self.model.ranked(prompt, count, ids[0], told)
            logprobs["top_logprobs"] = [{f"token_id:{token}": value for token, _, value in row}]
        return self._answer(ids, prompt, reason, stopped, logprobs)

    def _write(self, prompt: list[int], body: Answer, law: Sampling) -> tuple[Any, str, Any]:
        rng = np.random.default_rng(body["seed"] if self.seeded else None)
        ids: list[int] = []
        while len(ids) < min(body["max_tokens"], self.model.context - len(prompt)):
            ids.append(self.model.draw([*prompt, *ids], law, rng))
            if ids[-1] == self.model.eos:
                return ids, "stop", None
            text = self.model.tokenizer.decode(ids, skip_special_tokens=True)
            for stop in body.get("stop") or ():
                if stop in text:
                    return ids, "stop", stop
        return ids, "length", None

    def _answer(self, ids: Any, prompt: Any, reason: str, stopped: Any, logprobs: Any) -> Answer:
        choice = {
            "token_ids": ids,
            "prompt_token_ids": prompt,
            "finish_reason": reason,
            "stop_reason": stopped,
            "logprobs": logprobs,
        }
        with self.lock:
            cached = self.kept.cached(prompt)
            self.kept.read([*prompt, *ids][:-1])  # nothing has read the last one
        usage = {"prompt_tokens_details": {"cached_tokens": cached}}
        return {"model": self.name, "choices": [choice], "usage": usage}


class LlamaCppStub(Stub):
    """llama.cpp's server: /props, /tokenize, /completion."""

    place = str(LM_FOLDER)  # of the model that it serves

    def get(self, path: str) -> Answer | None:
        if path != "/props":
            return None
        settings = {"n_ctx": self.model.context}
        place = {"model_path": self.place, "model_alias": "stub"}
        return {"default_generation_settings": settings, **place}

    def post(self, path: str, body: Answer) -> Answer | list[Answer] | None:
        if path == "/tokenize":
            ids = self.model.tokenizer(body["content"], add_special_tokens=False)["input_ids"]
            return {"tokens": ids}
        assert path == "/completion" and body["samplers"] == ["temperature", "top_k", "top_p"]
        assert body["repeat_penalty"] == 1 and 0 <= body["seed"] < 2**32 - 1
        prompt, law = list(body["prompt"]), self.law(body)
        if body.get("logit_bias"):
            [[token, _]] = body["logit_bias"]
            value = self.model.log_prob(prompt, token, Sampling())
            return {
                "tokens": [token],
                "completion_probabilities": [{"id": token, "logprob": value}],
            }
        if not body["post_sampling_probs"]:
            rng = np.random.default_rng(body["seed"])
            token = self.model.draw(prompt, law, rng)
            best = [
                {"id": each, "logprob": value}
                for each, _, value in self.model.ranked(prompt, body["n_probs"])
            ]
            entry = {"id": token, "logprob": self.model.log_prob(prompt, token, Sampling())}
            return {"tokens": [token], "completion_probabilities": [entry | {"top_logprobs": best}]}
        rng, ids, events = np.random.default_rng(body["seed"]), list(prompt), []
        ended = False
        while not ended and len(ids) - len(prompt) < body["n_predict"]:
            token = self.model.draw(ids, law, rng)
            probability = float(np.exp(self.model.log_prob(ids, token, law)))
            entry = {"id": token, "prob": probability}
            events.append({"tokens": [token], "completion_probabilities": [entry], "stop": False})
            ids.append(token)
            ended = token == self.model.eos
        last = {"tokens": [], "stop": True, "stop_type": "eos" if ended else "limit"}
        return [*events, last | {"timings": {"cache_n": len(prompt) - 1}}]


class SGLangStub(Stub):
    """SGLang's server as of 0.5.23: /v1/models, /model_info, /tokenize, /generate.

    Log-probabilities of draws are those behind the temperature alone, or raw with `original`
    (SGLANG_RETURN_ORIGINAL_LOGPROB=1); those of a prompt are raw, the first of them missing.
    Seeds are kept with `deterministic` (--enable-deterministic-inference) alone. A stop is cut off
    unless the request says otherwise.
    """

    place = str(LM_FOLDER)  # of the model that it serves

    def __init__(
        self, model: TableModel, *, original: bool = False, deterministic: bool = True
    ) -> None:
        super().__init__(model)
        self.original, self.deterministic = original, deterministic
        self.kept = PrefixCache(block=1)

    def get(self, path: str) -> Answer | None:
        if path == "/v1/models":
            entry = {"id": "stub", "root": "stub", "owned_by": "sglang"}
            return {"data": [entry | {"max_model_len": self.model.context}]}
        return (
            {"model_path": self.place, "tokenizer_path": self.place}
            if path == "/model_info"
            else None
        )

    def post(self, path: str, body: Answer) -> Answer | None:
        if path == "/tokenize":
            ids = self.model.tokenizer(body["prompt"], add_special_tokens=False)["input_ids"]
            return {"tokens": ids, "count": len(ids)}
        assert path == "/generate" and body["return_logprob"] and not body["stream"]
        parameters, prompt = body["sampling_params"], list(body["input_ids"])
        assert parameters.get("repetition_penalty") == 1 and parameters.get("n", 1) == 1
        assert not parameters.get("frequency_penalty", 1)
        law = self.law(parameters)
        told = Sampling() if self.original else Sampling(temperature=law.temperature)
        ids, reason = self._write(prompt, parameters, law)
        before = [[*prompt, *ids[:place]] for place in range(len(ids))]
        meta: Answer = {
            "id": "1",
            "finish_reason": reason,
            "prompt_tokens": len(prompt),
            "completion_tokens": len(ids),
            "cached_tokens": self._cached([*prompt, *ids], len(prompt)),
            "output_token_logprobs": [
                [self.model.log_prob(context, token, told), token, None]
                for context, token in zip(before, ids, strict=True)
            ],
        }
        start = body.get("logprob_start_len", -1)
        if start >= 0:
            meta["input_token_logprobs"] = [
                [None if place == start else self._raw(prompt, place), prompt[place], None]
                for place in range(start, len(prompt))
            ]
        if body.get("token_ids_logprob"):
            meta["output_token_ids_logprobs"] = [
                [
                    [self._finite(context, token, told), token, None]
                    for token in body["token_ids_logprob"]
                ]
                for context in before
            ]
        if body.get("top_logprobs_num"):
            best = lambda context, law: [
                [value, token, None]
                for token, _, value in self.model.ranked(
                    list(context), body["top_logprobs_num"], law=law
                )
            ]
            meta["output_top_logprobs"] = [best(context, told) for context in before]
            if start >= 0:
                meta["input_top_logprobs"] = [
                    None if place == start else best(prompt[:place], Sampling())
                    for place in range(start, len(prompt))
                ]
        return {"text": "not to be used", "output_ids": ids, "meta_info": meta}

    def _cached(self, text: list[int], length: int) -> int:
        """How many tokens of a prompt were read before; the whole text has been, from now on."""
        with self.lock:
            cached = self.kept.cached(text[:length])
            self.kept.read(text[:-1])
        return cached

    def _raw(self, prompt: list[int], place: int) -> float:
        return self._finite(prompt[:place], prompt[place], Sampling())

    def _finite(self, context: list[int], token: int, law: Sampling) -> float:
        return max(self.model.log_prob(context, token, law), -9999.0)

    def _write(self, prompt: list[int], body: Answer, law: Sampling) -> tuple[Any, Answer]:
        rng = np.random.default_rng(body.get("sampling_seed", 42) if self.deterministic else None)
        trimmed = not body.get("no_stop_trim", False)
        most = min(body.get("max_new_tokens", 128), self.model.context - len(prompt) - 2)
        ids: list[int] = []
        while len(ids) < most:
            ids.append(self.model.draw([*prompt, *ids], law, rng))
            if ids[-1] == self.model.eos:
                return ids[:-1] if trimmed else ids, {"type": "stop", "matched": ids[-1]}
            text = self.model.tokenizer.decode(ids, skip_special_tokens=True)
            for stop in body.get("stop") or ():
                if stop in text:
                    return ids[:-1] if trimmed else ids, {"type": "stop", "matched": stop}
        return ids, {"type": "length", "length": len(ids)}


# servers that take and tell token ids
TOKEN_SERVERS: dict[str, Callable[[TableModel], Stub]] = {
    "vLLM": VllmStub,
    "vLLM, processed": lambda model: VllmStub(model, processed=True),
    "llama.cpp": LlamaCppStub,
    "SGLang": SGLangStub,
}


class TextStub(Stub):
    """Any other OpenAI-compatible server: text in, text out, and no log-probabilities.

    Attributes:
        refused: fields with which a request is refused.
    """

    refused: tuple[str, ...] = ()

    def get(self, path: str) -> Answer | None:
        return {"data": [{"id": "stub", "owned_by": "somebody"}]} if path == "/v1/models" else None

    def post(self, path: str, body: Answer) -> Answer | list[Answer] | None:
        assert path == "/v1/completions" and body["temperature"] == body["top_p"] == 1
        if any(field in body for field in self.refused):
            return None
        tokenizer = self.model.tokenizer
        ids = list(tokenizer(body["prompt"], add_special_tokens=False)["input_ids"])
        rng, first, events = np.random.default_rng(body["seed"]), len(ids), []
        reason = "length"
        while len(ids) - first < body["max_tokens"]:
            ids.append(self.model.draw(ids, Sampling(), rng))
            if ids[-1] == self.model.eos:
                reason = "stop"
                break
            events.append(self._event(tokenizer.decode(ids[-1:], skip_special_tokens=True), None))
        events.append(self._event("", reason))
        return events if body["stream"] else events[0]

    def _event(self, text: str, reason: str | None) -> Answer:
        return {"model": "stub", "choices": [{"text": text, "finish_reason": reason}]}


@contextmanager
def serving(stub: Stub) -> Iterator[Stub]:
    """Serve at a free port as long as the block lasts."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # an answer goes out at once, and not its headers first

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_GET(self) -> None:
            self._send(stub.get(self.path))

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with stub.lock:
                stub.bodies.append(body)
                stub.headers.append(dict(self.headers))
                stub.at_work += 1
                stub.most_at_once = max(stub.most_at_once, stub.at_work)
            try:
                self._send(self._answered(body))
            finally:
                with stub.lock:
                    stub.at_work -= 1

        def _answered(self, body: Any) -> Any:
            if stub.dies_after is not None and len(stub.bodies) > stub.dies_after:
                return b""
            answer = stub.post(self.path, body)
            if stub.fault is not None and isinstance(answer, dict):
                answer = stub.fault(self.path, answer)
            elif stub.fault is not None and answer is not None:
                answer = [stub.fault(self.path, event) for event in answer]
            return answer

        def _send(self, answer: Any) -> None:
            try:
                self._sent(answer)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

        def _sent(self, answer: Any) -> None:
            if answer is SILENCE:
                time.sleep(STALL)
                self.close_connection = True
            elif isinstance(answer, list):
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.send_header("Connection", "close")
                self.end_headers()
                for event in answer:
                    if event is SILENCE:
                        time.sleep(STALL)
                    text = event.decode() if isinstance(event, bytes) else json.dumps(event)
                    self.wfile.write(f"data: {text}\n\n".encode())
                self.wfile.write(b"data: [DONE]\n\n")
                self.close_connection = True
            elif isinstance(answer, bytes):  # as it is, and then the connection is closed
                self.wfile.write(answer)
                self.wfile.flush()
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
            else:
                status, value = (404, {}) if answer is None else (200, answer)
                if isinstance(answer, tuple):
                    status, value = answer
                content = value if isinstance(value, bytes) else json.dumps(value).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    stub.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield stub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


SILENCE = object()
STALL = 2.0  # seconds, more than tests of silence wait
