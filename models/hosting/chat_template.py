"""Conversations in a tokenizer's chat template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from ...aliases import Tokenizer

Message = dict[str, str]


def rendered(
    tokenizer: Tokenizer,
    messages: Sequence[Message],
    arguments: Mapping[str, Any] = MappingProxyType({}),
    *,
    begins: bool = True,
) -> str:
    """Return a conversation in the tokenizer's chat template.

    Args:
        tokenizer: a transformers tokenizer that has a chat template.
        messages: the turns, as {"role": ..., "content": ...}, what is data quoted (see
            `TextEncoder`).
        arguments: what the template is given besides.
        begins: whether another turn of the assistant begins at the end.

    Raises:
        ValueError: the template cannot be rendered.
    """
    from jinja2 import TemplateError

    try:
        return tokenizer.apply_chat_template(
            list(messages), add_generation_prompt=begins, tokenize=False, **arguments
        )
    except TemplateError as error:
        reason = str(error).strip().splitlines()[:1]
        raise ValueError(
            f"the tokenizer's chat template cannot be rendered: {' '.join(reason)}"
        ) from None
