"""The forms in which a user may say what a language model reads before it writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from .. import checks
from .conversation import turns_of

PLACE = "{question}"
RESERVED = (
    "conversation",
    "messages",
    "tokenize",
    "add_generation_prompt",
    "continue_final_message",
    "chat_template",
    "return_tensors",
    "return_dict",
)


@dataclass(frozen=True, kw_only=True)
class ChatPrompt:
    """A conversation in the model's own chat template.

    A system prompt, solved examples, then the question; the model goes on from there, or from the
    beginning of its answer that is put into its mouth.

    Attributes:
        system: what the system turn says; None for no such turn.
        examples: pairs of a question and its answer, which come first, as turns of user and
            assistant.
        user: what a turn of the user says, with {question} in it, where the question goes; those of
            the examples too.
        template_arguments: further arguments of the chat template, such as {"enable_thinking":
            False}.
        prefill: how the model's answer begins. The model reads it as its own text; it belongs to
            the solution, of which the reward model reads the steps and the answer is read, and is
            no part of what is drawn.

    Raises:
        TypeError: `system`, `user` or `prefill` is no text, `examples` are no pairs of texts, or
            `template_arguments` is no mapping from names.
        ValueError: `user` has no {question} in it, or `template_arguments` gives an argument that
            is motes' to give.

    Example:
        >>> example = ("1 + 1?", "The answer is 2.")
        >>> prompt = ChatPrompt(system="Reason step by step.", examples=[example])
        >>> [turn["role"] for turn in prompt.messages("2 + 3?")]
        ['system', 'user', 'assistant', 'user']
        >>> ChatPrompt(user="{question} Answer in English.").messages("2 + 3?")[0]["content"]
        '2 + 3? Answer in English.'
    """

    system: str | None = None
    examples: Sequence[tuple[str, str]] = ()
    user: str = PLACE
    template_arguments: Mapping[str, Any] = field(default_factory=dict)
    prefill: str = ""

    def __post_init__(self) -> None:
        if not (self.system is None or isinstance(self.system, str)):
            raise TypeError(f"system must be a text or None, not {self.system!r:.100}")
        if not isinstance(self.examples, Sequence) or not all(map(_is_pair, self.examples)):
            raise TypeError(
                f"examples must be pairs of a question and its answer, not {self.examples!r:.100}"
            )
        pairs = tuple((question, answer) for question, answer in self.examples)
        checks.settle(self, examples=pairs)
        if not isinstance(self.user, str):
            raise TypeError(f"user must be a text with {PLACE} in it, not {self.user!r:.100}")
        if PLACE not in self.user:
            raise ValueError(
                f"user must have {PLACE} in its text, where the question goes, not "
                f"{self.user!r:.100}"
            )
        if not isinstance(self.prefill, str):
            raise TypeError(f"prefill must be a text, not {self.prefill!r:.100}")
        _check_arguments(self.template_arguments)

    def messages(self, question: str) -> list[dict[str, str]]:
        """Return the turns up to the question, as chat templates take them.

        A conversation's own system message takes the place of `system`.
        """
        conversation = turns_of(question)
        if conversation[0]["role"] == "system":
            turns = [conversation.pop(0)]
        else:
            turns = [] if self.system is None else [{"role": "system", "content": self.system}]
        for asked, answered in self.examples:
            turns += [self._asked(asked), {"role": "assistant", "content": answered}]
        for turn in conversation:
            turns.append(self._asked(turn["content"]) if turn["role"] == "user" else turn)
        return turns

    def _asked(self, question: str) -> dict[str, str]:
        return {"role": "user", "content": self.user.replace(PLACE, question)}


PromptForm: TypeAlias = "Callable[[str], str] | str | ChatPrompt | None"
"""A function from a question to the prompt's text, a text with {question} in it, or `ChatPrompt`.

None stands for the tokenizer's chat template with the question alone; where there is none, for the
question as it is. A text without {question} is the name of a preset.
"""


def _check_arguments(arguments: object) -> None:
    if not isinstance(arguments, Mapping) or not all(isinstance(name, str) for name in arguments):
        raise TypeError(
            "template_arguments must map names of the chat template's arguments to values, not "
            f"{arguments!r:.100}"
        )
    for name in RESERVED:
        if name in arguments:
            raise ValueError(f"template_arguments cannot give {name!r}, which motes gives")


def _is_pair(example: object) -> bool:
    return (
        isinstance(example, list | tuple)
        and len(example) == 2
        and all(isinstance(part, str) for part in example)
    )
