"""Replies as OpenAI's clients read them, whole or in chunks, with what motes knows in `motes`."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from secrets import token_hex
from typing import Any

from fastapi.responses import JSONResponse

from .outcome import Choice, Outcome


def as_json(content: object) -> str:
    """Return JSON in ASCII: a text may hold what UTF-8 cannot."""
    return json.dumps(content, allow_nan=False, default=str, separators=(",", ":"))


class AsciiJSON(JSONResponse):
    """A reply in JSON, in ASCII."""

    def render(self, content: Any) -> bytes:
        return as_json(content).encode("ascii")


@dataclass(frozen=True, kw_only=True)
class ReplyForm:
    """Puts outcomes into the form of one endpoint.

    Attributes:
        chat: whether it is a chat completion; else a completion.
        model: as the request names it.
        metadata: whether to put in what motes knows.
        number: of the request.
        created: the time, in seconds since 1970.
    """

    chat: bool
    model: str
    metadata: bool = True
    number: str = field(default_factory=lambda: token_hex(12))
    created: int = field(default_factory=lambda: int(time.time()))

    def whole(self, outcome: Outcome, motes: dict[str, Any]) -> dict[str, Any]:
        """Return the reply, all of it."""
        choices = [self._choice(index, choice) for index, choice in enumerate(outcome.choices)]
        reply = {**self._head(chunk=False), "choices": choices, "usage": usage(outcome)}
        if outcome.solutions:
            reply["metadata"] = _all_solutions(outcome)
        return {**reply, "motes": motes} if self.metadata else reply

    def chunk(self, choices: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        """Return a piece of a reply."""
        return {**self._head(chunk=True), "choices": choices, **more}

    def beginning(self) -> dict[str, Any]:
        """Return the first piece."""
        return self.chunk([self._piece(0, {"role": "assistant", "content": ""}, "")])

    def progress(self, event: dict[str, Any]) -> dict[str, Any]:
        """Return a piece without text, which tells of the run."""
        return self.chunk([self._piece(0, {}, "")], motes=event)

    def pieces(self, outcome: Outcome, motes: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield the texts step by step, then how each ended; the last piece has `motes`."""
        for index, choice in enumerate(outcome.choices):
            for step in choice.steps:
                yield self.chunk([self._piece(index, {"content": step}, step)])
        last = len(outcome.choices) - 1
        for index, choice in enumerate(outcome.choices):
            more = {"motes": motes} if index == last and self.metadata else {}
            yield self.chunk([self._piece(index, {}, "", _reason(choice))], **more)

    def _head(self, chunk: bool) -> dict[str, Any]:
        kind = "text_completion"
        if self.chat:
            kind = "chat.completion.chunk" if chunk else "chat.completion"
        prefix = "chatcmpl" if self.chat else "cmpl"
        return {
            "id": f"{prefix}-{self.number}",
            "object": kind,
            "created": self.created,
            "model": self.model,
        }

    def _choice(self, index: int, choice: Choice) -> dict[str, Any]:
        text = "".join(choice.steps)
        shown: dict[str, Any] = {"text": text}
        if self.chat:
            shown = {"message": {"role": "assistant", "content": text, "refusal": None}}
        whole = {"index": index, **shown, "logprobs": None, "finish_reason": _reason(choice)}
        if self.metadata:
            whole["motes"] = {"answer": choice.answer, "probability": choice.probability}
        return whole

    def _piece(
        self, index: int, delta: dict[str, Any], text: str, reason: str | None = None
    ) -> dict[str, Any]:
        shown: dict[str, Any] = {"delta": delta} if self.chat else {"text": text}
        return {"index": index, **shown, "logprobs": None, "finish_reason": reason}


def _all_solutions(outcome: Outcome) -> dict[str, Any]:
    """Return what its_hub's `metadata` has: every solution, and which of them is the reply."""
    texts = [text for text, _ in outcome.solutions]
    return {
        "algorithm": outcome.facts["sampler"],
        "responses": texts,
        "weights": [weight for _, weight in outcome.solutions],
        "selected_index": texts.index("".join(outcome.choices[0].steps)),
    }


def usage(outcome: Outcome) -> dict[str, Any]:
    """Return how many tokens a request took: the prompt's, and all that were generated for it.

    Those that the reward model has read stand beside.
    """
    return {
        "prompt_tokens": outcome.prompt_tokens,
        "completion_tokens": outcome.tokens,
        "total_tokens": outcome.prompt_tokens + outcome.tokens,
        "motes_reward_model_tokens": outcome.prm_tokens,
    }


def _reason(choice: Choice) -> str:
    return "stop" if choice.finished else "length"
