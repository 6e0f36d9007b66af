"""llama.cpp's server: its native API.

Its own rule for stops loses the log-probabilities of the tokens that make the stop. So none is
sent: tokens are streamed, and the connection is closed behind the one that ends the step. A draw's
log-probability is asked for behind the sampler's chain, which is the law that tokens are drawn
from. A given text is scored as the model is, a request a token: a bias forces the token, and leaves
the log-probability that is reported alone. Seeds have 32 bits, and all of them set means "random".

Log-probabilities depend on what else is in a batch, by some 1e-2 nats (keys and values are kept in
half precision), so that the same keys need not give the same draws.

A stream that is cut names no model. So the server is asked once behind each batch what it serves.
"""

from __future__ import annotations

from collections.abc import Generator
from math import inf, log
from typing import Any

from ..sampling import Sampling
from .connection import Connection
from .dialect import Asked, Piece, Served, Standing, log_probabilities, token_ids
from .likeliest import checked_likeliest

PATH = "/completion"
SEEDS = 2**32 - 1  # this one means "random"
SHOWN = ("model_path", "model_alias", "model_ftype")  # of what it serves
FORCED = 1000.0  # added to a token's logit, it is drawn for certain


class LlamaCppServer:
    """A server of llama.cpp; see `Dialect`.

    Args:
        connection: to it.
        served: what it says of itself.
    """

    kind = "llama.cpp server"
    hottest = inf
    raw = False
    scores_any = False
    truncates = True
    streams = True
    advice = ""

    def __init__(self, connection: Connection, served: Served) -> None:
        self._connection, self.served = connection, served
        self._standing = Standing(connection, self._shown)

    def learn(self, probe: tuple[int, ...]) -> None:
        """Remember what it serves; each request says what it wants to be told."""
        self._connection.patiently(self._standing.check)

    def check_served(self) -> None:
        self._standing.check()

    def _shown(self) -> dict[str, Any] | None:
        properties = self._connection.find("/props")
        return {name: properties.get(name) for name in SHOWN} if properties else None

    def write(self, asked: Asked) -> Generator[Piece, None, None]:
        body = self._body(asked.context, asked.most, asked.sampling)
        body |= {"seed": asked.seed % SEEDS, "post_sampling_probs": True, "stream": True}
        cached: int | None = None
        for event in self._connection.stream(PATH, body):
            cached = (event.get("timings") or {}).get("cache_n", cached)
            tokens = token_ids(self._connection, event.get("tokens", []))
            ended = event.get("stop") is True and event.get("stop_type") == "eos"
            if tokens or ended:
                yield Piece(
                    tokens=tokens,
                    logprobs=self._drawn(event, tokens),
                    ended=ended,
                    cached=cached,
                )

    def score(
        self, context: tuple[int, ...], continuation: tuple[int, ...], law: Sampling
    ) -> tuple[float, ...]:
        return tuple(
            self._score_one((*context, *continuation[:place]), token)
            for place, token in enumerate(continuation)
        )

    def likeliest(
        self, context: tuple[int, ...], continuation: tuple[int, ...], count: int
    ) -> list[tuple[float, ...]]:
        return [
            self._likeliest_one((*context, *continuation[:place]), count)
            for place in range(len(continuation))
        ]

    def tokenized(self, text: str) -> list[int] | None:
        body = {"content": text, "add_special": False}
        return self._connection.post("/tokenize", body).get("tokens")

    def _score_one(self, context: tuple[int, ...], token: int) -> float:
        body = self._body(context, 1, Sampling())
        body |= {"seed": 0, "post_sampling_probs": False, "logit_bias": [[token, FORCED]]}
        answer = self._connection.post(PATH, body)
        if answer.get("tokens") != [token]:
            raise self._connection.wrong(f"wrote {answer.get('tokens')!r} where {token} was forced")
        [entry] = self._entries(answer, (token,))
        return log_probabilities(self._connection, [entry.get("logprob")], 1, possible=True)[0]

    def _likeliest_one(self, context: tuple[int, ...], count: int) -> tuple[float, ...]:
        body = self._body(context, 1, Sampling())
        body |= {"seed": 0, "post_sampling_probs": False, "n_probs": count}
        answer = self._connection.post(PATH, body)
        [entry] = self._entries(answer, token_ids(self._connection, answer.get("tokens")))
        told = entry.get("top_logprobs")
        if not isinstance(told, list) or not all(isinstance(each, dict) for each in told):
            raise self._connection.wrong("sent no log-probabilities of a law's likeliest tokens")
        pairs = ((each.get("id"), each.get("logprob")) for each in told)
        return checked_likeliest(self._connection, pairs, count)

    def _drawn(self, event: dict[str, Any], tokens: tuple[int, ...]) -> tuple[float, ...]:
        """Return the log-probability of each token behind the sampler's chain."""
        values: list[Any] = []
        for entry in self._entries(event, tokens):
            probability = entry.get("prob")
            if not isinstance(probability, int | float):
                raise self._connection.wrong(f"sent the probability {probability!r} of a token")
            values.append(log(probability) if probability > 0 else -inf)
        return log_probabilities(self._connection, values, len(tokens), possible=True)

    def _entries(self, event: dict[str, Any], tokens: tuple[int, ...]) -> list[dict[str, Any]]:
        entries = event.get("completion_probabilities") or []
        if [entry.get("id") for entry in entries] != list(tokens):
            raise self._connection.wrong("sent no probability for each token that it wrote")
        return entries

    def _body(self, context: tuple[int, ...], most: int, law: Sampling) -> dict[str, Any]:
        """Return a request with every field of the law; what is not in the chain is off."""
        return {
            "prompt": list(context),
            "n_predict": most,
            "samplers": ["temperature", "top_k", "top_p"],
            "temperature": law.temperature,
            "top_k": law.top_k or 0,
            "top_p": law.top_p,
            "min_p": 0.0,
            "typical_p": 1.0,
            "top_n_sigma": -1.0,
            "xtc_probability": 0.0,
            "dynatemp_range": 0.0,
            "mirostat": 0,
            "repeat_penalty": 1.0,
            "presence_penalty": 0.0,
            "frequency_penalty": 0.0,
            "dry_multiplier": 0.0,
            "n_probs": 1,
            "return_tokens": True,
            "cache_prompt": True,
            "ignore_eos": False,
            "stop": [],
            "stream": False,
        }
