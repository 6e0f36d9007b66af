"""A copy of a tokenizer in which text cannot spell control tokens."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from ...aliases import Tokenizer


class Disarmed(NamedTuple):
    """What `disarmed` makes.

    Attributes:
        backend: a `tokenizers.Tokenizer` with the ids of the original.
        names: what each control token is called there; a template's own control tokens are written
            so.
    """

    backend: Any
    names: dict[str, str]


def disarmed(tokenizer: Tokenizer, control: Sequence[str]) -> Disarmed | None:
    """Return a copy of a fast tokenizer whose control tokens have names that no text contains.

    They are renamed among the added tokens and in the model's own vocabulary, where a text could
    spell them as well.

    Args:
        tokenizer: a transformers tokenizer with a backend of the library ``tokenizers``.
        control: the texts of its control tokens.

    Returns:
        None where the copy would give other ids.
    """
    from tokenizers import Tokenizer

    names = {content: f"\ufdd3{number}\ufdd4" for number, content in enumerate(control)}
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    state["truncation"] = state["padding"] = None
    for token in state["added_tokens"]:
        if token["content"] in names:
            token.update(content=names[token["content"]], normalized=False, single_word=False)
    _rename(state["model"], names)
    backend = Tokenizer.from_str(json.dumps(state))
    moved = [
        x for x in control if backend.token_to_id(names[x]) != tokenizer.convert_tokens_to_ids(x)
    ]
    return None if moved else Disarmed(backend, names)


def _rename(model: dict[str, Any], names: dict[str, str]) -> None:
    """Rename pieces of a model's vocabulary; no merges lead to them or on from them."""
    vocabulary = model.get("vocab")
    if isinstance(vocabulary, dict):
        model["vocab"] = {names.get(piece, piece): token for piece, token in vocabulary.items()}
    elif vocabulary:
        model["vocab"] = [[names.get(piece, piece), score] for piece, score in vocabulary]
    if model.get("unk_token") in names:
        model["unk_token"] = names[model["unk_token"]]
    if "merges" in model:
        model["merges"] = [merge for merge in model["merges"] if not _touches(merge, names)]


def _touches(merge: str | list[str], names: dict[str, str]) -> bool:
    left, right = merge.split(" ") if isinstance(merge, str) else merge
    return left in names or right in names or left + right in names
