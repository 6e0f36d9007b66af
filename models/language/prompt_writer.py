"""The prompt: what a language model reads before it writes.

The question is data. It is put into the tokenizer's chat template, into the user's own, or stands
alone behind the beginning of text; control tokens that it mentions stay text (see `TextEncoder`).
There is one beginning of text, as a rendered template may write it itself, and no end of text,
behind which a model would begin something else.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection
from dataclasses import replace
from datetime import datetime
from functools import lru_cache

from ...aliases import Tokenizer
from ..conversation import turns_of
from ..hosting.chat_template import rendered
from ..hosting.template_use import check_use
from ..hosting.text_encoder import TextEncoder
from ..opening import Opening
from ..prompt_forms import PLACE, ChatPrompt, PromptForm
from ..prompt_presets import chosen_form
from ..prompts import Prompt
from ..step_rule import Thinking

KEPT = 256  # prompts that a writer remembers


class PromptWriter:
    """Writes the prompts of one language model.

    A prompt is written once and remembered: a template may print today's date, and tomorrow another
    one.

    Args:
        tokenizer: a transformers tokenizer.
        end_ids: the ids that end a text.
        write: the form of the prompt; None for the chat template with the question alone.
        thinking: how the model's thinking is marked; None where nothing is known of any.

    Raises:
        TypeError, ValueError: `write` is no form of a prompt, or a `ChatPrompt` for a tokenizer
            without a chat template, or for a chat template that would leave a part of it out.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        end_ids: Collection[int],
        write: PromptForm | None = None,
        *,
        thinking: Thinking | None = None,
    ) -> None:
        write = chosen_form(write)
        if isinstance(write, ChatPrompt) and not tokenizer.chat_template:
            raise ValueError(
                "a ChatPrompt needs a chat template, and the tokenizer has none: give prompt as a "
                "text with {question} in it"
            )
        if isinstance(write, ChatPrompt):
            check_use(tokenizer, write)
        self.tokenizer, self.write, self.thinking = tokenizer, write, thinking
        self._end_ids, self._encoder = frozenset(end_ids), TextEncoder(tokenizer)
        self._remembered = lru_cache(KEPT)(self._prompt)

    def __call__(self, question: str) -> Prompt:
        """Return the prompt of a question.

        Raises:
            TypeError: the user's function returns something else than a text.
            ValueError: the prompt has no token, or the chat template cannot be rendered.
        """
        return self._remembered(question)

    def _prompt(self, question: str) -> Prompt:
        quoted = self._encoder.quoted(question)
        chat = self._chat()
        self._check_conversation(chat, question)
        text = self._written(quoted) if chat is None else self._in_template(chat, question)
        ids, begin = self._encoder.encode(text), self._encoder.begin
        # a chat template writes its own beginning, or none
        if chat is None and ids[: len(begin)] != begin:
            ids = begin + ids
        kept = len(ids)
        while kept and ids[kept - 1] in self._end_ids and ids[:kept] != begin:
            kept -= 1
        prefill = chat.prefill if chat else ""
        if kept < len(ids) and prefill:
            raise ValueError(f"prefill must not end the model's turn, as {prefill!r:.100} does")
        if kept < len(ids):
            message = (
                "the prompt ends with end of text, which was left out: a model writes something "
                "else behind it"
            )
            warnings.warn(message, UserWarning, stacklevel=2)
        if not kept:
            raise ValueError(
                f"the prompt must have at least one token, and that of {question!r} has none"
            )
        today = datetime.now().date().isoformat()
        opening = self._opening(text, self._asked(chat, question), prefill)
        return Prompt(self._encoder.unquoted(text), ids[:kept], today, opening)

    def _asked(self, chat: ChatPrompt | None, question: str) -> str:
        """Return the data that stands last in the prompt: the user's turn, or the question."""
        last = question if chat is None else chat.messages(question)[-1]["content"]
        return self._encoder.quoted(last).strip()

    def _opening(self, text: str, asked: str, prefill: str) -> Opening:
        """Return what the model's turn begins with, after what the template wrote there."""
        if self.thinking is None:
            return Opening(prefill)
        begun = text.removesuffix(prefill).rpartition(asked)[2]
        marked = Opening(begin=self.thinking.begin, end=self.thinking.end)
        return marked._replace(prefill=prefill, thinks=marked.still_thinks(begun))

    def _chat(self) -> ChatPrompt | None:
        """Return the conversation that the chat template renders; None where it isn't used."""
        if isinstance(self.write, ChatPrompt):
            return self.write
        return ChatPrompt() if self.write is None and self.tokenizer.chat_template else None

    def _check_conversation(self, chat: ChatPrompt | None, question: str) -> None:
        """Raise ValueError where a conversation cannot be shown to the model as it is."""
        first, *others = turns_of(question)
        if others and chat is None:
            raise ValueError(
                "a question of several messages needs a chat template, or a prompt for chats: the "
                "model's prompt is a text"
            )
        if first["role"] == "system" and chat is not None:
            check_use(self.tokenizer, replace(chat, system=first["content"]))

    def _in_template(self, chat: ChatPrompt, question: str) -> str:
        """Quote the control tokens of a conversation, but for those that the template writes.

        The prefill is the user's as the template is: what it writes are control tokens.
        """
        turns = chat.messages(question)
        for turn in turns:
            turn["content"] = self._encoder.quoted(turn["content"])
        return rendered(self.tokenizer, turns, chat.template_arguments) + chat.prefill

    def _written(self, quoted: str) -> str:
        if isinstance(self.write, str):
            return self.write.replace(PLACE, quoted)
        assert not isinstance(self.write, ChatPrompt)
        text = quoted if self.write is None else self.write(quoted)
        if not isinstance(text, str):
            raise TypeError(
                f"prompt must be a function from a question to a text, and it returned {text!r}"
            )
        return text
