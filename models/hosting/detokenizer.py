"""From token ids to the text of steps.

The steps' texts, one behind the other, are what the tokenizer makes of all their tokens together:

    "".join(texts of the steps) = decode(tokens of the first step + tokens of the second + ...)

So a token is decoded behind those before it (alone, "▁Then" has lost its blank), and a character
that begins in one step and ends in the next belongs to the step in which it becomes whole. Special
tokens are left out of the text, unless the step rule's delimiter names them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...aliases import Tokenizer
from ..step_rule import StepRule
from ..trajectory import Trajectory
from .producible import PARTIAL, fewest_tokens

BYTES = 3  # of a character that may still be waited for: UTF-8 has at most four
BEFORE = 8  # tokens that a text is decoded behind, at least


class Detokenizer:
    """A tokenizer's decoder, and where in its output a step can end.

    Args:
        tokenizer: a transformers tokenizer.
        rule: when a step ends.
        vocabulary: how many ids the model can draw; ids beyond the tokenizer's own have no text.

    Raises:
        ValueError: the rule's delimiter cannot be written with this vocabulary, or not in as few
            tokens as a step may have.
    """

    def __init__(self, tokenizer: Tokenizer, rule: StepRule, vocabulary: int) -> None:
        self.tokenizer, self.rule = tokenizer, rule
        ending = _ending_texts(rule)
        self._hidden = _hidden(tokenizer, ending)
        predicates = any(each.predicate is not None for each in rule.rules)
        self._may_end = np.full(vocabulary, predicates)
        if ending:
            texts = self._texts(min(vocabulary, len(tokenizer)))
            self._check([*texts[0], *texts[1]])
            last = {text[-1] for text in ending}
            for token, pair in enumerate(zip(*texts, strict=True)):
                # only a token that brings a delimiter's last character can complete it, or one
                # that completes a character
                ends = any(PARTIAL in text or not last.isdisjoint(text) for text in pair)
                self._may_end[token] |= ends

    def may_end(self) -> np.ndarray:
        """Return whether each token could be a step's last by the rule's text conditions.

        Bool, (vocabulary,); a copy.
        """
        return self._may_end.copy()

    def text(self, parent: Trajectory, tokens: Sequence[int], *, last: bool = False) -> str:
        """Return the text of `tokens` behind a trajectory.

        Args:
            parent: the trajectory that they follow.
            tokens: the ids so far of a step.
            last: whether no token follows: then characters that are not whole are replaced by
                U+FFFD. Otherwise they are left to the step that completes them.
        """
        before = self._before(parent)
        prefix = self._stable(before)
        whole = self._decode([*before, *tokens]) if last else self._stable([*before, *tokens])
        if whole.startswith(prefix):
            return whole[len(prefix) :]
        return self._decode(tokens) if last else self._stable(tokens)

    def _before(self, parent: Trajectory) -> list[int]:
        """Return the last few tokens of a trajectory, from the beginning of a character on."""
        tokens: list[int] = []
        node: Trajectory | None = parent
        while node is not None:
            tokens = [*node.step_token_ids, *tokens]
            for start in range(len(tokens) - BEFORE, -1, -1):
                if tokens[start] not in self._hidden and PARTIAL not in self._decode(
                    tokens[start : start + 1]
                ):
                    return tokens[start:]
            node = node.parent
        return tokens

    def _stable(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens, up to the last character that is whole."""
        text = self._decode(tokens)
        if not text.endswith(PARTIAL):
            return text
        # byte tokens at the end may decode to replacement characters altogether as long as the last
        # character is not whole: without its bytes they do not
        texts = [text.rstrip(PARTIAL)]
        texts += [
            self._decode(tokens[:-count]) for count in range(1, BYTES + 1) if count <= len(tokens)
        ]
        return max((text for text in texts if not text.endswith(PARTIAL)), key=len)

    def _decode(self, tokens: Sequence[int]) -> str:
        shown = [token for token in tokens if token not in self._hidden]
        return self.tokenizer.decode(shown, clean_up_tokenization_spaces=False) if shown else ""

    def _texts(self, known: int) -> tuple[list[str], list[str]]:
        """Return the texts of the first `known` tokens.

        Each at the beginning of a text, and each behind another token.
        """
        letters = self.tokenizer(" ".join("abcdefghijklmnopqrstuvwxyz"), add_special_tokens=False)[
            "input_ids"
        ]
        first = [token for token in letters if token not in self._hidden][-1:]
        shown = [[] if token in self._hidden else [token] for token in range(known)]
        alone, behind = self._decoded(shown), self._decoded([first + tokens for tokens in shown])
        prefix = self._decode(first)
        for token, tokens in enumerate(shown):
            # some decoders leave out what is part of a character instead of replacing it
            behind[token] = behind[token].removeprefix(prefix) or PARTIAL * len(tokens)
        return alone, behind

    def _decoded(self, sequences: list[list[int]]) -> list[str]:
        if self.tokenizer.is_fast:
            return self.tokenizer.backend_tokenizer.decode_batch(
                sequences, skip_special_tokens=False
            )
        return [self._decode(tokens) for tokens in sequences]

    def _check(self, texts: list[str]) -> None:
        """Raise ValueError where no step could end at a delimiter, or no thinking at a marker."""
        for marker in _markers(self.rule):
            if fewest_tokens(marker, texts) is None:
                raise ValueError(
                    f"the marker of thinking {marker!r} cannot occur: no tokens of this vocabulary "
                    "make that text; choose another with Thinking(begin=..., end=...)"
                )
        for rule in self.rule.rules:
            for delimiter in rule.delimiters:
                _check_delimiter(rule, delimiter, texts)


def _check_delimiter(rule: StepRule, delimiter: str, texts: list[str]) -> None:
    """Raise ValueError where no step under a rule could end at this delimiter."""
    tokens = fewest_tokens(delimiter, texts)
    if tokens is None:
        raise ValueError(
            f"delimiter {delimiter!r} cannot occur: no tokens of this vocabulary make that "
            "text; choose another "
            "with step=StepRule(delimiter=...), or delimiter=None"
        )
    if rule.tokens is None and tokens > rule.cap:
        raise ValueError(
            f"cap must leave room for the delimiter {delimiter!r}, which has {tokens} tokens, "
            f"and is {rule.cap}"
        )


def _markers(rule: StepRule) -> list[str]:
    return [] if rule.thinking is None else [rule.thinking.begin, rule.thinking.end]


def _ending_texts(rule: StepRule) -> list[str]:
    """Return all texts at which a step can end: delimiters, and markers of thinking."""
    delimiters = [delimiter for each in rule.rules for delimiter in each.delimiters]
    return [*delimiters, *_markers(rule)]


def _hidden(tokenizer: Tokenizer, ending: Sequence[str]) -> frozenset[int]:
    """Return the ids of the special tokens that no text at which a step ends names."""
    added = tokenizer.added_tokens_decoder
    special = {
        *tokenizer.all_special_ids,
        *(token for token, kind in added.items() if kind.special),
    }
    names = {token: tokenizer.convert_ids_to_tokens(token) for token in special}
    named = {token for token, name in names.items() if any(name in text for text in ending)}
    return frozenset(special - named)
