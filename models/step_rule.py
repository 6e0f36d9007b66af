"""Where a reasoning step ends.

A step is a run of whole tokens. It ends at the first token after which its text contains the
delimiter, or after a fixed number of tokens, or when a predicate says so; at the latest at the cap.
Nothing is trimmed and nothing tokenised again: the partition is a function of the token ids, and
part of the declared prior.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .. import checks


@dataclass(frozen=True, kw_only=True)
class StepRule:
    r"""When a step ends; end of text always ends it too.

    Attributes:
        delimiter: ends the step at the first token after which its text contains this; None for no
            delimiter.
        tokens: ends the step after this many tokens; None for no fixed length.
        predicate: ends the step at the first token after which it is true of the step's text; None
            for none.
        cap: the most tokens of a step.

    Raises:
        TypeError: the delimiter is neither a text nor None.
        ValueError: a number is below 1, or the delimiter is empty or holds characters that no
            tokenizer can write.

    Example:
        >>> rule = StepRule(delimiter="\n", cap=32)
        >>> rule.ends("2 + 2"), rule.ends("2 + 2 = 4.\n"), rule.longest
        (False, True, 32)
    """

    delimiter: str | None = "\n\n"
    tokens: int | None = None
    predicate: Callable[[str], bool] | None = None
    cap: int = 256

    def __post_init__(self) -> None:
        if self.delimiter is not None:
            _check_delimiter(self.delimiter)
        checks.settle(
            self,
            tokens=None if self.tokens is None else checks.count("tokens", self.tokens),
            cap=checks.count("cap", self.cap),
        )

    @property
    def longest(self) -> int:
        """The most tokens that a step can have."""
        return self.cap if self.tokens is None else min(self.cap, self.tokens)

    def ends(self, text: str) -> bool:
        """Say whether a step with this text is complete by its text alone."""
        return bool(
            (self.delimiter and self.delimiter in text) or (self.predicate and self.predicate(text))
        )


def _check_delimiter(delimiter: object) -> None:
    if not isinstance(delimiter, str):
        raise TypeError(f"delimiter must be a text that ends a step, or None, not {delimiter!r}")
    if not delimiter:
        raise ValueError("delimiter must be a text that ends a step, or None, not the empty text")
    if any("\ud800" <= character <= "\udfff" for character in delimiter):
        raise ValueError(
            f"delimiter must be a text that can be encoded, and {delimiter!a} holds lone surrogates"
        )
