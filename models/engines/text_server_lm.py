"""A language model behind any server that completes a text.

Such a server takes and gives text, and tells no log-probability. Its steps are texts, streamed and
cut behind the delimiter, so that the delimiter and the end of a text can be told apart. What it
draws has one law, that of its model as it is: temperature 1, and every other field of the law sent.
It serves importance sampling, votes, and filters whose proposal is the prior.

The token ids of a step are the code points of its text: nothing is known of the model's own.
Budgets in tokens count characters, then.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from math import nan
from typing import Any, NamedTuple

import numpy as np

from ...aliases import PRNGKeys
from ..conversation import turns_of
from ..cost import Cost
from ..identity import identify
from ..language.tokenized_lm import check_open
from ..prompt_forms import PLACE, ChatPrompt, PromptForm
from ..prompt_presets import chosen_form
from ..protocols import Capabilities
from ..randomness import raw_keys
from ..sampling import Sampling
from ..step_rule import StepRule
from ..trajectory import Trajectory
from .connection import Connection, PassingFailure, ServerError
from .dialect import Served
from .server_lm import seed_of

PATH = "/v1/completions"
# not OpenAI's own, which has no such laws; sent where the server takes them, off
OTHERS = {"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0}


class TextServerLM:
    """A language model that completes texts, as a `LanguageModel`; see `motes.load_lm`.

    Args:
        connection: to the server.
        served: what it says of itself.
        step: when a step ends; its cap is sent as the most tokens of a step.
        prompt: a text with {question} in it, or a function from a question to a text; the question
            alone where None.

    Attributes:
        cost: of it, `generated_tokens` counts characters and `forward_passes` requests.

    Raises:
        ValueError: `prompt` is a chat, for which a server of texts has no template, or `step` has a
            number of tokens, which it does not show, or thinking.
    """

    def __init__(
        self,
        connection: Connection,
        served: Served,
        *,
        step: StepRule | None = None,
        prompt: PromptForm | None = None,
    ) -> None:
        prompt = chosen_form(prompt)
        if isinstance(prompt, ChatPrompt):
            raise ValueError(
                f"prompt must be a text with {PLACE} in it for the server of {served.name!r}, "
                "which completes texts, and not a ChatPrompt"
            )
        self.step = step or StepRule()
        if self.step.thinking is not None:
            raise ValueError(
                f"step must have no thinking for the server of {served.name!r}, whose tokens "
                "cannot be seen"
            )
        if self.step.tokens is not None:
            raise ValueError(
                f"step must end at a delimiter, by a predicate or at its cap for the server of "
                f"{served.name!r}, whose tokens cannot be seen, and not after "
                f"{self.step.tokens} tokens"
            )
        self.name, self.prompt, self.cost = served.name, prompt, Cost()
        self._connection = connection
        self._others = connection.patiently(self._other_fields)
        self._pool = ThreadPoolExecutor(connection.at_once, thread_name_prefix="motes-server")

    @property
    def capabilities(self) -> Capabilities:
        """One law, and no probabilities."""
        return Capabilities(sampling=False, probabilities=False, step_rule=self.step, seeds=False)

    @property
    def fingerprint(self) -> str:
        """What tells it from other models: its name, its prompt, and where its steps end."""
        return str(identify(self).text)

    def start(self, question: str) -> Trajectory:
        """Return the root of a new tree; see `LanguageModel.start`."""
        if not question.strip():
            raise ValueError("question must be a text that is not blank")
        if len(turns_of(question)) > 1:
            raise ValueError(
                f"question must be one text for the server of {self.name!r}, which has no chat "
                "template, and not several messages"
            )
        return Trajectory(question=question)

    def extend(
        self,
        trajectories: Sequence[Trajectory],
        keys: PRNGKeys,
        *,
        sampling: Sampling | None = None,
        prior: Sampling | None = None,
    ) -> list[Trajectory]:
        """Draw one step for each trajectory; see `LanguageModel.extend`."""
        check_open(trajectories)
        if not trajectories:
            return []
        raw = raw_keys(keys, len(trajectories))
        futures = [
            self._pool.submit(
                self._connection.patiently, lambda x=x, key=key: self._written(x, key)
            )
            for x, key in zip(trajectories, raw, strict=True)
        ]
        try:
            texts = [future.result() for future in futures]
        finally:
            for future in futures:
                future.cancel()
        self.cost += Cost(
            generated_tokens=sum(len(written.text) for written in texts),
            forward_passes=len(texts),
        )
        return [self._child(x, written) for x, written in zip(trajectories, texts, strict=True)]

    def _written(self, trajectory: Trajectory, key: np.ndarray) -> _Written:
        """Draw one step's text."""
        text, reason = "", None
        body = self._body(
            self._prompt(trajectory.question) + trajectory.text, seed_of(key, 0), self._others
        )
        with closing(self._connection.stream(PATH, body)) as events:
            for event in events:
                piece, reason = self._piece(event, reason)
                for character in piece:
                    text += character
                    if self.step.ends(text):
                        return _Written(text, finished=False)
        if reason not in ("stop", "length"):
            raise self._connection.wrong(f"ended a text for the reason {reason!r}")
        if reason == "length" and not text:
            raise self._connection.wrong("wrote no text where a step was asked for")
        return _Written(text, finished=reason == "stop")

    def _piece(self, event: dict[str, Any], reason: Any) -> tuple[str, Any]:
        """Return the text of an event, and why the text ended, if it has."""
        if event.get("model") != self.name:
            raise self._connection.wrong(
                f"answers with the model {event.get('model')!r}, and {self.name!r} was asked"
            )
        choices = event.get("choices")
        if not choices:
            return "", reason  # only what it cost
        text = choices[0].get("text") if isinstance(choices[0], dict) else None
        if not isinstance(text, str):
            raise self._connection.wrong(f"sent {text!r:.60} where a text was expected")
        return text, choices[0].get("finish_reason") or reason

    def _child(self, parent: Trajectory, written: _Written) -> Trajectory:
        return parent.child(
            written.text,
            tuple(map(ord, written.text)),
            logprob=nan,
            proposal_logprob=nan,
            finished=written.finished,
            delimited=self.step.ends_at_delimiter(written.text),
        )

    def _prompt(self, question: str) -> str:
        if self.prompt is None:
            return question
        if isinstance(self.prompt, str):
            return self.prompt.replace(PLACE, question)
        assert not isinstance(self.prompt, ChatPrompt)
        return self.prompt(question)

    def _other_fields(self) -> dict[str, Any]:
        """Return the fields beside OpenAI's own that the server takes."""
        if self._takes(OTHERS):
            return OTHERS
        self._connection.post(PATH, self._trial({}))  # raises where it is not for these
        return {name: value for name, value in OTHERS.items() if self._takes({name: value})}

    def _takes(self, others: dict[str, Any]) -> bool:
        try:
            self._connection.post(PATH, self._trial(others))
        except PassingFailure:
            raise
        except ServerError:
            return False
        return True

    def _trial(self, others: dict[str, Any]) -> dict[str, Any]:
        return self._body("1 +", 1, others) | {"stream": False, "max_tokens": 1}

    def _body(self, text: str, seed: int, others: dict[str, Any]) -> dict[str, Any]:
        return {
            **others,
            "model": self.name,
            "prompt": text,
            "max_tokens": self.step.cap,
            "seed": seed % 2**31,
            "n": 1,
            "temperature": 1.0,
            "top_p": 1.0,
            "presence_penalty": 0.0,
            "frequency_penalty": 0.0,
            "stream": True,
        }


class _Written(NamedTuple):
    """A step's text.

    Attributes:
        text: what was written.
        finished: whether the model ended its text with it.
    """

    text: str
    finished: bool
