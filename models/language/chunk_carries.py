"""What is carried from one chunk of thinking to the next: the last steps, or a summary.

A chunk's state is what the model reads before the next step. It begins with the question and the
carry, and grows by the steps of the chunk. Where these are enough, either their last tokens are
carried over, or the model is asked for a summary, which it writes behind all that it has read, and
the summary is:

    last steps   p(x_t | question, carry, steps of the chunk so far)
    summary      p(segment_k | question, summary_k-1)
                 p(summary_k | question, summary_k-1, segment_k)

All that is read and not drawn (the carry, and the words that ask for a summary) is given to the
model as steps of probability one.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from ... import checks
from ..protocols import LanguageModel, token_facts
from ..trajectory import Trajectory
from ..written_text import Encode, encoded


class Given(NamedTuple):
    """A step that a model reads, and did not draw: all that it could read of it."""

    text: str
    token_ids: tuple[int, ...]
    delimited: bool = True

    def after(self, read: Trajectory, *, finished: bool = False) -> Trajectory:
        """Return what has been read with this step."""
        return read.child(
            self.text,
            self.token_ids,
            logprob=0.0,
            proposal_logprob=0.0,
            delimited=self.delimited,
            finished=finished,
        )


@dataclass(frozen=True, eq=False, slots=True, weakref_slot=True)
class ChunkState:
    """What the model reads before the next step.

    Attributes:
        read: it, as a trajectory of the model itself, whose log-probabilities are those of nothing.
        begun: what the chunk began with: question and carry.
        asked: where a summary was asked for, so that the next step is one of it; None before.
    """

    read: Trajectory
    begun: Trajectory
    asked: Trajectory | None = None

    @property
    def said(self) -> tuple[Trajectory, ...]:
        """The steps of the summary so far."""
        return () if self.asked is None else self.read.path[self.asked.depth + 1 :]


@dataclass(frozen=True, kw_only=True)
class Summary:
    r"""A carry that the model writes: a summary of what it has read, at the end of each chunk.

    The steps of a summary are drawn under the prior, as all steps are, belong to the trajectory,
    and are judged by the reward model as it judges any. The next chunk begins with the question,
    the heading, the summary, and the closing, and knows nothing else. Where the model ends its text
    in a summary, it is the summary that ends, and not the solution.

    Attributes:
        tokens: m, with how many a summary is over at the latest, the step that reaches it being its
            last.
        end: a text that ends a summary with the step in which it appears; None where a summary is
            one step.
        ask: what the model reads before it writes one.
        heading: what it reads before the summary, as the beginning of its turn, in the next chunk.
        closing: what it reads behind it.

    Raises:
        TypeError, ValueError: an attribute is not of its kind, or out of its range.

    Example:
        >>> inftythink = Summary(tokens=512, ask="</think>\n<summary>", end="</summary>",
        ...                      heading="<history>", closing="</history>\n<think>")
        >>> inftythink.tokens
        512
    """

    tokens: int
    end: str | None = None
    ask: str = "\n\nSummary of the work so far: "
    heading: str = "Summary of the work so far: "
    closing: str = "\n\n"

    def __post_init__(self) -> None:
        checks.settle(self, tokens=checks.count("tokens", self.tokens))
        for name in ("ask", "heading", "closing"):
            if not isinstance(getattr(self, name), str):
                raise TypeError(f"{name} must be a text, not {getattr(self, name)!r}")
        if self.end is not None and not (isinstance(self.end, str) and self.end):
            raise ValueError(f"end must be a text with which a summary ends, not {self.end!r}")
        if not self.ask:
            raise ValueError("ask must be a text with a token, not ''")


class Carry(Protocol):
    """How a chunk that has enough tokens is brought to the next one."""

    words: str

    def asked(self, read: Trajectory) -> Trajectory | None:
        """Return what is read where a summary is asked for; None where none is."""
        ...

    def is_over(self, state: ChunkState) -> bool:
        """Return whether a summary is whole."""
        ...

    def ends_summary(self, step: Trajectory) -> bool:
        """Return whether a step, in a summary, ends it by the end of the model's text."""
        ...

    def kept(self, state: ChunkState) -> tuple[Given, ...]:
        """Return what the next chunk begins with, behind the question."""
        ...


class LastSteps:
    """The fewest last steps of a chunk that have m tokens together."""

    def __init__(self, tokens: int) -> None:
        self.tokens, self.words = tokens, f"the last {tokens}"

    def asked(self, read: Trajectory) -> Trajectory | None:
        """Return None: nothing is asked for."""
        return None

    def is_over(self, state: ChunkState) -> bool:
        """Return False: there is no summary."""
        return False

    def ends_summary(self, step: Trajectory) -> bool:
        """Return False: there is no summary."""
        return False

    def kept(self, state: ChunkState) -> tuple[Given, ...]:
        """Return the last steps."""
        count, first = 0, 0
        path = state.read.path
        for first in range(len(path) - 1, 0, -1):
            count += len(path[first].step_token_ids)
            if count >= self.tokens:
                break
        return tuple(Given(x.step_text, x.step_token_ids, x.delimited) for x in path[first:])


class Summarised:
    """A summary that a model writes, in the model's tokens.

    Args:
        summary: how it is asked for.
        encode: from a text to token ids; None for the model's tokenizer.
        lm: the model.

    Raises:
        TypeError: the model has no tokenizer, or does not say which tokens end its texts.
        ValueError: the words that ask for a summary have no token.
    """

    def __init__(self, summary: Summary, lm: LanguageModel, encode: Encode | None) -> None:
        self.summary, self.words = summary, f"a summary of {summary.tokens}"
        facts = token_facts(lm)
        if not facts.names_ends:
            raise TypeError(
                f"carry must be a number of tokens for the language model {lm.name!r}, which does "
                "not say by an attribute end_ids which tokens end its texts"
            )
        self._end_ids: Collection[int] = frozenset(facts.end_ids)
        self._ask = Given(summary.ask, _encoded(summary.ask, lm, facts.tokenizer, encode))
        if not self._ask.token_ids:
            raise ValueError(f"ask must be a text with a token, not {summary.ask!r}")
        self._heading = _encoded(summary.heading, lm, facts.tokenizer, encode)
        self._closing = _encoded(summary.closing, lm, facts.tokenizer, encode)

    def asked(self, read: Trajectory) -> Trajectory | None:
        """Return what was read, and the words that ask."""
        return self._ask.after(read)

    def is_over(self, state: ChunkState) -> bool:
        """Return whether there are enough tokens, or an end of one kind or the other."""
        steps, end = state.said, self.summary.end
        if not steps:
            return False
        if end is None or self.ends_summary(steps[-1]):
            return True
        written = sum(len(step.step_token_ids) for step in steps)
        return written >= self.summary.tokens or end in "".join(x.step_text for x in steps)

    def ends_summary(self, step: Trajectory) -> bool:
        """Return whether the model ended its text with a step."""
        ids = step.step_token_ids
        return step.finished or (bool(ids) and ids[-1] in self._end_ids)

    def kept(self, state: ChunkState) -> tuple[Given, ...]:
        """Return the summary between heading and closing, as one step."""
        steps, summary = state.said, self.summary
        ids = tuple(token for step in steps for token in step.step_token_ids)
        if ids and ids[-1] in self._end_ids:
            ids = ids[:-1]
        ids = (*self._heading, *ids, *self._closing)
        text = summary.heading + "".join(step.step_text for step in steps) + summary.closing
        return (Given(text, ids),) if ids else ()


def _encoded(
    text: str, lm: LanguageModel, tokenizer: Any, encode: Encode | None
) -> tuple[int, ...]:
    """Return the ids of a text, none of the empty one."""
    if not text:
        return ()
    if encode is None and tokenizer is None:
        raise TypeError(
            "encode must be a function from a text to token ids, as the language model "
            f"{lm.name!r} has no tokenizer of its own"
        )
    return encoded("text", text, encode, tokenizer)
