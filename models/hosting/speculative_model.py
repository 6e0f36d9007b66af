"""A smaller language model as the draft of speculative sampling."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch

from ... import checks
from ...aliases import Network, Tokenizer
from ..cost import Cost
from ..sampling import Sampling
from ..trajectory import Trajectory
from .draws import draw, log_probs
from .kv import Rows
from .probe import declared_context
from .speculative_drafts import Drafted, Seen, Session, Target
from .transfers import sent
from .tree_cache import Tokens, TreeCache


class ModelDraft:
    """A language model that proposes tokens for another one with the same vocabulary.

    Made by `motes.models.load_draft`, or by `motes.load_lm` of a name given as its draft.

    Args:
        model: a model of transformers, in evaluation mode.
        tokenizer: its tokenizer, which must have the target's vocabulary.
        name: what errors call it.
        tokens: how many tokens to propose at a time.

    Raises:
        TypeError, ValueError: `tokens` is no whole number above 0.

    Example:
        >>> from motes.models import load_draft
        >>> load_draft("pocket", tokens=3).tokens
        3
    """

    def __init__(
        self, model: Network, tokenizer: Tokenizer, *, name: str = "", tokens: int = 4
    ) -> None:
        self.model, self.tokenizer = model, tokenizer
        self.name, self.tokens = name or type(model).__name__, checks.count("tokens", tokens)

    def at_work(self, target: Target) -> ModelDrafter:
        """Return it at work for a target.

        Raises:
            ValueError: the vocabularies differ, or the model cannot be forked.
        """
        own: dict[str, int] = self.tokenizer.get_vocab()
        wanted: dict[str, int] = target.tokenizer.get_vocab()
        if own != wanted:
            tokens = own.keys() | wanted.keys()
            apart = sorted(token for token in tokens if own.get(token) != wanted.get(token))
            raise ValueError(
                f"draft must have the vocabulary of {target.name!r}, and {len(apart)} tokens of "
                f"{self.name!r} differ, such as {apart[0]!r}: choose a smaller model of the same "
                "family"
            )
        return ModelDrafter(self, target)


class ModelDrafter:
    """A draft model at work for one target; see `Drafter`."""

    seeds = True

    def __init__(self, draft: ModelDraft, target: Target) -> None:
        self.tokens, self.target = draft.tokens, target
        self.context: int | None = declared_context(draft.model.config)
        self.known = draft.model.config.get_text_config().vocab_size
        self.tree = TreeCache(
            draft.model,
            self._tokens_of,
            budget=target.cache_bytes,
            on_forward=self._forwarded,
            on_move=lambda seconds: target.spend(Cost(cache_seconds=seconds)),
        )

    def begin(self, parents: Sequence[Trajectory]) -> Session:
        """Begin to draft the steps behind these; they are read."""
        distinct = list(dict.fromkeys(parents))
        place = {parent: i for i, parent in enumerate(distinct)}
        _, rows = self.tree.logits_at(distinct)
        if rows is None:
            return _ModelSession(self, self.tree.rows(parents))
        return _ModelSession(self, self.tree.select(rows, [place[parent] for parent in parents]))

    def learn(self, steps: Sequence[Trajectory]) -> None:
        """See steps; a model learns nothing of them."""

    def row_bytes(self, heads: Sequence[Trajectory], more: Sequence[int]) -> list[int]:
        """Return about how many bytes each row takes: keys, values, and laws of proposals."""
        return self.tree.row_bytes(heads, more, self.tokens * self.target.vocabulary)

    def drop(self) -> None:
        """Forget keys and values."""
        self.tree.drop()

    def readable(self, token: int) -> int:
        """Return an id that the model has: a target may have more, which no tokenizer writes."""
        return min(token, self.known - 1)

    def _tokens_of(self, node: Trajectory) -> tuple[int, ...]:
        return tuple(map(self.readable, self.target.tokens_of(node)))

    def _forwarded(self, tokens: Tokens, seconds: float) -> None:
        self.target.spend(
            Cost(draft_tokens=sum(tokens), draft_forward_passes=1, forward_seconds=seconds)
        )


class _ModelSession:
    """The rows of one batch, as far as the draft model has read them.

    Rows read uneven numbers of tokens; after each proposal what was refused is forgotten.

    Attributes:
        read: how many tokens of its step each row has read.
    """

    likeliest = 0

    def __init__(self, drafter: ModelDrafter, rows: Rows) -> None:
        self.drafter, self.tree, self.rows = drafter, drafter.tree, rows
        self.read = np.zeros(rows.keys.shape[1], dtype=np.int64)
        self._proposed = np.zeros_like(self.read)  # tokens of the last proposal that were read
        self._columns = 0  # of the last proposal

    def propose(
        self, texts: Sequence[list[int]], most: np.ndarray, uniforms: np.ndarray, law: Sampling
    ) -> Drafted:
        """Propose tokens, each drawn from the model's law behind those before; see `Session`."""
        logits = self._catch_up(texts, most)
        ids, laws = [], []
        self._columns = int(most.max()) - 1
        self._proposed = np.maximum(most - 1, 0)
        for place in range(self._columns + 1):
            log_q = log_probs(self._fitted(logits), law)
            drawn = draw(log_q, sent(uniforms[:, place], log_q.device))
            ids.append(drawn)
            laws.append(log_q)
            if place < self._columns:  # the last one need not be read
                alive = most > place + 1
                logits = self.tree.forward(
                    self.rows,
                    drawn.clamp(max=self.drafter.known - 1)[:, None],
                    sent(alive.astype(np.int64), drawn.device),
                    Tokens(0, int(alive.sum()), 0),
                )[:, -1]
        device = self.drafter.target.device
        return Drafted(torch.stack(ids, 1).to(device), torch.stack(laws, 1).to(device), most)

    def see(self, laws: Seen, written: np.ndarray) -> None:
        """Wants to see none."""

    def settle(self, written: np.ndarray) -> None:
        """Forget what was refused, or came behind the end of a step."""
        kept = np.minimum(self._proposed, np.maximum(written - 1, 0))
        if self._columns:
            self.tree.retract(self.rows, self._columns - kept)
        self.read += kept
        self._columns, self._proposed = 0, np.zeros_like(self.read)

    def select(self, rows: Sequence[int]) -> None:
        """Go on with these rows alone."""
        self.rows = self.tree.select(self.rows, rows)
        self.read, self._proposed = self.read[list(rows)], self._proposed[list(rows)]

    def store(self, ended: Iterable[tuple[int, Trajectory]]) -> None:
        """Keep the keys and values of steps that have ended."""
        ended, end = list(ended), self.rows.columns
        counts = [int(self.read[row]) for row, _ in ended]
        items = [(row, node, end - n, n) for (row, node), n in zip(ended, counts, strict=True)]
        self.tree.store(self.rows, items)

    def _catch_up(self, texts: Sequence[list[int]], most: np.ndarray) -> torch.Tensor:
        """Read what each row that is drafted for has not read; the logits behind it."""
        wanted = zip(texts, self.read, most, strict=True)
        unread = [text[read:] if asked else [] for text, read, asked in wanted]
        counts = np.array([len(tokens) for tokens in unread])
        width = int(counts.max())
        readable = self.drafter.readable
        ids = [[*map(readable, tokens), *[0] * (width - len(tokens))] for tokens in unread]
        device = self.tree.device
        tokens = Tokens(0, int(counts.sum()), 0)
        logits = self.tree.forward(
            self.rows, sent(ids, device), sent(counts, device), tokens, keep=0
        )
        self.tree.retract(self.rows, width - counts)
        self.read += counts
        last = sent(np.maximum(counts - 1, 0), logits.device)
        return logits[torch.arange(len(counts), device=logits.device), last]

    def _fitted(self, logits: torch.Tensor) -> torch.Tensor:
        """Return logits for the ids of the target: tables of embeddings are padded differently."""
        missing = self.drafter.target.vocabulary - logits.shape[-1]
        if missing <= 0:
            return logits[:, : self.drafter.target.vocabulary]
        return torch.nn.functional.pad(logits, (0, missing), value=-torch.inf)
