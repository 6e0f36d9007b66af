"""The token ids of a text that is written for a language model in the middle of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

Encode: TypeAlias = Callable[[str], Sequence[int]]


def encoded(name: str, text: str, encode: Encode | None, tokenizer: Any) -> tuple[int, ...]:
    """Return the ids of a text that is written for a model.

    Args:
        name: of the text, in an error.
        text: the text.
        encode: a function from a text to token ids; None for the tokenizer.
        tokenizer: of the model.

    Raises:
        ValueError: it has none.

    Example:
        >>> encoded("wait", "Wait", lambda text: [7], None)
        (7,)
    """
    if encode is not None:
        ids = tuple(int(token) for token in encode(text))
    else:
        ids = tuple(tokenizer.encode(text, add_special_tokens=False))
    if not ids:
        raise ValueError(f"{name} must be a text with a token, not {text!r}")
    return ids
