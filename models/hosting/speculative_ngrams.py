"""A table of n-grams as the draft of speculative sampling.

Solutions to one question repeat each other, so that what particles wrote before says much of what
is written next (Song et al. 2025, "Accelerated test-time scaling with model-free speculative
sampling", STAND, arXiv:2506.04708). What followed a context is counted in all steps that the
language model has drawn; the draft's law is the frequencies behind the longest context known.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from weakref import WeakSet

import numpy as np
import torch

from ... import checks
from ..sampling import Sampling
from ..trajectory import Trajectory
from .speculative_drafts import Drafted, Session, Target
from .transfers import sent

Context = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class NGramDraft:
    """A table of what followed which tokens in the steps that a language model has drawn.

    It learns when a call of `extend` is over and does not change while one lasts, so that no slot's
    draw depends on its company in a batch. What is accepted depends on the table, and so on the
    calls before: the same keys give the same draws only after the same calls. The law of what is
    drawn is the target's whatever the table holds, since all that it holds was written before (see
    `motes.models.hosting.speculative_law`).

    Attributes:
        order: the length of an n-gram: `order` - 1 tokens, or fewer where those are not known, say
            what follows them. At least 2.
        tokens: how many tokens to propose at a time.
        contexts: how many contexts the table holds; the oldest are forgotten.

    Raises:
        TypeError, ValueError: an attribute is no whole number in its range.

    Example:
        >>> from motes.models import load_lm
        >>> load_lm("pocket", draft=NGramDraft(order=4)).draft
        NGramDraft(order=4, tokens=4, contexts=200000)
    """

    order: int = 3
    tokens: int = 4
    contexts: int = 200_000

    def __post_init__(self) -> None:
        checks.settle(
            self,
            order=checks.count("order", self.order, least=2),
            tokens=checks.count("tokens", self.tokens),
            contexts=checks.count("contexts", self.contexts),
        )

    def at_work(self, target: Target) -> NGramDrafter:
        """Return it at work for a target, with a table of its own."""
        return NGramDrafter(self, target)


class NGramDrafter:
    """A table of n-grams at work for one target; see `Drafter`."""

    seeds = False
    context: int | None = None

    def __init__(self, draft: NGramDraft, target: Target) -> None:
        self.tokens, self.target = draft.tokens, target
        self.longest, self.contexts = draft.order - 1, draft.contexts
        # by context: how often each token followed it
        self._table: dict[Context, dict[int, int]] = {}
        self._roots: WeakSet[Trajectory] = WeakSet()

    def begin(self, parents: Sequence[Trajectory]) -> Session:
        """Begin to draft the steps behind these."""
        return _NGramSession(self, [self.end_of(parent) for parent in parents])

    def learn(self, steps: Sequence[Trajectory]) -> None:
        """Count what followed what in these steps, and in prompts that were not met before."""
        for step in steps:
            root = step.path[0]
            if root not in self._roots:
                self._roots.add(root)
                self._count((), self.target.tokens_of(root))
            if step.parent is not None:
                self._count(self.end_of(step.parent), step.step_token_ids)
        while len(self._table) > self.contexts:
            del self._table[next(iter(self._table))]

    def row_bytes(self, heads: Sequence[Trajectory], more: Sequence[int]) -> list[int]:
        """Return how many bytes each row takes: laws of proposals, in float64."""
        return [8 * self.tokens * self.target.vocabulary] * len(heads)

    def drop(self) -> None:
        """Forget nothing: what was learnt cannot be computed again."""

    def end_of(self, node: Trajectory) -> Context:
        """Return the last tokens of a prefix, as many as a context has."""
        end: Context = ()
        at: Trajectory | None = node
        while at is not None and len(end) < self.longest:
            end = (*self.target.tokens_of(at), *end)
            at = at.parent
        return end[-self.longest :]

    def law(self, text: Context) -> dict[int, int] | None:
        """Return how often each token followed the longest known end of a text; None if none is."""
        for length in range(min(self.longest, len(text)), 0, -1):
            found = self._table.get(text[-length:])
            if found is not None:
                return found
        return None

    def _count(self, before: Context, tokens: Sequence[int]) -> None:
        text = (*before, *tokens)
        for place in range(len(before), len(text)):
            for length in range(1, min(self.longest, place) + 1):
                followed = self._table.setdefault(text[place - length : place], {})
                followed[text[place]] = followed.get(text[place], 0) + 1


class _NGramSession:
    """The rows of one batch: the last tokens before each one's step."""

    def __init__(self, drafter: NGramDrafter, ends: list[Context]) -> None:
        self.drafter, self.ends = drafter, ends

    def propose(
        self, texts: Sequence[list[int]], most: np.ndarray, uniforms: np.ndarray, law: Sampling
    ) -> Drafted:
        """Propose tokens by their frequencies, as long as the table knows a context.

        See `Session`; frequencies are of draws, and `law` has been applied to these.
        """
        longest = self.drafter.longest
        ids: list[list[int]] = []
        entries: list[tuple[int, int, int, float]] = []  # row, place, token, log-probability
        for row, (end, text) in enumerate(zip(self.ends, texts, strict=True)):
            context, proposed = (*end, *text)[-longest:], []
            for place in range(most[row]):
                followed = self.drafter.law(context)
                if followed is None:
                    break
                token, logs = _drawn(followed, float(uniforms[row, place]))
                entries += [(row, place, each, value) for each, value in logs]
                proposed.append(token)
                context = (*context, token)[-longest:]
            ids.append(proposed)
        counts = np.array([len(proposed) for proposed in ids])
        width = int(counts.max())
        device = self.drafter.target.device
        shape = len(ids), width, self.drafter.target.vocabulary
        log_q = torch.full(shape, -torch.inf, dtype=torch.float64, device=device)
        if entries:
            where = sent(np.array([entry[:3] for entry in entries]).T.copy(), device)
            values = sent(np.array([entry[3] for entry in entries]), device)
            log_q[where[0], where[1], where[2]] = values
        padded = [proposed + [0] * (width - len(proposed)) for proposed in ids]
        drafts = sent(np.array(padded, dtype=np.int64).reshape(len(ids), width), device)
        return Drafted(drafts, log_q, counts)

    def settle(self, written: np.ndarray) -> None:
        """Learn nothing: a table reads the text itself."""

    def select(self, rows: Sequence[int]) -> None:
        """Go on with these rows alone."""
        self.ends = [self.ends[row] for row in rows]

    def store(self, ended: Iterable[tuple[int, Trajectory]]) -> None:
        """Keep nothing."""


def _drawn(followed: dict[int, int], uniform: float) -> tuple[int, list[tuple[int, float]]]:
    """Draw a token by its count; also each token's log-probability.

    Example:
        >>> _drawn({7: 1, 9: 1}, 0.6)[0]
        9
    """
    tokens = list(followed)
    counts = np.array([followed[token] for token in tokens], dtype=np.float64)
    cumulative = counts.cumsum()
    place = int(np.searchsorted(cumulative, uniform * cumulative[-1], side="right"))
    logs = np.log(counts / cumulative[-1])
    return tokens[min(place, len(tokens) - 1)], list(zip(tokens, logs.tolist(), strict=True))
