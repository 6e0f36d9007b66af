"""The forms in which a user may say what a language model reads before it writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

PLACE = "{question}"
RESERVED = (
    "conversation",
    "messages",
    "tokenize",
    "add_generation_prompt",
    "return_tensors",
    "return_dict",
)


@dataclass(frozen=True, kw_only=True)
class ChatPrompt:
    """A conversation in the model's own chat template.

    A system prompt, solved examples, then the question.

    Attributes:
        system: what the system turn says; None for no such turn.
        examples: pairs of a question and its answer, which come first, as turns of user and
            assistant.
        template: further arguments of the chat template, such as {"enable_thinking": False}.

    Raises:
        TypeError: `system` is no text, `examples` are no pairs of texts, or `template` is no
            mapping from names.
        ValueError: `template` gives an argument that is motes' to give.

    Example:
        >>> example = ("1 + 1?", "The answer is 2.")
        >>> prompt = ChatPrompt(system="Reason step by step.", examples=[example])
        >>> [turn["role"] for turn in prompt.messages("2 + 3?")]
        ['system', 'user', 'assistant', 'user']
    """

    system: str | None = None
    examples: Sequence[tuple[str, str]] = ()
    template: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not (self.system is None or isinstance(self.system, str)):
            raise TypeError(f"system must be a text or None, not {self.system!r:.100}")
        if not isinstance(self.examples, Sequence) or not all(map(_is_pair, self.examples)):
            raise TypeError(
                f"examples must be pairs of a question and its answer, not {self.examples!r:.100}"
            )
        object.__setattr__(
            self, "examples", tuple((question, answer) for question, answer in self.examples)
        )
        if not isinstance(self.template, Mapping) or not all(
            isinstance(name, str) for name in self.template
        ):
            raise TypeError(
                "template must map names of the chat template's arguments to values, not "
                f"{self.template!r:.100}"
            )
        for name in RESERVED:
            if name in self.template:
                raise ValueError(f"template cannot give {name!r}, which motes gives")

    def messages(self, question: str) -> list[dict[str, str]]:
        """Return the turns up to the question, as chat templates take them."""
        turns = [] if self.system is None else [{"role": "system", "content": self.system}]
        for asked, answered in self.examples:
            turns += [
                {"role": "user", "content": asked},
                {"role": "assistant", "content": answered},
            ]
        return [*turns, {"role": "user", "content": question}]


PromptForm: TypeAlias = "Callable[[str], str] | str | ChatPrompt | None"
"""A function from a question to the prompt's text, a text with {question} in it, or `ChatPrompt`.

None stands for the tokenizer's chat template with the question alone; where there is none, for the
question as it is.
"""


def check_form(prompt: object) -> None:
    r"""Raise TypeError or ValueError where this is no form of a prompt.

    Example:
        >>> check_form("Q: {question}\nA:")
        >>> check_form("Q:")
        Traceback (most recent call last):
        ValueError: prompt must have {question} in its text, where the question goes, not 'Q:'
    """
    if isinstance(prompt, str):
        if PLACE not in prompt:
            raise ValueError(
                f"prompt must have {PLACE} in its text, where the question goes, not "
                f"{prompt!r:.100}"
            )
    elif not (prompt is None or isinstance(prompt, ChatPrompt) or callable(prompt)):
        raise TypeError(
            f"prompt must be a function from a question to a text, a text with {PLACE} in it, a "
            f"ChatPrompt or None, not {prompt!r:.100}"
        )


def _is_pair(example: object) -> bool:
    return (
        isinstance(example, list | tuple)
        and len(example) == 2
        and all(isinstance(part, str) for part in example)
    )
