"""How a process reward model is asked: what it is shown of a trajectory, and where it answers.

A reader writes the question and the steps in the layout that the model was published with, up to
where the last step is scored. The question and the steps are data (see `TextEncoder`): control
tokens that they mention stay text, so that no step forges a turn, a separator or a verdict. Where
the published layout is one text, it is encoded as one text, since a piece encoded alone may get
other tokens. The model's outputs at the last token become log-odds, as a difference of logits,
never through a probability.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch

from ...aliases import Tokenizer
from ..hosting.chat_template import rendered
from ..hosting.text_encoder import MARKER, TextEncoder
from ..trajectory import Trajectory
from .verdicts import TWO_LABELS, Labels

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
        system: what the chat's system turn says; None for no such turn, where a template may put
            one of its own.
        begins: whether the plain layout begins with the beginning of text.

    Raises:
        ValueError: the tokenizer has no tokens for the separator.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        separator: str,
        chat: bool = False,
        system: str | None = None,
        begins: bool = True,
    ) -> None:
        self.tokenizer, self.chat, self.separator = tokenizer, chat, separator
        self.system, self.begins = system, begins
        self._encoder = TextEncoder(
            tokenizer, written=[separator.strip()], marker=separator.strip()
        )
        self._mark = marked(separator)
        self.marker = self._encoder.encode(self._mark)
        if not self.marker:
            raise ValueError(
                f"separator must be a text that the tokenizer has tokens for, not {separator!r}"
            )

    def conversation(self, trajectory: Trajectory) -> tuple[int, ...]:
        """Return the ids of the question and the steps, with a separator behind each."""
        if self.chat:
            text = self._question(trajectory.asked)
            return self._encoder.encode(text + "".join(map(self._step, trajectory.solution_steps)))
        ids = self.prompt(trajectory.asked)
        for step in trajectory.solution_steps:
            ids += self.tokens(step)
        return ids

    def prompt(self, question: str) -> tuple[int, ...]:
        """Return the ids of what stands before the steps."""
        ids = self._encoder.encode(self._question(question))
        if self.chat or not self.begins:
            return ids
        # PRMTrainer puts it even where the tokenizer itself does not
        token = self.tokenizer.bos_token_id
        return (*(self._encoder.begin if token is None else (token,)), *ids)

    def tokens(self, step: str) -> tuple[int, ...]:
        """Return the ids of one step, encoded alone, and the separator."""
        quoted = self._encoder.quoted(bare(step, self.separator))
        return (*self._encoder.encode(quoted), *self.marker)

    def _question(self, question: str) -> str:
        quoted = self._encoder.quoted(question)
        if not self.chat:
            return quoted
        messages = [] if self.system is None else [{"role": "system", "content": self.system}]
        return rendered(self.tokenizer, [*messages, {"role": "user", "content": quoted}])

    def _step(self, step: str) -> str:
        return self._encoder.quoted(bare(step, self.separator)) + self._mark

    def log_odds(self, outputs: torch.Tensor) -> torch.Tensor:
        """Return right minus wrong."""
        return TWO_LABELS.log_odds(outputs)


class TurnsReader:
    """For causal language models that answer each step, a user's turn, with one of two tokens.

    The layout of RLHFlow's reward models (Dong et al. 2024): the first turn is the question and the
    first step; the two tokens are compared where the assistant's turn begins, and the turns before
    it are answered with the good one. One text.

    Args:
        tokenizer: the model's tokenizer, whose chat template makes the turns.
        good: the text of the token that says a step is right.
        bad: the text of the token that says it is wrong.

    Raises:
        ValueError: `good` or `bad` is not one token, or there is no chat template.
    """

    def __init__(self, tokenizer: Tokenizer, *, good: str = "+", bad: str = "-") -> None:
        if not tokenizer.chat_template:
            raise ValueError("the tokenizer has no chat template, which would make the turns")
        self.tokenizer, self.texts = tokenizer, (good, bad)
        self._encoder = TextEncoder(tokenizer)
        right, wrong = verdict_tokens(
            tokenizer, self.texts, lambda text: self._answered("x", ["y"], text)
        )
        self.verdict = Labels(right=(right,), wrong=(wrong,))

    def conversation(self, trajectory: Trajectory) -> tuple[int, ...]:
        """Return the ids of the turns up to where the model answers the last step."""
        question = self._encoder.quoted(trajectory.asked)
        steps = [self._encoder.quoted(step.strip()) for step in trajectory.solution_steps]
        if steps:
            return self._answered(question, steps, self.texts[0])[:-1]
        # up to the end of the question, which the first step follows in the same turn
        messages = [{"role": "user", "content": question + PLACE}]
        return self._encoder.encode(rendered(self.tokenizer, messages).partition(PLACE)[0])

    def log_odds(self, outputs: torch.Tensor) -> torch.Tensor:
        """Return the good token's logit minus the bad one's."""
        return self.verdict.log_odds(outputs)

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


def verdict_tokens(
    tokenizer: Tokenizer, texts: tuple[str, str], answered: Callable[[str], tuple[int, ...]]
) -> tuple[int, int]:
    """Return the tokens that two texts are where the model answers.

    Args:
        tokenizer: the model's.
        texts: what says that a step is right, and that it is wrong.
        answered: gives the ids of a conversation that ends with this answer.

    Raises:
        ValueError: one of them is not a token of its own there.
    """
    good, bad = (answered(text) for text in texts)
    shown = tuple(tokenizer.decode([ids[-1]]).strip() for ids in (good, bad))
    if good[:-1] != bad[:-1] or shown != texts:
        raise ValueError(
            f"good and bad must each be one token where the model answers, and {texts} are not"
        )
    return good[-1], bad[-1]


def bare(step: str, separator: str) -> str:
    """Strip a step of blank space around it, and of the separator where that was its delimiter."""
    visible = separator.strip()
    return step.strip().removesuffix(visible).rstrip() if visible else step.strip()


def marked(separator: str) -> str:
    """Return the separator as only a reader writes it; blank space stays as a text has it."""
    visible = separator.strip()
    return separator.replace(visible, MARKER) if visible else separator
