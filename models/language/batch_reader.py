"""Drawing, scoring and reading the rows of a joint batch with a network of torch.

Distinct parents' unread tokens are forwarded first (usually their last one: a token that ended a
step has been drawn but not read), then their rows are forked to the N slots and decoded together.
Rows end their steps at different times; the batch is compacted before more than a quarter of it
idles. With a draft, a forward pass reads a block of tokens a row (see
`motes.models.hosting.speculative_decoding`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Any, TypeVar

import numpy as np
import torch

from ..cost import Cost
from ..hosting.decoding import Decoder, StepEnding
from ..hosting.kv import Rows
from ..hosting.memory import in_batches
from ..hosting.speculative_decoding import SpeculativeDecoder
from ..hosting.speculative_drafts import Drafter
from ..hosting.static_decoding import StaticDecoding
from ..hosting.token_measures import SCORED_COLUMNS, Measure, chosen, measured
from ..hosting.transfers import sent
from ..hosting.tree_cache import Tokens, TreeCache
from ..mixture import components
from ..progress import Listener
from ..protocols import Reading
from ..randomness import SlotUniforms
from ..sampling import Sampling
from ..trajectory import Trajectory
from .joint_batch import JointBatch, asked_laws, fitting, readings
from .tokenized_lm import check_open

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class BatchReader:
    """What the batches of one network are computed with.

    Attributes:
        tree: of the language model that was asked first.
        ending: where steps end.
        vocabulary: how many ids there are.
        name: of the language model that was asked first, for errors.
        static: decodes in fixed shapes; None where nothing does.
        drafter: proposes tokens; None where nobody does.
        listener: told of every token; None for nobody.
        spend: counts what a batch has cost.
    """

    tree: TreeCache
    ending: StepEnding
    vocabulary: int
    name: str
    static: StaticDecoding | None
    drafter: Drafter | None
    listener: Listener | None
    spend: Callable[[Cost], None]

    def draw(self, batch: JointBatch) -> list[Trajectory]:
        """Draw a step of each row."""
        check_open(batch.heads)
        columns = max(len(components(law.proposal)) for law in batch.laws)
        if self.drafter is not None:
            columns = 1 + self.drafter.tokens
        more = [self.ending.longest] * len(batch.heads)
        steps = self.in_batches(self._drawn, batch, more, columns)
        for owner, own in groupby(zip(batch.owners, steps, strict=True), key=lambda row: row[0]):
            tokens = sum(len(step.step_token_ids) for _, step in own)
            owner.cost += Cost(generated_tokens=tokens)
        if self.drafter is not None:
            self.drafter.learn(steps)
        return steps

    def _drawn(self, batch: JointBatch) -> list[Trajectory]:
        drafter, length = self.drafter, self.tree.length
        if drafter is None:
            return self._decoded(batch)
        limit = drafter.context
        drafted = [limit is None or length(x) + self.ending.longest <= limit for x in batch.heads]
        steps: list[Trajectory | None] = [None] * len(drafted)
        for way in (True, False):
            rows = [i for i, each in enumerate(drafted) if each is way]
            if not rows:
                continue
            found = self._decoded(batch.of(rows), drafter if way else None)
            for i, step in zip(rows, found, strict=True):
                steps[i] = step
        return [step for step in steps if step is not None]

    def _decoded(self, batch: JointBatch, drafter: Drafter | None = None) -> list[Trajectory]:
        """Draw a step of each row, with a draft or token by token."""
        parents, tree = batch.heads, self._tree_of(batch)
        logits, rows = self._forked(batch)
        uniforms = SlotUniforms(np.array(batch.given, np.uint32), len(parents))
        contexts = np.array([owner.context for owner in batch.owners])
        room = contexts - rows.lengths.cpu().numpy()
        if drafter is None:
            static = self.static
            decoder = Decoder(
                forward=self._forward_tokens if static is None else static.forward,
                store=tree.store,
                select=tree.select if static is None else static.select,
                ending=self.ending,
                laws=batch.laws,
                name=self.name,
                listener=self.listener,
            )
            placed = rows if static is None else static.placed(rows)
            del rows
            steps = decoder.run(parents, logits, placed, uniforms, room)
            discarded = 0
        else:
            sampling, prior = batch.laws[0]
            assert isinstance(sampling, Sampling)  # a mixture is refused with a draft
            decoder = SpeculativeDecoder(
                tree=self.tree,
                ending=self.ending,
                sampling=sampling,
                prior=prior,
                name=self.name,
                longest=drafter.tokens,
                listener=self.listener,
            )
            session = drafter.begin(parents)
            steps = decoder.run(parents, logits, rows, session, uniforms, room)
            discarded = decoder.discarded
        self.spend(Cost(discarded_tokens=discarded, idle_rows=decoder.idle_rows))
        return steps

    def score(self, batch: JointBatch) -> list[float]:
        """Return the log-probability of each row's tokens under its prior."""
        more = [len(tokens) for tokens in batch.given]
        return self.in_batches(self._scored, batch, more, SCORED_COLUMNS)

    def _scored(self, batch: JointBatch) -> list[float]:
        priors = [law.prior for law in batch.laws]
        found = self._sums(batch, *self._forked(batch), [*map(tuple, batch.given)], priors)
        return [found[prior][row] for row, prior in enumerate(priors)]

    def read(self, batch: JointBatch) -> list[Reading | None]:
        """Put a step behind each row."""
        check_open(batch.heads)
        rows = fitting(batch)
        results: list[Reading | None] = [None] * len(batch.heads)
        if not rows:
            return results
        more = [len(batch.given[i].step_token_ids) for i in rows]
        found = self.in_batches(self._behind, batch.of(rows), more, SCORED_COLUMNS)
        for i, reading in zip(rows, found, strict=True):
            results[i] = reading
        return results

    def _behind(self, batch: JointBatch) -> list[Reading | None]:
        logits, rows = self._forked(batch)
        first = rows.columns
        texts = [step.step_token_ids for step in batch.given]
        found = readings(batch, self._sums(batch, logits, rows, texts, asked_laws(batch)))
        kept = [
            (row, reading.node, first, len(texts[row]) - 1)
            for row, reading in enumerate(found)
            if reading is not None
        ]
        self._tree_of(batch).store(rows, kept)
        return found

    def _sums(
        self,
        batch: JointBatch,
        logits: torch.Tensor,
        rows: Rows,
        texts: Sequence[tuple[int, ...]],
        laws: Iterable[Sampling],
    ) -> dict[Sampling, list[float]]:
        """Return, for each of the laws, the log-probability of each row's tokens."""
        distinct = [*dict.fromkeys(laws)]
        measures = [partial(chosen, law=law) for law in distinct]
        values = self._figures(batch, logits, rows, texts, measures)
        return {
            law: of_law.sum(axis=1).tolist() for law, of_law in zip(distinct, values, strict=True)
        }

    def measured(self, batch: JointBatch, measures: Sequence[Measure]) -> list[np.ndarray]:
        """Return each measure's value at every token; see `motes.models.hosting.token_measures`."""
        return self._figures(batch, *self._forked(batch), batch.given, measures)

    def _figures(
        self,
        batch: JointBatch,
        logits: torch.Tensor,
        rows: Rows,
        continuations: Sequence[tuple[int, ...]],
        measures: Sequence[Measure],
    ) -> list[np.ndarray]:
        """Return the same of contexts that are forked already, whose rows read the tokens."""
        values = measured(self._tree_of(batch), logits, rows, continuations, measures)
        for i in np.flatnonzero(np.isnan(values).any(axis=(0, 2))).tolist():
            raise FloatingPointError(
                f"the language model {batch.owners[i].name!r} gave a log-probability that is NaN "
                f"after {batch.heads[i]!r}"
            )
        return values

    def in_batches(
        self,
        run: Callable[[JointBatch], list[T]],
        batch: JointBatch,
        more: Sequence[int],
        scored: int,
    ) -> list[T]:
        """Run rows in batches that fit into memory.

        Args:
            run: computes one result for each row of what it is given.
            batch: all rows.
            more: how many tokens may follow each.
            scored: columns whose logits are held at a time.
        """
        outputs = scored * self.vocabulary
        padded = self.static is not None
        sizes = self._tree_of(batch).row_bytes(batch.heads, more, outputs, padded=padded)
        if self.drafter is not None:
            drafts = self.drafter.row_bytes(batch.heads, more)
            sizes = [own + of_draft for own, of_draft in zip(sizes, drafts, strict=True)]
        rows = range(len(batch.heads))
        return in_batches(lambda some: run(batch.of(some)), rows, sizes, self.tree.device)

    def _forward_tokens(
        self, rows: Rows, tokens: torch.Tensor, alive: torch.Tensor
    ) -> torch.Tensor:
        """Read one token a row (alive: 1 where the row's step goes on); the logits behind it."""
        return self.tree.forward(rows, tokens[:, None], alive, Tokens(0, 0, 0))[:, -1]

    def _tree_of(self, batch: JointBatch) -> TreeCache:
        """Return the cache of all trees that a batch stands in."""
        owners: Any = batch.owners  # which keep what they have read in such caches
        trees = {x.path[0]: owner.tree for owner, x in zip(owners, batch.heads, strict=True)}
        if all(tree is self.tree for tree in trees.values()):
            return self.tree
        return self.tree.together(trees)

    def _forked(self, batch: JointBatch) -> tuple[torch.Tensor, Rows]:
        """Return the logits behind each row's head, and a batch of their contexts, a row each."""
        distinct = list(dict.fromkeys(batch.heads))
        place = {head: i for i, head in enumerate(distinct)}
        index = [place[head] for head in batch.heads]
        tree = self._tree_of(batch)
        logits, rows = tree.logits_at(distinct)
        rows = tree.rows(batch.heads) if rows is None else tree.select(rows, index)
        return logits[sent(index, logits.device)], rows
