"""What proposes tokens for speculative sampling: a smaller model, or a table of n-grams.

A draft says what it proposes, and from which law it drew that; the target accepts or refuses (see
`motes.models.hosting.speculative_law`). A draft that is poor, or that has lost track of the text,
costs time and changes no law.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import torch

from ...aliases import Tokenizer
from ..cost import Cost
from ..sampling import Sampling
from ..trajectory import Trajectory


class Target(NamedTuple):
    """What a draft must know of the model that it drafts for.

    Attributes:
        name: for errors.
        tokenizer: whose ids it writes.
        vocabulary: how many ids it can draw.
        device: where its logits lie.
        tokens_of: the token ids that a node stands for.
        cache_bytes: the most bytes of keys and values to keep.
        spend: is told what the draft has cost.
    """

    name: str
    tokenizer: Tokenizer
    vocabulary: int
    device: torch.device
    tokens_of: Callable[[Trajectory], tuple[int, ...]]
    cache_bytes: int
    spend: Callable[[Cost], None]


@dataclass
class Drafted:
    """What was proposed for each row of a batch.

    Attributes:
        ids: int64 (rows, g), on the device.
        log_q: (rows, g, vocabulary), normalised: the laws that they were drawn from.
        counts: how many each row has, (rows,), at most g; what stands behind them says nothing.
    """

    ids: torch.Tensor
    log_q: torch.Tensor
    counts: np.ndarray


class Seen(NamedTuple):
    """The target's laws of tokens that were written, each by its likeliest tokens.

    Attributes:
        ids: (rows, columns, likeliest).
        probs: their probabilities, of the same shape; 0 where a token cannot be drawn.
    """

    ids: np.ndarray
    probs: np.ndarray


class Session(Protocol):
    """Drafts of one batch of steps, from their beginning to their end.

    Attributes:
        likeliest: how many tokens of each of the target's laws it wants to see; 0: no law.
    """

    likeliest: int

    def propose(
        self, texts: Sequence[list[int]], most: np.ndarray, uniforms: np.ndarray, law: Sampling
    ) -> Drafted:
        """Propose at most most[i] tokens behind row i's step so far.

        Args:
            texts: the tokens of each row's step.
            most: (rows,), of which at least one is above 0.
            uniforms: (rows, columns), one for each token; float64 in [0, 1).
            law: what is made of a model's logits.
        """
        ...

    def see(self, laws: Seen, written: np.ndarray) -> None:
        """See the laws of the written[i] tokens that row i's step has grown by, if any are wanted.

        The law of a step's first token is seen before anything is proposed.
        """
        ...

    def settle(self, written: np.ndarray) -> None:
        """Learn that row i's step has grown by written[i] tokens since the last proposal."""
        ...

    def select(self, rows: Sequence[int]) -> None:
        """Go on with these rows alone."""
        ...

    def store(self, ended: Iterable[tuple[int, Trajectory]]) -> None:
        """Keep what was computed of these rows' steps, which have ended."""
        ...


class Drafter(Protocol):
    """A draft at work for one target.

    Attributes:
        tokens: the most that it proposes at a time.
        seeds: whether what it proposes depends on the trajectory and the random numbers alone.
        context: how many tokens it can read; None for any number.
    """

    tokens: int
    seeds: bool
    context: int | None

    def begin(self, parents: Sequence[Trajectory]) -> Session:
        """Begin to draft the steps behind these."""
        ...

    def learn(self, steps: Sequence[Trajectory]) -> None:
        """See steps that a call has drawn, after the call."""
        ...

    def row_bytes(self, heads: Sequence[Trajectory], more: Sequence[int]) -> list[int]:
        """Return about how many bytes each row of a batch takes."""
        ...

    def drop(self) -> None:
        """Forget what can be computed again."""
        ...


class Draft(Protocol):
    """What may be given to `motes.load_lm` as its draft."""

    def at_work(self, target: Target) -> Drafter:
        """Return it at work for a target.

        Raises:
            ValueError: it cannot draft for this one.
        """
        ...
