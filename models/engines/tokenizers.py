"""The tokenizer of a model that runs elsewhere, and the ids that end its texts."""

from __future__ import annotations

from typing import Any

from ..hosting.pretrained import Place, load_tokenizer, read_config
from ..language.tokenized_lm import end_ids


def tokenizer_at(place: Place) -> tuple[Any, frozenset[int]]:
    """Return the tokenizer of a checkpoint, and the token ids that end a text.

    Raises:
        FileNotFoundError, ValueError: there is none; one sentence.
    """
    tokenizer = load_tokenizer(place)
    return tokenizer, end_ids(read_config(place), tokenizer, *_generation(place.path))


def _generation(path: str) -> list[Any]:
    """Return what a folder says of generation, of which only the ends of a text are taken."""
    from transformers import GenerationConfig

    try:
        return [GenerationConfig.from_pretrained(path)]
    except OSError:
        return []
