"""What is held of a solution that is written in chunks: the state behind each of its steps.

A state is a function of the steps alone. It is kept for the chunk that is being written, and let go
when that is over; from within an older chunk it is worked out again, step by step from the root.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from weakref import WeakKeyDictionary, WeakValueDictionary

from .. import calls
from ..protocols import LanguageModel
from ..trajectory import Trajectory
from .chunk_carries import Carry, ChunkState, Given


class ChunkMemory:
    """The states of trajectories.

    Args:
        lm: the model that reads them.
        tokens: C, how many tokens of carry and chunk end a chunk.
        carry: what the next one begins with.

    Example:
        >>> from motes.models import TableLM
        >>> from motes.models.language.chunk_carries import LastSteps
        >>> memory = ChunkMemory(TableLM(lambda seen: [1.0]), 2, LastSteps(1))
        >>> x, law = Trajectory(question="?"), {"logprob": 0.0, "proposal_logprob": 0.0}
        >>> for token in range(5):
        ...     x = x.child(f"{token} ", (token,), **law)
        >>> memory.of(x).read.token_ids
        (4,)
    """

    def __init__(self, lm: LanguageModel, tokens: int, carry: Carry) -> None:
        self.lm, self.tokens, self.carry = lm, tokens, carry
        self._states: WeakKeyDictionary[Trajectory, ChunkState] = WeakKeyDictionary()
        self._begun: WeakValueDictionary[object, ChunkState] = WeakValueDictionary()

    def root(self, question: str) -> ChunkState:
        """Return what the model begins with."""
        state = self._begun.get(question)
        if state is None:
            root = calls.start(self.lm, question)
            self._begun[question] = state = ChunkState(root, root)
        return state

    def of(self, trajectory: Trajectory) -> ChunkState:
        """Return the state behind a trajectory."""
        unknown: list[Trajectory] = []
        node: Trajectory | None = trajectory
        while node is not None and node not in self._states:
            unknown.append(node)
            node = node.parent
        state = self.root(trajectory.question) if node is None else self._states[node]
        chunk: dict[Trajectory, ChunkState] = {}
        for node in reversed(unknown):
            if node.parent is not None:
                state = self.after(state, node)
            if state.read is state.begun:
                chunk = {}  # nobody asks for what came before
            chunk[node] = state
        self._states.update(chunk)
        return state

    def before(self, steps: Sequence[Trajectory]) -> list[ChunkState]:
        """Return the state before each of these steps, which follow one another, where they are."""
        parent = steps[0].parent
        assert parent is not None
        states = [self.of(parent)]
        for step in steps[:-1]:
            states.append(self.after(states[-1], step))
        return states

    def after(self, state: ChunkState, step: Trajectory) -> ChunkState:
        """Return the state behind a known step, which the model is given."""
        step = self.ended(step)
        given = Given(step.step_text, step.step_token_ids, step.delimited)
        read = given.after(state.read, finished=step.finished)
        if step.truncated:
            read = read.close(truncated=True)
        return self.grown(state, read)

    def ended(self, step: Trajectory) -> Trajectory:
        """Return a step as the model ended it, which in a summary does not end the solution."""
        return replace(step, finished=True) if self.carry.ends_summary(step) else step

    def grown(self, state: ChunkState, read: Trajectory) -> ChunkState:
        """Return the state where the model has read so much, a step more than in `state`.

        Where its chunk, or its summary, is whole with it, that with which the next one begins.
        """
        state = replace(state, read=read)
        if state.asked is not None:
            over = not read.truncated and self.carry.is_over(state)
            return self._next_chunk(state) if over else state
        if not read.open or len(read.token_ids) < self.tokens:
            return state
        asked = self.carry.asked(read)
        return self._next_chunk(state) if asked is None else ChunkState(asked, state.begun, asked)

    def keep(self, parent: Trajectory, child: Trajectory, state: ChunkState) -> None:
        """Keep the state behind a child, and let go of its parents' where their chunk is over."""
        self._states[child] = state
        if state.read is state.begun:
            node = parent
            while node.parent is not None and self._states.pop(node, None) is not None:
                node = node.parent

    def _next_chunk(self, state: ChunkState) -> ChunkState:
        """Return what the next chunk begins with."""
        question, kept = state.read.question, self.carry.kept(state)
        if not kept:
            return self.root(question)
        name = (question, *kept)  # where these are equal, so is what follows
        begun = self._begun.get(name)
        if begun is None:
            read = self.root(question).read
            for step in kept:
                read = step.after(read)
            self._begun[name] = begun = ChunkState(read, read)
        return begun
