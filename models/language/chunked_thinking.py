"""Chunked thinking: a language model that sees the question and a carry of what it thought before.

A solution is written in chunks. While it writes a chunk the model reads the question, the *carry*
and the chunk so far; once these have C tokens with the carry, the chunk is over, and all is
forgotten but the next carry, which is the chunk's last m tokens, or a summary that the model writes
(see `motes.models.language.chunk_carries`):

    p(x) = prod_t p(x_t | question, state_t)        state_t = (carry, steps of the chunk so far)

So the state is bounded, however long the solution becomes: keys and values of a solution under way
are those of the prompt and of at most C tokens, a step, and a summary, and time grows linearly with
its length. Two pasts with one state have one future. To score a remainder behind N others, as
ancestor sampling does, takes N rows to the end of the chunk, one for those that begin the next
chunk with one carry, and none for those that begin it with the carry that the remainder had itself.

It is another law than the model's, and is declared by being the language model of a run, which
every sampler follows, as it asks nobody else for steps and their probabilities. Last tokens: the
Markovian Thinker of Aghajohari et al. (2025), arXiv:2510.06557; summaries: InftyThink of Yan et al.
(2025), arXiv:2503.06692. Both trained models to think so. Theirs cut at a token; here a chunk
begins and ends where a step does.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from math import inf
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from ... import checks
from ...aliases import PRNGKeys
from .. import calls
from ..confidence import Top, token_confidences
from ..cost import Cost
from ..identity import identify
from ..mixture import Law, Mixture
from ..progress import Listener, TellsProgress
from ..prompts import Prompt, prompt_of
from ..protocols import Capabilities, LanguageModel, capabilities
from ..sampling import Sampling
from ..trajectory import Trajectory
from .chunk_carries import Carry, ChunkState, Encode, Given, LastSteps, Summarised, Summary
from .chunk_memory import ChunkMemory

Told = dict[str, Any]  # what `Trajectory.child` is told of a step


class ChunkedThinking:
    """A language model whose memory is a chunk; see the module.

    What is held for chunks that are over is let go. A trajectory that is gone on with from within
    one, as by chains, is read again from the beginning of that chunk.

    Args:
        lm: the language model.
        tokens: C, how many tokens of carry and chunk end a chunk, the step that reaches it being
            its last.
        carry: m, below C: the fewest last steps of a chunk that have so many tokens together are
            read before the next. Or a `Summary`.
        encode: a function from a text to token ids, for a summary; None for the model's own
            tokenizer.
        name: what reports call it; None for the model's name with C and m.

    Raises:
        TypeError, ValueError: an argument is not of its kind, or out of its range; a summary needs
            a model with a tokenizer.

    Example:
        >>> import jax
        >>> from motes.models import TableLM
        >>> lm = ChunkedThinking(TableLM(lambda seen: [1.0, 0.0] if len(seen) < 3 else [0.0, 1.0]),
        ...                      tokens=3, carry=1)
        >>> x = lm.start("?")
        >>> for key in jax.random.split(jax.random.key(0), 6):
        ...     [x] = lm.extend([x], key[None])
        >>> x.text  # it never sees three tokens
        '0 0 0 0 0 0 '
        >>> lm.name
        'table, chunks of 3 tokens that carry the last 1'
    """

    def __init__(
        self,
        lm: LanguageModel,
        *,
        tokens: int,
        carry: int | Summary,
        encode: Encode | None = None,
        name: str | None = None,
    ) -> None:
        if not isinstance(lm, LanguageModel):
            raise TypeError(f"lm must be a language model, not {lm!r}")
        self.lm, self.tokens = lm, checks.count("tokens", tokens, least=2)
        self.encode, most = encode, self.tokens - 1
        self.carry: int | Summary
        if isinstance(carry, Summary):
            self.carry = carry
            checks.count("the tokens of carry", carry.tokens, most=most)
            way: Carry = Summarised(carry, lm, encode)
        else:
            self.carry = checks.count("carry", carry, most=most)
            way = LastSteps(self.carry)
        words = f"chunks of {self.tokens} tokens that carry {way.words}"
        self.name = name or f"{lm.name}, {words}"
        self._memory = ChunkMemory(lm, self.tokens, way)
        self._told: WeakKeyDictionary[Trajectory, dict[object, Told]] = WeakKeyDictionary()

    @property
    def cost(self) -> Cost:
        """What the model has computed."""
        return self.lm.cost

    @property
    def capabilities(self) -> Capabilities:
        """What it can do: what the model can, in chunks."""
        can = capabilities(self.lm)
        return replace(
            can,
            continuation=can.scoring,
            checked=False,
            reading=False,
            laws=self._check_laws,
        )

    @property
    def fingerprint(self) -> str:
        """What tells it from other models: see `motes.models.identity`."""
        return str(identify(self).text)

    def start(self, question: str) -> Trajectory:
        """Return the root of a new tree; see `LanguageModel.start`."""
        return replace(self._memory.root(question).read)

    def rendered(self, question: str) -> Prompt | None:
        """Return the prompt of a question; None where the model does not show it."""
        return prompt_of(self.lm, question)

    def tell(self, listener: Listener | None) -> Listener | None:
        """Tell this function how far each step is, where the model does."""
        return self.lm.tell(listener) if isinstance(self.lm, TellsProgress) else None

    def extend(
        self,
        trajectories: Sequence[Trajectory],
        keys: PRNGKeys,
        *,
        sampling: Law | None = None,
        prior: Sampling | None = None,
    ) -> list[Trajectory]:
        """Draw one step of each trajectory, given its state; see `LanguageModel.extend`."""
        if closed := [x for x in trajectories if not x.open]:
            raise ValueError(f"only open trajectories can be extended, not {closed[0]!r}")
        states = [self._memory.of(x) for x in trajectories]
        read = [state.read for state in states]
        drawn = self.lm.extend(read, keys, sampling=sampling, prior=prior)
        prior = prior or Sampling()
        laws = prior, sampling or prior
        return [
            self._followed([x], state, step, laws)[0]
            for x, state, step in zip(trajectories, states, drawn, strict=True)
        ]

    def logprob(
        self,
        trajectories: Sequence[Trajectory],
        continuations: Sequence[Sequence[int]],
        *,
        prior: Sampling | None = None,
    ) -> np.ndarray:
        """Return the log-probability of each continuation as one step, which no chunk's end cuts.

        See `LanguageModel.logprob`. Of several steps it is `continued` that tells it.
        """
        read = [self.state(x) for x in trajectories]
        return calls.logprob(self.lm, read, continuations, prior=prior or Sampling())

    def continued(
        self,
        trajectories: Sequence[Trajectory],
        steps: Sequence[Trajectory],
        *,
        prior: Sampling,
        proposal: Law,
    ) -> list[Trajectory | None]:
        """Put the tokens of these steps after each trajectory; see `motes.models.continued`.

        Trajectories of one state are read as one, and a chunk at a time; those that come to a state
        in which these steps were drawn, or put there before, are not read at all.
        """
        laws, own = (prior, proposal), self._memory.before(steps)
        heads: list[Trajectory | None] = list(trajectories)
        waiting: dict[int, list[int]] = defaultdict(list, {0: list(range(len(heads)))})
        for s in range(len(steps)):
            groups: dict[ChunkState, list[int]] = defaultdict(list)
            for row in waiting[s]:
                head = heads[row]
                if head is None or not head.open:
                    heads[row] = None
                    continue
                state = self._memory.of(head)
                if state is own[s]:
                    heads[row], known = self._as_told(head, steps[s:], own[s:], laws)
                    if known:
                        waiting[s + known].append(row)
                        continue
                groups[state].append(row)
            for end, states in self._by_end(list(groups), steps, s).items():
                part = [self._memory.ended(step) for step in steps[s:end]]
                read = [state.read for state in states]
                ends = calls.continued(self.lm, read, part, prior=prior, proposal=proposal)
                for state, drawn in zip(states, ends, strict=True):
                    rows = groups[state]
                    behind = [heads[row] for row in rows]
                    for row, head in zip(
                        rows, self._joined(behind, state, drawn, laws), strict=True
                    ):
                        heads[row] = head
                    waiting[end] += rows
        return heads

    def token_confidences(
        self, trajectories: Sequence[Trajectory], *, top: Top
    ) -> list[np.ndarray]:
        """Tell how sure the model was of every token; see `motes.models.token_confidences`.

        Of each chunk it is asked once, with what it reads there: the question, the carry and, for a
        summary, the words that ask for it, of which it drew none.
        """
        chunks, owners = [], []
        for row, trajectory in enumerate(trajectories):
            for chunk, count in self._chunks(trajectory):
                chunks.append(chunk)
                owners.append((row, count))
        parts: list[list[np.ndarray]] = [[np.zeros(0)] for _ in trajectories]
        values = token_confidences(self.lm, chunks, top=top)
        for (row, count), told in zip(owners, values, strict=True):
            parts[row].append(told[len(told) - count :])
        return [np.concatenate(part) for part in parts]

    def state(self, trajectory: Trajectory) -> Trajectory:
        """Return what the model reads before the next step: question, carry, and chunk so far.

        A trajectory of the model itself, whose log-probabilities are not those of anything where
        it begins with a carry.
        """
        return self._memory.of(trajectory).read

    def summarises(self, trajectory: Trajectory) -> bool:
        """Return whether the next step of a trajectory belongs to a summary."""
        return self._memory.of(trajectory).asked is not None

    def _chunks(self, trajectory: Trajectory) -> Iterator[tuple[Trajectory, int]]:
        """Yield what was read to the end of each chunk, and how many last tokens of it are drawn.

        What is read before a summary, and with it, are two.
        """
        if trajectory.parent is None:
            return
        steps, count = trajectory.path[1:], 0
        states = self._memory.before(steps)
        following = [state.read.parent for state in states[1:]]
        for step, state, after in zip(steps, states, [*following, None], strict=True):
            count += len(step.step_token_ids)
            if after is not state.read:  # the next step is not read behind this one
                given = Given(step.step_text, step.step_token_ids, step.delimited)
                yield given.after(state.read), count
                count = 0

    def _check_laws(self, proposal: Law, prior: Sampling) -> None:
        """Raise ValueError where the model cannot be asked for these, or not in chunks."""
        if isinstance(proposal, Mixture):
            if proposal.per == "trajectory":
                raise ValueError(
                    f"proposal must be a Mixture per step for {self.name!r}, which forgets what "
                    "was drawn before its chunk"
                )
            return
        laws = capabilities(self.lm).laws
        if laws is not None:
            laws(proposal, prior)

    def _followed(
        self,
        parents: Sequence[Trajectory],
        state: ChunkState,
        drawn: Trajectory,
        laws: tuple[Sampling, Law],
    ) -> list[Trajectory]:
        """Return trajectories of one state with the step that was drawn behind it."""
        above, summarises = drawn.parent, state.asked is not None
        assert above is not None
        told: Told = {
            "text": drawn.step_text,
            "token_ids": drawn.step_token_ids,
            "logprob": _more(above.logprob, drawn.logprob),
            "proposal_logprob": _more(above.proposal_logprob, drawn.proposal_logprob),
            "finished": drawn.finished and not summarises,
            "truncated": drawn.truncated,
            "delimited": drawn.delimited or (summarises and drawn.finished),
            "component_logprobs": drawn.component_logprobs,
        }
        after, children = self._memory.grown(state, drawn), []
        for parent in parents:
            self._told.setdefault(parent, {})[drawn.step_token_ids, *laws] = told
            children.append(child := parent.child(**told))
            self._memory.keep(parent, child, after)
        return children

    def _by_end(
        self, states: Sequence[ChunkState], steps: Sequence[Trajectory], first: int
    ) -> dict[int, list[ChunkState]]:
        """Return states by the number of the step behind which their chunk, or summary, may end."""
        found: dict[int, list[ChunkState]] = defaultdict(list)
        for state in states:
            end, held = first + 1, len(state.read.token_ids) + len(steps[first].step_token_ids)
            while state.asked is None and held < self.tokens and end < len(steps):
                held += len(steps[end].step_token_ids)
                end += 1
            found[end].append(state)
        return found

    def _joined(
        self,
        heads: Sequence[Trajectory | None],
        state: ChunkState,
        drawn: Trajectory | None,
        laws: tuple[Sampling, Law],
    ) -> Sequence[Trajectory | None]:
        """Return trajectories of one state with all that was put behind it."""
        if drawn is None:
            return [None] * len(heads)
        followed = [head for head in heads if head is not None]
        for above, step in pairwise(drawn.path[state.read.depth :]):
            followed = self._followed(followed, replace(state, read=above), step, laws)
        return followed

    def _as_told(
        self,
        head: Trajectory,
        steps: Sequence[Trajectory],
        states: Sequence[ChunkState],
        laws: tuple[Sampling, Law],
    ) -> tuple[Trajectory, int]:
        """Return a trajectory with steps that are known in their states, and how many there are.

        Up to the first that is not known under these laws.
        """
        for s, (step, state) in enumerate(zip(steps, states, strict=True)):
            assert step.parent is not None
            told = self._told.get(step.parent, {}).get((step.step_token_ids, *laws))
            if told is None:
                return head, s
            self._told.setdefault(head, {})[step.step_token_ids, *laws] = told
            parent, head = head, head.child(**told)
            self._memory.keep(parent, head, self._memory.after(state, head))
        return head, len(steps)


def _more(before: float, after: float) -> float:
    """Return by how much a log-probability has changed; that of the impossible stays so."""
    return -inf if before == -inf else after - before
