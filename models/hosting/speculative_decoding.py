"""The decode loop with a draft: a block of tokens a row and a forward pass of the target.

A block is the row's last token, which nobody has read yet, and what the draft proposes behind it.
The target reads it whole; what is accepted and one token more are the row's, and what was read
beyond them is forgotten. Where a step ends is asked of every token in order, as in plain decoding,
and what comes behind its end is thrown away.

Token number j of a slot's step has three uniforms of its own: to draft it, to accept it, and to
draw it where no draft is accepted. A token drafted again for the same place has the uniform of the
one before; nothing that was kept has depended on that.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ..progress import Drawn, Listener
from ..randomness import BLOCK, SlotUniforms
from ..sampling import Sampling
from ..trajectory import Trajectory
from .decoding import IDLE, StepEnding
from .draws import draw_of, log_probs
from .kv import Rows
from .speculative_drafts import Drafted, Seen, Session
from .speculative_law import acceptance, following
from .transfers import sent
from .tree_cache import Tokens, TreeCache

DRAFT, ACCEPT, DRAW, USES = 0, 1, 2, 3  # what a token's uniforms are for, and how many there are


class SpeculativeDecoder:
    """Draws one step for each row of a batch, with a draft.

    Args:
        tree: reads the target's tokens.
        ending: where a step ends, and what it is then.
        sampling: the proposal that tokens are drawn from.
        prior: the declared prior.
        name: of the model, for errors.
        longest: the most tokens that are drafted at a time.
        listener: told of every block of the batch; None for nobody.

    Attributes:
        idle_rows: rows of forward passes that were spent on steps already ended.
        discarded: tokens that the target read, and that were not kept.
    """

    def __init__(
        self,
        *,
        tree: TreeCache,
        ending: StepEnding,
        sampling: Sampling,
        prior: Sampling,
        name: str,
        longest: int,
        listener: Listener | None = None,
    ) -> None:
        self.tree, self.ending, self.listener = tree, ending, listener
        self.sampling, self.prior, self.name, self.longest = sampling, prior, name, longest
        self.idle_rows = self.discarded = 0

    def run(
        self,
        parents: Sequence[Trajectory],
        logits: torch.Tensor,
        rows: Rows,
        session: Session,
        uniforms: SlotUniforms,
        room: np.ndarray,
    ) -> list[Trajectory]:
        """Draw a step behind each parent.

        Args:
            parents: N open trajectories.
            logits: behind each, (N, vocabulary).
            rows: their contexts, a row each; used up.
            session: the draft, which has begun with these parents.
            uniforms: the slots' random numbers.
            room: how many more tokens each row's context holds, (N,); a row that fills it is
                truncated.

        Returns:
            N children.

        Raises:
            FloatingPointError: the target's output or the draft's is NaN.
        """
        batch = _Batch(self, parents, room)
        numbers = _Numbers(uniforms, len(parents))
        drafted = Drafted(
            torch.empty(len(parents), 0, dtype=torch.int64, device=logits.device),
            logits.new_empty(len(parents), 0, logits.shape[-1]),
            np.zeros(len(parents), dtype=np.int64),
        )
        table, width = logits[:, None], 0
        while True:
            tokens, terms, accepted, laws = self._verified(
                table, drafted, batch, numbers, session.likeliest
            )
            written = batch.write(tokens, terms, accepted + 1)
            if session.likeliest:
                session.see(laws, written)
            if width:
                read = np.where(batch.was_going, 1 + drafted.counts, 0)
                self.discarded += int((read - written).sum())
                self.tree.retract(rows, width - written)
                session.settle(written)
            if not batch.going.any():
                break
            if (~batch.going).sum() > IDLE * len(batch.going):
                self._store(batch, rows, session)
                keep = np.flatnonzero(batch.going).tolist()
                rows = self.tree.select(rows, keep)
                session.select(keep)
                batch.select(keep)
            drafted = self._drafted(batch, session, numbers, logits)
            self.idle_rows += int((~batch.going).sum())
            ids = torch.cat([sent(batch.last(), logits.device)[:, None], drafted.ids], dim=1)
            width = ids.shape[1]
            counts = np.where(batch.going, 1 + drafted.counts, 0)
            table = self.tree.forward(
                rows, ids, sent(counts, logits.device), Tokens(0, 0, 0), keep=0
            )
        self._store(batch, rows, session)
        return [step for step in batch.steps if step is not None]

    def _drafted(
        self, batch: _Batch, session: Session, numbers: _Numbers, logits: torch.Tensor
    ) -> Drafted:
        """Have tokens proposed for the rows that go on, as many as their steps may still have."""
        lengths = batch.lengths()
        # behind the drafts the target draws one token more
        left = np.minimum(batch.most[batch.slots] - lengths - 1, self.longest)
        most = np.where(batch.going, left, 0)
        if most.max() == 0:
            return Drafted(
                torch.empty(len(most), 0, dtype=torch.int64, device=logits.device),
                logits.new_empty(len(most), 0, logits.shape[-1]),
                most,
            )
        places = lengths[:, None] + np.arange(most.max())
        return session.propose(
            batch.texts(), most, numbers.of(DRAFT, batch.slots, places), self.sampling
        )

    def _verified(
        self,
        table: torch.Tensor,
        drafted: Drafted,
        batch: _Batch,
        numbers: _Numbers,
        likeliest: int,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, Seen]:
        """Accept or refuse each row's drafts, and draw the token that follows.

        Args:
            table: the target's logits before each draft, and behind the last, (rows, g + 1,
                vocabulary).
            drafted: the proposals.
            batch: the rows.
            numbers: their random numbers.
            likeliest: how many tokens of each law to return.

        Returns:
            Tokens (rows, g + 1), their log-probabilities under prior and proposal (rows, g + 1, 2),
            how many drafts were accepted, (rows,), and the laws of the tokens; behind the token
            that follows what was accepted, nothing is said.
        """
        columns = table.shape[1]
        places = batch.lengths()[:, None] + np.arange(columns)
        device = table.device
        log_p = log_probs(table, self.sampling)
        counts = sent(drafted.counts, device)
        chances = acceptance(log_p, drafted.log_q, drafted.ids, counts)
        taken = sent(numbers.of(ACCEPT, batch.slots, places[:, :-1]), device) < chances
        accepted = taken.long().cumprod(dim=1).sum(dim=1)
        law = following(log_p, drafted.log_q, counts, accepted)
        uniforms = sent(numbers.of(DRAW, batch.slots, places), device)
        last = draw_of(law, uniforms.gather(1, accepted[:, None])[:, 0])
        ids = torch.nn.functional.pad(drafted.ids, (0, 1)).scatter(
            1, accepted[:, None], last[:, None]
        )
        log_prior = log_p if self.prior == self.sampling else log_probs(table, self.prior)
        terms = [each.gather(2, ids[:, :, None])[:, :, 0].double() for each in (log_prior, log_p)]
        best = log_p.topk(min(likeliest, log_p.shape[2]), dim=2)
        # one transfer a block: ids are exact in float64
        unknown = torch.nn.functional.pad(torch.isnan(chances), (0, 1)).double()
        number = accepted[:, None].expand(-1, columns).double()
        columns_of = torch.stack([ids.double(), *terms, unknown, number], dim=2)
        seen = [best.indices.double(), best.values.double().exp()]
        host = torch.cat([columns_of, *seen], dim=2).cpu().numpy()
        accepted_here = host[:, 0, 4].astype(np.int64)
        batch.check_numbers(host[:, :, 1:3], host[:, :, 3], accepted_here)
        first, half = columns_of.shape[2], best.indices.shape[2]
        laws = Seen(host[:, :, first : first + half].astype(np.int64), host[:, :, first + half :])
        return host[:, :, 0].astype(np.int64), host[:, :, 1:3], accepted_here, laws

    def _store(self, batch: _Batch, rows: Rows, session: Session) -> None:
        """Keep what was read of the steps that have ended since the last time."""
        ended = batch.take_ended()
        # all tokens of a step but its last have been read
        counts = [len(step.step_token_ids) - 1 for _, step in ended]
        items = [
            (row, step, rows.columns - count, count)
            for (row, step), count in zip(ended, counts, strict=True)
        ]
        self.tree.store(rows, items)
        session.store(ended)


class _Batch:
    """The steps in the making, and which slot each row of the batch belongs to.

    Attributes:
        steps: by slot: the child, once its step has ended.
        slots: by row: its slot.
        going: by row: its step goes on.
        was_going: by row: it went on before the last tokens were written.
        most: by slot: the most tokens that its step may have.
    """

    def __init__(
        self, decoder: SpeculativeDecoder, parents: Sequence[Trajectory], room: np.ndarray
    ) -> None:
        self.decoder, self.parents, self.room = decoder, parents, room
        self.most = np.minimum(decoder.ending.longest, room)
        self.steps: list[Trajectory | None] = [None] * len(parents)
        self.slots = np.arange(len(parents))
        self.going = np.ones(len(parents), dtype=bool)
        self.was_going = self.going.copy()
        self._drawn: list[list[int]] = [[] for _ in parents]
        # by slot: log-probability of the step under prior and proposal
        self._sums = np.zeros((len(parents), 2))
        self._ended: list[tuple[int, Trajectory]] = []

    def texts(self) -> list[list[int]]:
        """Return the tokens of each row's step."""
        return [self._drawn[slot] for slot in self.slots]

    def lengths(self) -> np.ndarray:
        """Return how many tokens each row's step has."""
        return np.array([len(text) for text in self.texts()])

    def last(self) -> np.ndarray:
        """Return the last token of each row's step."""
        return np.array([text[-1] for text in self.texts()])

    def write(self, tokens: np.ndarray, terms: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """Write the first counts[i] tokens to row i, or up to the one that ends its step.

        Returns:
            How many were written, (rows,).
        """
        self.was_going = self.going.copy()
        written = np.zeros(len(self.slots), dtype=np.int64)
        for row in np.flatnonzero(self.going):
            slot = self.slots[row]
            for place in range(counts[row]):
                self._drawn[slot].append(int(tokens[row, place]))
                self._sums[slot] += terms[row, place]
                written[row] += 1
                step = self._ended_step(slot)
                if step is not None:
                    self.steps[slot], self.going[row] = step, False
                    self._ended.append((int(row), step))
                    break
        listener, longest = self.decoder.listener, self.decoder.ending.longest
        if listener is not None:
            rows, column = int(self.was_going.sum()), int(self.lengths().max())
            listener(Drawn(rows, column, longest, int(self.room.max())))
        return written

    def check_numbers(self, terms: np.ndarray, unknown: np.ndarray, accepted: np.ndarray) -> None:
        """Raise FloatingPointError where what is to be written rests on NaN.

        Args:
            terms: log-probabilities, (rows, columns, 2).
            unknown: 1 where a draft's chance is NaN, (rows, columns).
            accepted: how many drafts were accepted, (rows,): one that has no chance is not.
        """
        for row in np.flatnonzero(self.going):
            here = accepted[row]
            of_target = np.isnan(terms[row, : here + 1]).any()
            if of_target or unknown[row, here]:
                model = f"the language model {self.decoder.name!r}"
                whose = model if of_target else f"the draft of {model}"
                raise FloatingPointError(
                    f"{whose} gave logits that are not numbers after "
                    f"{self.parents[self.slots[row]]!r}"
                )

    def select(self, rows: list[int]) -> None:
        """Go on with these rows alone."""
        self.slots, self.going = self.slots[rows], self.going[rows]
        self.was_going = self.was_going[rows]

    def take_ended(self) -> list[tuple[int, Trajectory]]:
        """Return the rows whose steps have ended since the last time, and these."""
        ended, self._ended = self._ended, []
        return ended

    def _ended_step(self, slot: int) -> Trajectory | None:
        """Return the child that a slot's tokens make, if its step is complete with the last."""
        text, ending = self._drawn[slot], self.decoder.ending
        full = len(text) >= self.room[slot]
        if not (full or ending.may_be(np.array(text[-1]), len(text))):
            return None
        return ending.child(self.parents[slot], text, *self._sums[slot].tolist(), full=bool(full))


class _Numbers:
    """The uniforms of each slot's tokens, by what they are for.

    Rows are at different tokens of their steps, so that blocks of uniforms are kept.
    """

    def __init__(self, uniforms: SlotUniforms, slots: int) -> None:
        self._uniforms, self._known = uniforms, np.empty((slots, 0))

    def of(self, use: int, slots: np.ndarray, places: np.ndarray) -> np.ndarray:
        """Return the uniforms for tokens places[i, j] of row i's slot, of the shape of `places`."""
        wanted = USES * places + use
        while wanted.size and wanted.max() >= self._known.shape[1]:
            block = self._uniforms.block(self._known.shape[1] // BLOCK)
            self._known = np.concatenate([self._known, block], axis=1)
        return self._known[slots[:, None], wanted]
