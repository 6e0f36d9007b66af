"""The prompt: what a language model reads before it writes.

The question is data. It is put into the tokenizer's chat template, into the user's own, or stands alone behind the
beginning of text; control tokens that it mentions stay text (see `TextEncoder`). There is one beginning of text, as a
rendered template may write it itself, and no end of text, behind which a model would begin something else.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection
from datetime import datetime
from functools import lru_cache
from typing import Any

from ..hosting.chat_template import rendered
from ..hosting.text_encoder import TextEncoder
from ..prompts import Prompt

KEPT = 256  # prompts that a writer remembers


class PromptWriter:
    """Writes the prompts of one language model.

    A prompt is written once and remembered: a template may print today's date, and tomorrow another one.

    Args:
        tokenizer: a transformers tokenizer.
        end_ids: the ids that end a text.
        write: makes the prompt's text of a question, in place of the tokenizer's chat template.
    """

    def __init__(self, tokenizer: Any, end_ids: Collection[int], write: Callable[[str], str] | None = None) -> None:
        self.tokenizer, self.write = tokenizer, write
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
        chat = self.write is None and bool(self.tokenizer.chat_template)
        messages = [{"role": "user", "content": quoted}]
        text = rendered(self.tokenizer, messages) if chat else self._written(quoted)
        ids, begin = self._encoder.encode(text), self._encoder.begin
        if not chat and ids[: len(begin)] != begin:  # a chat template writes its own beginning, or none
            ids = begin + ids
        kept = len(ids)
        while kept and ids[kept - 1] in self._end_ids and ids[:kept] != begin:
            kept -= 1
        if kept < len(ids):
            message = "the prompt ends with end of text, which was left out: a model writes something else behind it"
            warnings.warn(message, UserWarning, stacklevel=2)
        if not kept:
            raise ValueError(f"the prompt must have at least one token, and that of {question!r} has none")
        return Prompt(self._encoder.unquoted(text), ids[:kept], datetime.now().date().isoformat())

    def _written(self, quoted: str) -> str:
        text = quoted if self.write is None else self.write(quoted)
        if not isinstance(text, str):
            raise TypeError(f"prompt must be a function from a question to a text, and it returned {text!r}")
        return text
