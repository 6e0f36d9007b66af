"""How a process reward model is asked: what it is shown of a trajectory, and where it answers.

A reader writes the question and the steps in the layout that the model was published with, up to
where the last step is scored. The question and the steps are data (see `TextEncoder`): control
tokens that they mention stay text, so that no step forges a turn, a separator or a verdict. Where
the published layout is one text, it is encoded as one text, since a piece encoded alone may get
other tokens. The model's outputs at the last token become log-odds, as a difference of logits,
never through a probability.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch

from ..hosting.chat_template import rendered
from ..hosting.text_encoder import MARKER, TextEncoder
from ..trajectory import Trajectory

PLACE = "\ufdd5"  # stands where a template is cut: a noncharacter, which no text holds


class Reader(Protocol):
    """What a `TorchPRM` asks its model with."""

    def conversation(self, trajectory: Trajectory) -> tuple[int, ...]:
        """Return the token ids that end where a trajectory's last step is scored.

        Of a trajectory without steps they are what all others begin with, as far as that can be; at
        least one.
        """
        ...

    def log_odds(self, outputs: torch.Tensor) -> torch.Tensor:
        """Return log-odds (N,), float32 or wider, from outputs (N, outputs) at the last tokens."""
        ...


class SeparatorReader:
    """For token classification: each step ends with a separator, where two labels are scored.

    The second label means right. Two layouts are published:

        chat      Qwen2.5-Math-PRM (Zhang et al. 2025): the question in the chat template, then the
                  steps, each followed by the separator; one text.
        plain     TRL's PRMTrainer: the beginning of text and the question, then each step,
                  encoded alone, followed by the separator.

    Args:
        tokenizer: the model's tokenizer.
        separator: the text of the separator.
        chat: whether the layout is the chat's.

    Raises:
        ValueError: the tokenizer has no tokens for the separator.
    """

    def __init__(self, tokenizer: Any, *, separator: str, chat: bool = False) -> None:
        self.tokenizer, self.chat, self.separator = tokenizer, chat, separator
        self._encoder = TextEncoder(
            tokenizer, written=[separator.strip()], marker=separator.strip()
        )
        self._mark = _marked(separator)
        self.marker = self._encoder.encode(self._mark)
        if not self.marker:
            raise ValueError(
                f"separator must be a text that the tokenizer has tokens for, not {separator!r}"
            )

    def conversation(self, trajectory: Trajectory) -> tuple[int, ...]:
        """Return the ids of the question and the steps, with a separator behind each."""
        if self.chat:
            text = self._question(trajectory.question)
            return self._encoder.encode(text + "".join(map(self._step, trajectory.steps)))
        ids = self.prompt(trajectory.question)
        for step in trajectory.steps:
            ids += self.tokens(step)
        return ids

    def prompt(self, question: str) -> tuple[int, ...]:
        """Return the ids of what stands before the steps."""
        ids = self._encoder.encode(self._question(question))
        if self.chat:
            return ids
        # PRMTrainer puts it even where the tokenizer itself does not
        token = self.tokenizer.bos_token_id
        return (*(self._encoder.begin if token is None else (token,)), *ids)

    def tokens(self, step: str) -> tuple[int, ...]:
        """Return the ids of one step, encoded alone, and the separator."""
        quoted = self._encoder.quoted(_bare(step, self.separator))
        return (*self._encoder.encode(quoted), *self.marker)

    def _question(self, question: str) -> str:
        quoted = self._encoder.quoted(question)
        return (
            rendered(self.tokenizer, [{"role": "user", "content": quoted}]) if self.chat else quoted
        )

    def _step(self, step: str) -> str:
        return self._encoder.quoted(_bare(step, self.separator)) + self._mark

    def log_odds(self, outputs: torch.Tensor) -> torch.Tensor:
        """Return right minus wrong."""
        return _difference(outputs, 1, 0)

    def _begin(self) -> tuple[int, ...]:
        """The beginning of text, which PRMTrainer puts even where the tokenizer itself does not."""
        token = self.tokenizer.bos_token_id
        return self._encoder.begin if token is None else (token,)


class TokenPairReader:
    """For causal language models that answer each step with one of two tokens; one text.

    With a `marker`, the layout of Math-Shepherd (Wang et al. 2024): every step ends with the
    marker, and the two tokens are compared behind it. Without one, that of RLHFlow's reward models
    (Dong et al. 2024): every step is a user's turn, and the two tokens are compared where the
    assistant's turn begins; turns before it are answered with the good token.

    Args:
        tokenizer: the model's tokenizer; without a marker, its chat template makes the turns.
        good: the text of the token that says a step is right.
        bad: the text of the token that says it is wrong.
        marker: the text that ends a step, or None for turns.

    Raises:
        ValueError: `good` or `bad` is not one token, or there is neither a marker nor a chat
            template.
    """

    def __init__(
        self, tokenizer: Any, *, good: str = "+", bad: str = "-", marker: str | None = None
    ) -> None:
        if marker is None and not tokenizer.chat_template:
            raise ValueError("marker must be given for a tokenizer without a chat template")
        self.tokenizer, self.marker, self.texts = tokenizer, marker, (good, bad)
        visible = (marker or "").strip()
        self._encoder = TextEncoder(tokenizer, written=[visible], marker=visible)
        self._mark = _marked(marker or "")
        self.good, self.bad = self._verdicts()

    def conversation(self, trajectory: Trajectory) -> tuple[int, ...]:
        """Return the ids of the conversation up to where the model answers its last step."""
        question = self._encoder.quoted(trajectory.question)
        steps = [self._encoder.quoted(_bare(step, self.marker or "")) for step in trajectory.steps]
        if self.marker is None:
            return self._turns(question, steps)
        text = (
            question + (" " if steps else "") + "\n".join(f"{step} {self._mark}" for step in steps)
        )
        return self._encoder.begin + self._encoder.encode(text)

    def log_odds(self, outputs: torch.Tensor) -> torch.Tensor:
        """Return the good token's logit minus the bad one's."""
        return _difference(outputs, self.good, self.bad)

    def _turns(self, question: str, steps: list[str]) -> tuple[int, ...]:
        # up to the end of the question, which the first step follows in the same turn
        if not steps:
            messages = [{"role": "user", "content": question + PLACE}]
            return self._encoder.encode(rendered(self.tokenizer, messages).partition(PLACE)[0])
        return self._answered(question, steps, self.texts[0])[:-1]

    def _answered(self, question: str, steps: list[str], verdict: str) -> tuple[int, ...]:
        """Give the ids of turns of which the last ends with its verdict.

        The others are answered with the good one.
        """
        messages = []
        for number, step in enumerate(steps):
            content = f"{question} {step}" if number == 0 else step
            messages.append({"role": "user", "content": content})
            messages.append({"role": "assistant", "content": self.texts[0]})
        messages[-1]["content"] = PLACE
        before = rendered(self.tokenizer, messages, begins=False).partition(PLACE)[0]
        return self._encoder.encode(before + verdict)

    def _verdicts(self) -> tuple[int, int]:
        """The tokens that the two texts are where the model answers."""
        if self.marker is None:
            good, bad = (self._answered("x", ["y"], text) for text in self.texts)
        else:
            good, bad = (self._encoder.encode(f"{self._mark} {text}") for text in self.texts)
        shown = tuple(self.tokenizer.decode([ids[-1]]).strip() for ids in (good, bad))
        if good[:-1] != bad[:-1] or shown != self.texts:
            raise ValueError(
                f"good and bad must each be one token where the model answers, and {self.texts} "
                "are not"
            )
        return good[-1], bad[-1]


def _bare(step: str, separator: str) -> str:
    """Strip a step of blank space around it, and of the separator where that was its delimiter."""
    visible = separator.strip()
    return step.strip().removesuffix(visible).rstrip() if visible else step.strip()


def _marked(separator: str) -> str:
    """The separator as only a reader writes it; blank space is not told from that in a text."""
    visible = separator.strip()
    return separator.replace(visible, MARKER) if visible else separator


def _difference(outputs: torch.Tensor, right: int, wrong: int) -> torch.Tensor:
    wide = outputs if outputs.dtype == torch.float64 else outputs.float()
    return wide[:, right] - wide[:, wrong]
