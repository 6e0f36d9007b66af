"""What a language model reads before it writes: forms, presets, and what was sent.

`ChatPrompt` says it in the model's own chat template, `PRESETS` holds the prompts that published
results were had with, and `prompt_of` gives the text and the tokens of a question's prompt, which a
run keeps.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol, runtime_checkable

from .conversation import as_question as as_question
from .opening import Opening
from .prompt_forms import ChatPrompt as ChatPrompt
from .prompt_forms import PromptForm as PromptForm
from .prompt_presets import PRESETS as PRESETS
from .prompt_presets import Preset as Preset
from .prompt_presets import chosen_form as chosen_form
from .protocols import underlying


class Prompt(NamedTuple):
    """A prompt as the model reads it.

    Attributes:
        text: the rendered text.
        token_ids: its ids, with those that the tokenizer puts before a text.
        date: the day on which it was rendered, in ISO 8601; a template may have printed it.
        opening: what of it begins the model's own turn.

    Example:
        >>> Prompt(text="Q: 2 + 2?", token_ids=(1, 7, 9), date="2026-01-31").token_ids
        (1, 7, 9)
    """

    text: str
    token_ids: tuple[int, ...]
    date: str
    opening: Opening = Opening()


@runtime_checkable
class WritesPrompts(Protocol):
    """A language model that can show its prompt."""

    def rendered(self, question: str) -> Prompt:
        """Return the prompt of a question."""
        ...


def prompt_of(lm: object, question: str) -> Prompt | None:
    """Return the prompt that a language model reads for a question.

    None for one that does not show it.

    Example:
        >>> from motes.models import load_lm
        >>> prompt_of(load_lm("pocket"), "How many?").text
        '<|user|>How many?<|assistant|>'
    """
    lm = underlying(lm)
    return lm.rendered(question) if isinstance(lm, WritesPrompts) else None
