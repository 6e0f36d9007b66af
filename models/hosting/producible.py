"""Whether tokens can write a text at all."""

from __future__ import annotations

from collections.abc import Iterable

PARTIAL = "\ufffd"  # what a token that is part of a character decodes to


def fewest_tokens(text: str, pieces: Iterable[str]) -> int | None:
    r"""Return how many tokens it takes at least to write a text, between other texts or alone.

    The first token may bring text before it, and the last one text after it. Characters outside
    ASCII are taken to cost one token each where the vocabulary has tokens that are parts of
    characters.

    Args:
        text: the text, not empty.
        pieces: what the tokens of the vocabulary write.

    Returns:
        None where no tokens write it.

    Example:
        >>> fewest_tokens("\n\n", [".\n", "\n", "a"]), fewest_tokens("B", ["a", "b"])
        (2, None)
    """
    distinct = set(pieces)
    if any(text in piece for piece in distinct):
        return 1
    in_parts = any(PARTIAL in piece for piece in distinct)
    ends = {piece for piece in distinct if piece and piece[-1] in text}
    starts = {piece for piece in distinct if piece and piece[0] in text}
    fewest: dict[int, int] = {0: 0}  # by number of characters written: tokens
    for end in range(1, len(text) + 1):
        costs = [fewest[start] + 1 for start in fewest if text[start:end] in distinct]
        if any(piece.endswith(text[:end]) for piece in ends):
            costs.append(1)
        if in_parts and not text[end - 1].isascii() and end - 1 in fewest:
            costs.append(fewest[end - 1] + 1)
        if costs:
            fewest[end] = min(costs)
    totals = [fewest[len(text)]] if len(text) in fewest else []
    for start in range(1, len(text)):
        if start in fewest and any(piece.startswith(text[start:]) for piece in starts):
            totals.append(fewest[start] + 1)
    return min(totals, default=None)
