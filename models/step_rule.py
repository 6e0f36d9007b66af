"""Where a reasoning step ends.

A step is a run of whole tokens. It ends at the first token after which its text contains a
delimiter, or after a fixed number of tokens, or when a predicate says so; at the latest at the cap.
Nothing is trimmed and nothing tokenised again: the partition is a function of the token ids, and
part of the declared prior. A model that thinks before it answers has a second rule for the steps
of its thinking (`Thinking`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from .. import checks


@dataclass(frozen=True, kw_only=True)
class StepRule:
    r"""When a step ends; end of text always ends it too.

    Attributes:
        delimiter: ends the step at the first token after which its text contains this, or one of
            these; None for no delimiter.
        tokens: ends the step after this many tokens; None for no fixed length.
        predicate: ends the step at the first token after which it is true of the step's text; None
            for none.
        cap: the most tokens of a step.
        thinking: how a model that thinks before it answers is divided into steps; None for a model
            that doesn't.

    Raises:
        TypeError: the delimiter is neither a text nor texts nor None, or `thinking` is no
            `Thinking`.
        ValueError: a number is below 1, or a delimiter is empty or holds characters that no
            tokenizer can write.

    Example:
        >>> rule = StepRule(delimiter="\n", cap=32)
        >>> rule.ends("2 + 2"), rule.ends("2 + 2 = 4.\n"), rule.longest
        (False, True, 32)
        >>> StepRule(delimiter=["\n\n", "\nStep"]).ends("2 + 2 = 4.\nStep")
        True
    """

    delimiter: str | Sequence[str] | None = "\n\n"
    tokens: int | None = None
    predicate: Callable[[str], bool] | None = None
    cap: int = 256
    thinking: Thinking | None = None

    def __post_init__(self) -> None:
        checks.settle(
            self,
            delimiter=_settled_delimiter(self.delimiter),
            tokens=None if self.tokens is None else checks.count("tokens", self.tokens),
            cap=checks.count("cap", self.cap),
        )
        if not (self.thinking is None or isinstance(self.thinking, Thinking)):
            raise TypeError(f"thinking must be a Thinking or None, not {self.thinking!r}")

    @property
    def delimiters(self) -> tuple[str, ...]:
        """The texts that end a step."""
        if self.delimiter is None:
            return ()
        return (self.delimiter,) if isinstance(self.delimiter, str) else tuple(self.delimiter)

    @property
    def most(self) -> int:
        """The most tokens that a step outside of thinking can have."""
        return self.cap if self.tokens is None else min(self.cap, self.tokens)

    @property
    def longest(self) -> int:
        """The most tokens that a step can have."""
        return max(rule.most for rule in self.rules)

    @property
    def rules(self) -> tuple[StepRule, ...]:
        """The rule outside of thinking, and, where there is thinking, the rule inside."""
        if self.thinking is None:
            return (self,)
        return self, self.thinking.step or replace(self, thinking=None)

    def ends(self, text: str) -> bool:
        """Return whether a step with this text is complete by it alone, outside of thinking."""
        return self.ends_at_delimiter(text) or bool(self.predicate and self.predicate(text))

    def ends_at_delimiter(self, text: str) -> bool:
        """Return whether a delimiter is in a step's text."""
        return any(delimiter in text for delimiter in self.delimiters)

    def governing(self, text: str, *, thinks: bool) -> Governed:
        r"""Return which rule a step is under, and what of its text is neither blank nor a marker.

        A marker of thinking ends the step that it stands in, unless nothing was said before it:
        then it belongs to the step, and says of which kind it is.

        Args:
            text: the step's, so far.
            thinks: whether the model was thinking before it.

        Example:
            >>> rule = StepRule(cap=64, thinking=Thinking(step=StepRule(cap=9)))
            >>> now = rule.governing("<think>\nWait, 4.\n", thinks=False)
            >>> now.thinks, now.said, now.rule.cap, now.marked
            (True, 'Wait, 4.\n', 9, False)
            >>> rule.governing("So 4.</think>", thinks=True).marked
            True
        """
        if self.thinking is None:
            return Governed(self, thinks=False, said=text, marked=False)
        said, marker = text.lstrip(), self.thinking.marker(thinks)
        while said.startswith(marker):
            said = said.removeprefix(marker).lstrip()
            thinks = not thinks
            marker = self.thinking.marker(thinks)
        return Governed(self.rules[thinks], thinks, said, marked=marker in said)


@dataclass(frozen=True, kw_only=True)
class Thinking:
    """How the text of a model that thinks before it answers is divided, and bounded.

    What stands between the markers is thinking; answers are read of the rest. A trajectory that has
    more than its budget is truncated: at the end of the step with which its thinking reaches
    `max_tokens` without having ended, or its answer reaches `max_answer_tokens`. Where the chat
    template begins the thinking itself, or the prefill does, the first step is one of thinking.

    Attributes:
        begin: the text before thinking.
        end: the text after it.
        step: when a step of thinking ends; the rule of the other steps where None.
        max_tokens: the budget of all thinking, in tokens; None for no limit.
        max_answer_tokens: the budget of all the rest; None for no limit.

    Raises:
        TypeError: a marker is no text, or `step` is no rule.
        ValueError: a marker is empty or the other one, a number is below 1, or `step` has thinking
            of its own.

    Example:
        >>> thinking = Thinking(step=StepRule(cap=512), max_tokens=4096)
        >>> StepRule(cap=128, thinking=thinking).longest
        512
    """

    begin: str = "<think>"
    end: str = "</think>"
    step: StepRule | None = None
    max_tokens: int | None = None
    max_answer_tokens: int | None = None

    def __post_init__(self) -> None:
        for name in ("begin", "end"):
            _check_text(name, getattr(self, name))
        if self.begin == self.end:
            raise ValueError(f"begin and end must be two texts, and both are {self.begin!r}")
        if not (self.step is None or isinstance(self.step, StepRule)):
            raise TypeError(f"step must be a StepRule or None, not {self.step!r}")
        if self.step is not None and self.step.thinking is not None:
            raise ValueError("step must be a rule without thinking: thinking has none inside")
        for name in ("max_tokens", "max_answer_tokens"):
            if getattr(self, name) is not None:
                checks.settle(self, **{name: checks.count(name, getattr(self, name))})

    def marker(self, thinks: bool) -> str:
        """Return the text that ends thinking, or that begins it."""
        return self.end if thinks else self.begin


class Governed(NamedTuple):
    """A step in the making.

    Attributes:
        rule: the rule that it is under.
        thinks: whether it is a step of thinking.
        said: its text, behind blank space and markers that it begins with; all of it where there is
            no thinking.
        marked: whether a marker ends it.
    """

    rule: StepRule
    thinks: bool
    said: str
    marked: bool

    @property
    def delimited(self) -> bool:
        """Whether it ends at a delimiter or a marker."""
        return self.marked or self.rule.ends_at_delimiter(self.said)

    def ends(self, tokens: int) -> bool:
        """Return whether it is complete with so many tokens."""
        return self.marked or tokens >= self.rule.most or self.rule.ends(self.said)


def _settled_delimiter(delimiter: object) -> str | tuple[str, ...] | None:
    """Return a delimiter, several, or None; one alone as a text."""
    if delimiter is None:
        return None
    if isinstance(delimiter, str) or not isinstance(delimiter, Sequence):
        _check_text("delimiter", delimiter)
        return str(delimiter)
    texts = tuple(delimiter)
    if not texts:
        raise ValueError("delimiter must be a text that ends a step, several, or None, not []")
    for text in texts:
        _check_text("delimiter", text)
    return texts[0] if len(texts) == 1 else texts


def _check_text(name: str, text: object) -> None:
    kind = "that ends a step, or None" if name == "delimiter" else "that marks thinking"
    if not isinstance(text, str):
        raise TypeError(f"{name} must be a text {kind}, not {text!r}")
    if not text:
        raise ValueError(f"{name} must be a text {kind}, not the empty text")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError(
            f"{name} must be a text that can be encoded, and {text!a} holds lone surrogates"
        )
