"""How a process reward model is asked: what it is shown of a trajectory, and where it answers.

A reader writes the prompt once and then each step by itself, its marker last, so that the tokens of a prefix
never change when a step is added, and only the new step's tokens need be computed. The model's outputs at a
step's last token become log-odds, as a difference of logits, never through a probability.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch

from ..trajectory import Trajectory


class Reader(Protocol):
    """What a `TorchPRM` asks its model with."""

    def prompt(self, question: str) -> tuple[int, ...]:
        """The token ids before the first step; at least one."""
        ...

    def step(self, node: Trajectory) -> tuple[int, ...]:
        """The token ids of a node's last step, which end where its score is read."""
        ...

    def log_odds(self, outputs: torch.Tensor) -> torch.Tensor:
        """Log-odds (N,), float32 or wider, from the model's outputs (N, outputs) at the steps' last tokens."""
        ...


class SeparatorReader:
    """For token classification: each step, tokenised alone, ends with a separator, where two labels are scored.

    The layout of TRL's PRMTrainer and of Qwen2.5-Math-PRM (Zhang et al. 2025): prompt, step, separator, step,
    separator. The second label means right.

    Args:
        tokenizer: the model's tokenizer.
        separator: the text of the separator.
        chat: whether the question stands in the tokenizer's chat template rather than plain.

    Raises:
        ValueError: the tokenizer has no tokens for the separator.
    """

    def __init__(self, tokenizer: Any, *, separator: str, chat: bool = False) -> None:
        self.tokenizer, self.chat = tokenizer, chat
        self.marker = tuple(tokenizer(separator, add_special_tokens=False)["input_ids"])
        if not self.marker:
            raise ValueError(f"separator must be a text that the tokenizer has tokens for, not {separator!r}")

    def prompt(self, question: str) -> tuple[int, ...]:
        """The question, in the chat template or behind the tokenizer's beginning of text."""
        if self.chat:
            messages = [{"role": "user", "content": question}]
            return tuple(self.tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False))
        return tuple(self.tokenizer(question)["input_ids"])

    def step(self, node: Trajectory) -> tuple[int, ...]:
        """The step without the blank space around it, and the separator."""
        return self.tokens(node.step_text)

    def tokens(self, text: str) -> tuple[int, ...]:
        """A step's ids, from its text."""
        return (*self.tokenizer(text.strip(), add_special_tokens=False)["input_ids"], *self.marker)

    def log_odds(self, outputs: torch.Tensor) -> torch.Tensor:
        """Right minus wrong."""
        return _difference(outputs, 1, 0)


class TokenPairReader:
    """For causal language models that answer each step with one of two tokens.

    With a `marker`, the layout of Math-Shepherd (Wang et al. 2024): every step ends with the marker, and the two
    tokens are compared behind it. Without one, that of RLHFlow's reward models (Dong et al. 2024): every step
    is a user's turn, and the two tokens are compared where the assistant's turn begins; turns before it are
    answered with the good token.

    Args:
        tokenizer: the model's tokenizer; without a marker, its chat template makes the turns.
        good: the text of the token that says a step is right.
        bad: the text of the token that says it is wrong.
        marker: the text that ends a step, or None for turns.

    Raises:
        ValueError: `good` or `bad` is not one token, or there is neither a marker nor a chat template.
    """

    def __init__(self, tokenizer: Any, *, good: str = "+", bad: str = "-", marker: str | None = None) -> None:
        self.tokenizer, self.marker = tokenizer, marker
        self.good, self.bad = (self._single(text) for text in (good, bad))
        if marker is None:
            if not tokenizer.chat_template:
                raise ValueError("marker must be given for a tokenizer without a chat template")
            self._head, self._turn, self._next = self._turns(good)

    def prompt(self, question: str) -> tuple[int, ...]:
        """The question, plain or at the beginning of the first turn."""
        return tuple(self.tokenizer(question)["input_ids"]) if self.marker is not None else self._ids(self._head + question)

    def step(self, node: Trajectory) -> tuple[int, ...]:
        """The step, and what stands between it and the model's answer."""
        text, first = node.step_text.strip(), node.depth == 1
        if self.marker is not None:
            return self._ids(f"{' ' if first else chr(10)}{text} {self.marker}")
        return self._ids(f"{' ' if first else self._next}{text}{self._turn}")

    def log_odds(self, outputs: torch.Tensor) -> torch.Tensor:
        """The good token's logit minus the bad one's."""
        return _difference(outputs, self.good, self.bad)

    def _ids(self, text: str) -> tuple[int, ...]:
        return tuple(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _single(self, text: str) -> int:
        before, ids = ((), self._ids(text)) if self.marker is None else (self._ids(self.marker), self._ids(f"{self.marker} {text}"))
        if len(ids) != len(before) + 1:
            raise ValueError(f"good and bad must each be one token of the model's vocabulary, and {text!r} is {len(ids) - len(before)}")
        return ids[-1]

    def _turns(self, good: str) -> tuple[str, str, str]:
        """What stands before a question, between a step and its answer, and between an answer and the next step."""
        first, second = "\ue000", "\ue001"  # private-use characters, which no template contains
        messages = [{"role": "user", "content": first}, {"role": "assistant", "content": good}, {"role": "user", "content": second}]
        text = self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        head, _, rest = text.partition(first)
        between, _, turn = rest.partition(second)
        return head, turn, between[len(turn) :] if between.startswith(turn) else between


def _difference(outputs: torch.Tensor, right: int, wrong: int) -> torch.Tensor:
    wide = outputs if outputs.dtype == torch.float64 else outputs.float()
    return wide[:, right] - wide[:, wrong]
