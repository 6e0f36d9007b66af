"""From token ids to the text of steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..step_rule import StepRule


class Detokenizer:
    """A tokenizer's decoder, and where in its output a step can end.

    Args:
        tokenizer: a transformers tokenizer.
        rule: when a step ends.
        vocabulary: how many ids the model can draw; ids beyond the tokenizer's own have no text.
    """

    def __init__(self, tokenizer: Any, rule: StepRule, vocabulary: int) -> None:
        self.tokenizer, self.rule = tokenizer, rule
        self._may_end = np.full(vocabulary, rule.predicate is not None)
        if rule.delimiter is not None:
            # only a token that brings the delimiter's last character can complete it; a token that is part of
            # a character decodes to the replacement character
            known = min(vocabulary, len(tokenizer))
            texts = tokenizer.batch_decode([[i] for i in range(known)], skip_special_tokens=True)
            self._may_end[:known] |= [rule.delimiter[-1] in text or "\ufffd" in text for text in texts]

    def may_end(self, tokens: np.ndarray) -> np.ndarray:
        """Whether each of these tokens could be a step's last by the rule's text conditions: bool, same shape."""
        return self._may_end[tokens]

    def text(self, before: Sequence[int], tokens: Sequence[int]) -> str:
        """The text of `tokens` where they follow the tokens `before` (which set spaces, and complete characters)."""
        prefix = self._decode(before)
        whole = self._decode([*before, *tokens])
        return whole[len(prefix) :] if whole.startswith(prefix) else self._decode(tokens)

    def _decode(self, tokens: Sequence[int]) -> str:
        return self.tokenizer.decode(list(tokens), skip_special_tokens=True) if tokens else ""
