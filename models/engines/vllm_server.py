"""vLLM's server: its OpenAI-compatible API, with token ids both ways.

One request a slot, since several prompts of one request share a seed. Every field of the law is
sent, so that nothing of the model's generation_config.json can leak into it.

A server reports one of two laws, by its flag --logprobs-mode: that of the model as it is
("raw_logprobs", the default), or that which tokens are drawn from ("processed_logprobs"). Which,
cannot be asked, and is found out by drawing at two temperatures. Given texts are scored as the
model is; under another law only by a server of the second kind, a request a token.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from ..sampling import Sampling
from .connection import Connection
from .dialect import COLD, HOT, SAME, Asked, Piece, Served, log_probabilities, token_ids
from .likeliest import checked_likeliest

PATH = "/v1/completions"
TOKENS_NAMED = "return_tokens_as_token_ids"
PLAIN = Sampling()


class VllmServer:
    """A server of vLLM; see `Dialect`.

    Args:
        connection: to it.
        served: what it says of itself.
    """

    kind = "vLLM server"
    hottest = 2.0
    truncates = True
    streams = False
    advice = "start it with --logprobs-mode processed_logprobs"

    def __init__(self, connection: Connection, served: Served) -> None:
        self._connection, self.served = connection, served
        self.raw, self.scores_any = True, False

    def learn(self, probe: tuple[int, ...]) -> None:
        self.raw = self._connection.patiently(lambda: self._reports_raw(probe))
        self.scores_any = not self.raw

    def check_served(self) -> None:
        """Do nothing: each answer names its model."""

    def write(self, asked: Asked) -> Generator[Piece, None, None]:
        body = self._body(asked.context, asked.most, asked.sampling, seed=asked.seed)
        body |= {"return_token_ids": True, "logprobs": 0}
        body |= {"stop": list(asked.stops), "include_stop_str_in_output": True}
        answer = self._connection.post(PATH, body)
        choice = self._choice(answer)
        tokens = token_ids(self._connection, choice.get("token_ids"))
        if len(tokens) > asked.most:
            raise self._connection.wrong(
                f"wrote {len(tokens)} tokens where at most {asked.most} were asked for"
            )
        if choice.get("prompt_token_ids", list(asked.context)) != list(asked.context):
            raise self._connection.wrong("read another prompt than was sent")
        logprobs = _at(choice, "logprobs", "token_logprobs") if tokens else []
        yield Piece(
            tokens=tokens,
            logprobs=log_probabilities(self._connection, logprobs, len(tokens), possible=True),
            ended=choice["finish_reason"] == "stop" and choice.get("stop_reason") is None,
            cached=_at(answer, "usage", "prompt_tokens_details", "cached_tokens"),
        )

    def score(
        self, context: tuple[int, ...], continuation: tuple[int, ...], law: Sampling
    ) -> tuple[float, ...]:
        if law != PLAIN or len(continuation) <= 1:  # one token leaves the cache usable
            return tuple(
                self._score_one((*context, *continuation[:place]), token, law)
                for place, token in enumerate(continuation)
            )
        if self._fills(context, continuation):
            most = self.score(context, continuation[:-1], law)
            return most + self.score((*context, *continuation[:-1]), continuation[-1:], law)
        body = self._body((*context, *continuation), 0, PLAIN) | {"echo": True, "logprobs": 0}
        choice = self._choice(self._connection.post(PATH, body))
        values = _at(choice, "logprobs", "token_logprobs")
        whole = len(context) + len(continuation)
        if not isinstance(values, list) or len(values) != whole:
            raise self._connection.wrong(f"sent no log-probability for each of {whole} tokens")
        own = values[len(context) :]
        return log_probabilities(self._connection, own, len(continuation), possible=True)

    def likeliest(
        self, context: tuple[int, ...], continuation: tuple[int, ...], count: int
    ) -> list[tuple[float, ...]]:
        if not continuation:
            return []
        if self._fills(context, continuation):
            most = self.likeliest(context, continuation[:-1], count)
            return [*most, self._likeliest_next((*context, *continuation[:-1]), count)]
        body = self._body((*context, *continuation), 0, PLAIN)
        body |= {"echo": True, "prompt_logprobs": count}
        rows = self._choice(self._connection.post(PATH, body)).get("prompt_logprobs")
        whole = len(context) + len(continuation)
        if not isinstance(rows, list) or len(rows) != whole:
            raise self._connection.wrong(f"sent no log-probability for each of {whole} tokens")
        own = zip(rows[len(context) :], continuation, strict=True)
        return [self._ranked(row, token, count) for row, token in own]

    def _fills(self, context: tuple[int, ...], continuation: tuple[int, ...]) -> bool:
        """Return whether a text leaves no room for the token that the server writes behind it."""
        room = self.served.context
        return room is not None and len(context) + len(continuation) >= room

    def _likeliest_next(self, context: tuple[int, ...], count: int) -> tuple[float, ...]:
        """Return what `likeliest` does, for a token that is not sent: one is drawn in its place.

        What was drawn is told besides the likeliest where it is none of them.
        """
        body = self._body(context, 1, PLAIN) | {"logprobs": count, "return_token_ids": True}
        choice = self._choice(self._connection.post(PATH, body | {TOKENS_NAMED: True}))
        [told] = _at(choice, "logprobs", "top_logprobs") or [None]
        if not isinstance(told, dict):
            raise self._connection.wrong("sent no log-probabilities of a law's likeliest tokens")
        drawn = token_ids(self._connection, choice.get("token_ids"))
        besides = {f"token_id:{token}" for token in drawn} if len(told) > count else set()
        best = [(name, value) for name, value in told.items() if name not in besides]
        return checked_likeliest(self._connection, best, count)

    def _ranked(self, row: Any, token: int, count: int) -> tuple[float, ...]:
        """Return the log-probabilities of ranks 1 to `count`; the token's own rank may be lower."""
        if not isinstance(row, dict) or str(token) not in row:
            raise self._connection.wrong(f"sent no log-probability of the token {token}")
        entries = {name: entry for name, entry in row.items() if isinstance(entry, dict)}
        ranks = {name: entry.get("rank") for name, entry in entries.items()}
        best = [name for name, rank in ranks.items() if type(rank) is int and 1 <= rank <= count]
        if len({ranks[name] for name in best}) != len(best):
            raise self._connection.wrong("gave two tokens the same rank")
        told = ((name, entries[name].get("logprob")) for name in best)
        return checked_likeliest(self._connection, told, count)

    def tokenized(self, text: str) -> list[int] | None:
        body = {"model": self.served.name, "prompt": text, "add_special_tokens": False}
        return self._connection.post("/tokenize", body).get("tokens")

    def _score_one(self, context: tuple[int, ...], token: int, law: Sampling) -> float:
        body = self._body(context, 1, law, seed=0)
        body |= {
            "logprobs": 1,
            "logprob_token_ids": [token],
            TOKENS_NAMED: True,
        }
        choice = self._choice(self._connection.post(PATH, body))
        found = (_at(choice, "logprobs", "top_logprobs") or [{}])[0].get(f"token_id:{token}")
        possible = not law.truncates
        return log_probabilities(self._connection, [found], 1, possible=possible)[0]

    def _body(
        self, context: tuple[int, ...], most: int, law: Sampling, *, seed: int = 0
    ) -> dict[str, Any]:
        """Return a request with every field of the law."""
        return {
            "model": self.served.name,
            "prompt": list(context),
            "max_tokens": most,
            "seed": seed,
            "n": 1,
            "stream": False,
            "temperature": law.temperature,
            "top_p": law.top_p,
            "top_k": law.top_k or 0,
            "min_p": 0.0,
            "repetition_penalty": 1.0,
            "presence_penalty": 0.0,
            "frequency_penalty": 0.0,
            "min_tokens": 0,
            "ignore_eos": False,
            "stop_token_ids": [],
            "stop": [],
        }

    def _choice(self, answer: dict[str, Any]) -> dict[str, Any]:
        """Return the one choice of an answer of the model that was asked."""
        if answer.get("model") != self.served.name:
            raise self._connection.wrong(
                f"answers with the model {answer.get('model')!r}, and {self.served.name!r} was "
                "asked"
            )
        choices = answer.get("choices")
        if not isinstance(choices, list) or len(choices) != 1 or not isinstance(choices[0], dict):
            raise self._connection.wrong("sent no answer where one was expected")
        if choices[0].get("finish_reason") not in ("stop", "length"):
            raise self._connection.wrong(
                f"ended a text for the reason {choices[0].get('finish_reason')!r}"
            )
        return choices[0]

    def _reports_raw(self, probe: tuple[int, ...]) -> bool:
        cold, hot = (self._likeliest(probe, law) for law in (COLD, HOT))
        return abs(cold - hot) < SAME

    def _likeliest(self, probe: tuple[int, ...], law: Sampling) -> float:
        """Return the log-probability of the likeliest token after the probe."""
        body = self._body(probe, 1, law) | {"logprobs": 1}
        choice = self._choice(self._connection.post(PATH, body))
        best = _at(choice, "logprobs", "top_logprobs")
        if not isinstance(best, list) or not best or not best[0]:
            raise self._connection.wrong("sent no log-probabilities")
        values = list(best[0].values())
        return max(log_probabilities(self._connection, values, len(values), possible=True))


def _at(value: Any, *names: str) -> Any:
    """Return what stands at a path of names; None where it leads nowhere."""
    for name in names:
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value
