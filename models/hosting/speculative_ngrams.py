"""A table of n-grams as the draft of speculative sampling.

Solutions to one question repeat each other, so that what particles wrote before says much of what
is written next (Song et al. 2025, "Accelerated test-time scaling with model-free speculative
sampling", STAND, arXiv:2506.04708). Of each context the table holds the mean of the target's laws
behind it, by their likeliest tokens, over all steps that the language model has drawn; the draft's
law is the one behind the longest context known.

STAND drafts a tree of 80 tokens and takes the likeliest branches; here one text is drafted, drawn
from the table's law.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary, WeakSet

import numpy as np
import torch

from ... import checks
from ..sampling import Sampling
from ..trajectory import Trajectory
from .speculative_drafts import Drafted, Seen, Session, Target
from .transfers import sent

Context = tuple[int, ...]
Law = tuple[Sequence[int], Sequence[float]]  # tokens, and their probabilities


@dataclass(frozen=True, kw_only=True)
class NGramDraft:
    """A table of what may follow which tokens, from the steps that a language model has drawn.

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
        likeliest: how many tokens of each law the table holds.

    Raises:
        TypeError, ValueError: an attribute is no whole number in its range.

    Example:
        >>> from motes.models import load_lm
        >>> load_lm("pocket", draft=NGramDraft(order=4)).draft
        NGramDraft(order=4, tokens=4, contexts=200000, likeliest=10)
    """

    order: int = 3
    tokens: int = 4
    contexts: int = 200_000
    likeliest: int = 10

    def __post_init__(self) -> None:
        checks.settle(
            self,
            order=checks.count("order", self.order, least=2),
            tokens=checks.count("tokens", self.tokens),
            contexts=checks.count("contexts", self.contexts),
            likeliest=checks.count("likeliest", self.likeliest),
        )

    def at_work(self, target: Target) -> NGramDrafter:
        """Return it at work for a target, with a table of its own."""
        return NGramDrafter(self, target)


@dataclass(slots=True)
class MeanLaw:
    """The mean of the laws behind one context.

    Attributes:
        laws: how many they are.
        probs: the mean probability of each token; what is left of 1 was forgotten.

    Example:
        >>> law = MeanLaw()
        >>> law.add([7, 9], [0.75, 0.25], most=2)
        >>> law.add([9], [1.0], most=2)
        >>> law
        MeanLaw(laws=2, probs={9: 0.625, 7: 0.375})
    """

    laws: int = 0
    probs: dict[int, float] = field(default_factory=dict)

    def add(self, ids: Sequence[int], probs: Sequence[float], *, most: int) -> None:
        """Add a law, and keep the likeliest tokens of the mean."""
        old = self.laws / (self.laws + 1)
        mean = {token: old * prob for token, prob in self.probs.items()}
        for token, prob in zip(ids, probs, strict=True):
            if prob > 0:
                mean[token] = mean.get(token, 0.0) + (1 - old) * prob
        likeliest = sorted(mean, key=lambda token: -mean[token])[:most]
        self.probs = {token: mean[token] for token in likeliest}
        self.laws += 1


class NGramDrafter:
    """A table of n-grams at work for one target; see `Drafter`."""

    seeds = False
    context: int | None = None

    def __init__(self, draft: NGramDraft, target: Target) -> None:
        self.tokens, self.target = draft.tokens, target
        self.longest, self.contexts = draft.order - 1, draft.contexts
        self.likeliest = draft.likeliest
        self._table: dict[Context, MeanLaw] = {}
        self._roots: WeakSet[Trajectory] = WeakSet()
        # the laws of steps that have ended, until the call that drew them is over
        self._seen: WeakKeyDictionary[Trajectory, list[Law]] = WeakKeyDictionary()

    def begin(self, parents: Sequence[Trajectory]) -> Session:
        """Begin to draft the steps behind these."""
        return _NGramSession(self, [self.end_of(parent) for parent in parents])

    def learn(self, steps: Sequence[Trajectory]) -> None:
        """Learn the laws of these steps, and what stands in prompts that were not met before."""
        for step in steps:
            root = step.path[0]
            if root not in self._roots:
                self._roots.add(root)
                prompt = self.target.tokens_of(root)
                # of a prompt's tokens no law is known but that they were written
                self._learn((), prompt, [((token,), (1.0,)) for token in prompt])
            if step.parent is not None and step in self._seen:
                laws = self._seen.pop(step)
                self._learn(self.end_of(step.parent), step.step_token_ids, laws)
        while len(self._table) > self.contexts:
            del self._table[next(iter(self._table))]

    def row_bytes(self, heads: Sequence[Trajectory], more: Sequence[int]) -> list[int]:
        """Return how many bytes each row takes: laws of proposals, in float64."""
        return [8 * self.tokens * self.target.vocabulary] * len(heads)

    def keep(self, step: Trajectory, laws: list[Law]) -> None:
        """Keep the laws of a step's tokens until it is learnt."""
        self._seen[step] = laws

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

    def law(self, text: Context) -> dict[int, float] | None:
        """Return what may follow the longest known end of a text; None if none is known."""
        for length in range(min(self.longest, len(text)), 0, -1):
            found = self._table.get(text[-length:])
            if found is not None:
                return found.probs
        return None

    def _learn(self, before: Context, tokens: Sequence[int], laws: Sequence[Law]) -> None:
        """Add the law of each token to those of the contexts that it stands behind."""
        text = (*before, *tokens)
        for place, law in enumerate(laws, len(before)):
            for length in range(1, min(self.longest, place) + 1):
                mean = self._table.setdefault(text[place - length : place], MeanLaw())
                mean.add(*law, most=self.likeliest)


class _NGramSession:
    """The rows of one batch: the last tokens before each one's step, and the laws seen of it."""

    def __init__(self, drafter: NGramDrafter, ends: list[Context]) -> None:
        self.drafter, self.ends = drafter, ends
        self.likeliest = drafter.likeliest
        self._laws: list[list[Law]] = [[] for _ in ends]

    def propose(
        self, texts: Sequence[list[int]], most: np.ndarray, uniforms: np.ndarray, law: Sampling
    ) -> Drafted:
        """Propose tokens by the table's laws, as long as it knows a context.

        See `Session`; what the table holds are laws to which `law` has been applied.
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

    def see(self, laws: Seen, written: np.ndarray) -> None:
        """Note the laws of what was written; see `Session`."""
        for row in np.flatnonzero(written):
            ids, probs = laws.ids[row, : written[row]], laws.probs[row, : written[row]]
            self._laws[row] += zip(ids.tolist(), probs.tolist(), strict=True)

    def settle(self, written: np.ndarray) -> None:
        """Forget nothing: a table reads the text itself."""

    def select(self, rows: Sequence[int]) -> None:
        """Go on with these rows alone."""
        self.ends = [self.ends[row] for row in rows]
        self._laws = [self._laws[row] for row in rows]

    def store(self, ended: Iterable[tuple[int, Trajectory]]) -> None:
        """Hand the laws of steps that have ended to the table, which learns them later."""
        for row, step in ended:
            self.drafter.keep(step, self._laws[row])


def _drawn(followed: dict[int, float], uniform: float) -> tuple[int, list[tuple[int, float]]]:
    """Draw a token by its share; also each token's log-probability.

    Example:
        >>> _drawn({7: 0.4, 9: 0.4}, 0.6)[0]
        9
    """
    tokens = list(followed)
    shares = np.array([followed[token] for token in tokens], dtype=np.float64)
    cumulative = shares.cumsum()
    place = int(np.searchsorted(cumulative, uniform * cumulative[-1], side="right"))
    logs = np.log(shares / cumulative[-1])
    return tokens[min(place, len(tokens) - 1)], list(zip(tokens, logs.tolist(), strict=True))
