"""SGLang's server: its native API, with token ids both ways.

One request a slot. Every field of the law is sent, so that nothing of the model's
generation_config.json can leak into it. A seed is kept only by a server that was started with
--enable-deterministic-inference; whether it is, is tried when it is loaded.

A draw's log-probability is that behind the temperature and before top-k and top-p, or, where the
server runs with SGLANG_RETURN_ORIGINAL_LOGPROB=1, that of the model as it is. Which, is found out
by drawing at two temperatures. So a law with top-k or top-p has no weight here. Given texts are
scored as the model is, in one request that leaves the prefix cache alone; under another
temperature a request a token.

Answers name no model. So the server is asked once behind each batch what it serves.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from ..sampling import Sampling
from .connection import Connection, PassingFailure, ServerError
from .dialect import COLD, HOT, SAME, Asked, Piece, Served, Standing, log_probabilities, token_ids
from .likeliest import checked_likeliest

PATH = "/generate"
PLAIN = Sampling()
SHOWN = ("model_path", "tokenizer_path", "weight_version")
RESERVED = 7  # tokens of its context that the server keeps from a prompt and what it writes


def said_by(connection: Connection) -> dict[str, Any]:
    """Return what a server of SGLang says of its model; nothing where it says nothing."""
    said = connection.find("/model_info") or connection.find("/get_model_info")
    return {name: said.get(name) for name in SHOWN} if isinstance(said, dict) else {}


class SGLangServer:
    """A server of SGLang; see `Dialect`.

    Args:
        connection: to it.
        served: what it says of itself.
    """

    kind = "SGLang server"
    hottest = float("inf")
    truncates = False
    streams = False
    advice = "start it without SGLANG_RETURN_ORIGINAL_LOGPROB"

    def __init__(self, connection: Connection, served: Served) -> None:
        self._connection, self.served = connection, served
        self.raw, self.scores_any = True, False
        self._standing = Standing(connection, lambda: said_by(connection) or None)

    def check_served(self) -> None:
        self._standing.check()

    def learn(self, probe: tuple[int, ...]) -> None:
        self._connection.patiently(self._standing.check)
        self.raw = self._connection.patiently(lambda: self._reports_raw(probe))
        self.scores_any = not self.raw

    def write(self, asked: Asked) -> Generator[Piece, None, None]:
        law = self._law(asked.sampling, asked.most)
        law |= {"sampling_seed": asked.seed, "stop": list(asked.stops)}
        answer = self._answer(asked.context, law)
        meta = answer["meta_info"]
        tokens = token_ids(self._connection, answer.get("output_ids"))
        if len(tokens) > asked.most:
            raise self._connection.wrong(
                f"wrote {len(tokens)} tokens where at most {asked.most} were asked for"
            )
        values = self._values(meta.get("output_token_logprobs"), tokens)
        reason = meta.get("finish_reason")
        yield Piece(
            tokens=tokens,
            logprobs=log_probabilities(self._connection, values, len(tokens), possible=True),
            ended=reason["type"] == "stop" and isinstance(reason.get("matched"), int),
            cached=meta.get("cached_tokens"),
        )

    def score(
        self, context: tuple[int, ...], continuation: tuple[int, ...], law: Sampling
    ) -> tuple[float, ...]:
        if law != PLAIN:
            return tuple(
                self._score_one((*context, *continuation[:place]), token, law)
                for place, token in enumerate(continuation)
            )
        # from the last token of the context on, which itself has no value
        start = {"logprob_start_len": len(context) - 1}
        whole = (*context, *continuation)
        meta = self._answer(whole, self._law(PLAIN, 0), **start)["meta_info"]
        entries = meta.get("input_token_logprobs")
        own = entries[-len(continuation) :] if isinstance(entries, list) and continuation else []
        values = self._values(own, continuation)
        return log_probabilities(self._connection, values, len(continuation), possible=True)

    def likeliest(
        self, context: tuple[int, ...], continuation: tuple[int, ...], count: int
    ) -> list[tuple[float, ...]]:
        asked = {"logprob_start_len": len(context) - 1, "top_logprobs_num": count}
        whole = (*context, *continuation)
        meta = self._answer(whole, self._law(PLAIN, 0), **asked)["meta_info"]
        rows = meta.get("input_top_logprobs")
        if not isinstance(rows, list) or len(rows) < len(continuation):
            raise self._connection.wrong(
                f"sent no log-probability for each of {len(continuation)} tokens"
            )
        own = rows[len(rows) - len(continuation) :]
        return [checked_likeliest(self._connection, self._told(row), count) for row in own]

    def _told(self, row: Any) -> list[tuple[Any, Any]]:
        """Return the ids and log-probabilities of entries."""
        if not isinstance(row, list) or not all(
            isinstance(entry, list) and len(entry) >= 2 for entry in row
        ):
            raise self._connection.wrong("sent no log-probabilities of a law's likeliest tokens")
        return [(entry[1], entry[0]) for entry in row]

    def tokenized(self, text: str) -> list[int] | None:
        body = {"model": self.served.name, "prompt": text, "add_special_tokens": False}
        try:
            return self._connection.post("/tokenize", body).get("tokens")
        except PassingFailure:
            raise
        except ServerError:  # an older one, which has no such path
            return None

    def _score_one(self, context: tuple[int, ...], token: int, law: Sampling) -> float:
        answer = self._answer(context, self._law(law, 1), token_ids_logprob=[token])
        entries = answer["meta_info"].get("output_token_ids_logprobs")
        first = entries[0] if isinstance(entries, list) and entries else None
        values = self._values(first, (token,))
        possible = not law.truncates
        return log_probabilities(self._connection, values, 1, possible=possible)[0]

    def _law(self, law: Sampling, most: int) -> dict[str, Any]:
        """Return the parameters of a law, every field of it."""
        return {
            "max_new_tokens": most,
            "temperature": law.temperature,
            "top_p": law.top_p,
            "top_k": law.top_k or -1,
            "min_p": 0.0,
            "repetition_penalty": 1.0,
            "presence_penalty": 0.0,
            "frequency_penalty": 0.0,
            "min_new_tokens": 0,
            "ignore_eos": False,
            "n": 1,
            "stop": [],
            "stop_token_ids": [],
            "no_stop_trim": True,
        }

    def _answer(self, context: tuple[int, ...], law: dict[str, Any], **more: Any) -> dict[str, Any]:
        """Return the answer to one request, whose text ended as one may.

        Raises:
            ServerError: it was ended for another reason, or another prompt was read.
        """
        body = {"input_ids": list(context), "sampling_params": law, "stream": False}
        answer = self._connection.post(PATH, body | {"return_logprob": True} | more)
        meta = answer.get("meta_info")
        if not isinstance(meta, dict):
            raise self._connection.wrong("sent no answer where one was expected")
        reason = meta.get("finish_reason")
        kind = reason.get("type") if isinstance(reason, dict) else None
        if kind not in ("stop", "length"):
            raise self._connection.wrong(f"ended a text for the reason {reason!r:.80}")
        if meta.get("prompt_tokens", len(context)) != len(context):
            raise self._connection.wrong("read another prompt than was sent")
        return answer

    def _values(self, entries: Any, tokens: tuple[int, ...]) -> list[Any]:
        """Return the log-probabilities of entries, which must be those of the tokens."""
        plain = isinstance(entries, list) and all(
            isinstance(entry, list) and len(entry) >= 2 for entry in entries
        )
        if not plain or [entry[1] for entry in entries] != list(tokens):
            raise self._connection.wrong(
                f"sent no log-probability for each of {len(tokens)} tokens"
            )
        return [entry[0] for entry in entries]

    def _reports_raw(self, probe: tuple[int, ...]) -> bool:
        cold, hot = (self._likeliest(probe, law) for law in (COLD, HOT))
        return abs(cold - hot) < SAME

    def _likeliest(self, probe: tuple[int, ...], law: Sampling) -> float:
        """Return the log-probability of the likeliest token after the probe."""
        answer = self._answer(probe, self._law(law, 1), top_logprobs_num=1)
        best = answer["meta_info"].get("output_top_logprobs")
        if not isinstance(best, list) or not best or not best[0]:
            raise self._connection.wrong("sent no log-probabilities")
        values = [entry[0] for entry in best[0]]
        return max(log_probabilities(self._connection, values, len(values), possible=True))
