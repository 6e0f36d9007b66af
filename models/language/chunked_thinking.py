"""Chunked thinking: a language model that sees the question and the end of what it thought before.

A solution is written in chunks. While it writes a chunk the model reads the question, the *carry*
(the last steps of the chunk before) and the chunk so far; once these have C tokens with the carry,
the chunk is over, and all but its last m tokens is forgotten:

    p(x) = prod_t p(x_t | question, state_t)        state_t = (carry, steps of the chunk so far)

So the state is bounded, however long the solution becomes: keys and values of a solution under way
are those of the prompt and of at most C tokens and a step, and time grows linearly with its length.
Two pasts with one state have one future: to score a remainder behind N others, as ancestor sampling
does, takes N rows to the end of the chunk, and fewer from there on, since the carry is soon the
remainder's own.

It is another law than the model's, and is declared by being the language model of a run: the
Markovian Thinker of Aghajohari et al. (2025), arXiv:2510.06557, trained models to think under it.
Theirs cuts at a token; here a chunk begins and ends where a step does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import inf
from weakref import WeakKeyDictionary, WeakValueDictionary

import numpy as np

from ... import checks
from ...aliases import PRNGKeys
from .. import calls
from ..cost import Cost
from ..identity import identify
from ..protocols import Capabilities, LanguageModel, capabilities
from ..sampling import Sampling
from ..trajectory import Trajectory


class ChunkedThinking:
    """A language model whose memory is a chunk; see the module.

    What is held for chunks that are over is let go. A trajectory that is gone on with from within
    one, as by chains, is read again from the beginning of that chunk.

    Args:
        lm: the language model.
        tokens: C, how many tokens of carry and chunk end a chunk, the step that reaches it being
            its last.
        carry: m, below C: the fewest last steps of a chunk that have so many tokens together are
            read before the next.
        name: what reports call it; None for the model's name with "chunked".

    Raises:
        TypeError, ValueError: an argument is not of its kind, or out of its range.

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
    """

    def __init__(
        self, lm: LanguageModel, *, tokens: int, carry: int, name: str | None = None
    ) -> None:
        if not isinstance(lm, LanguageModel):
            raise TypeError(f"lm must be a language model, not {lm!r}")
        self.lm, self.tokens = lm, checks.count("tokens", tokens, least=2)
        self.carry = checks.count("carry", carry, most=self.tokens - 1)
        self.name = name or f"{lm.name}, chunked"
        self._states: WeakKeyDictionary[Trajectory, Trajectory] = WeakKeyDictionary()
        self._begun: WeakValueDictionary[object, Trajectory] = WeakValueDictionary()

    @property
    def cost(self) -> Cost:
        """What the model has computed."""
        return self.lm.cost

    @property
    def capabilities(self) -> Capabilities:
        """What it can do: what the model can, but tell its confidence."""
        can = capabilities(self.lm)
        return replace(can, continuation=can.scoring, confidences=False, checked=False)

    @property
    def fingerprint(self) -> str:
        """What tells it from other models: see `motes.models.identity`."""
        return repr([str(identify(self.lm).text), self.tokens, self.carry])

    def start(self, question: str) -> Trajectory:
        """Return the root of a new tree; see `LanguageModel.start`."""
        return replace(self._root(question))

    def extend(
        self,
        trajectories: Sequence[Trajectory],
        keys: PRNGKeys,
        *,
        sampling: Sampling | None = None,
        prior: Sampling | None = None,
    ) -> list[Trajectory]:
        """Draw one step of each trajectory, given its state; see `LanguageModel.extend`."""
        states = [self.state(x) for x in trajectories]
        drawn = self.lm.extend(states, keys, sampling=sampling, prior=prior)
        return [self._followed(x, step) for x, step in zip(trajectories, drawn, strict=True)]

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
        states = [self.state(x) for x in trajectories]
        return calls.logprob(self.lm, states, continuations, prior=prior or Sampling())

    def continued(
        self,
        trajectories: Sequence[Trajectory],
        steps: Sequence[Trajectory],
        *,
        prior: Sampling,
        proposal: Sampling,
    ) -> list[Trajectory | None]:
        """Put the tokens of these steps after each trajectory; see `motes.models.continued`.

        Trajectories of one state are read as one.
        """
        heads: list[Trajectory | None] = list(trajectories)
        for step in steps:
            going = [(i, x, self.state(x)) for i, x in enumerate(heads) if x is not None and x.open]
            heads = [None] * len(heads)
            distinct = list(dict.fromkeys(state for _, _, state in going))
            if not distinct:
                break
            ends = calls.continued(self.lm, distinct, [step], prior=prior, proposal=proposal)
            found = dict(zip(distinct, ends, strict=True))
            for i, x, state in going:
                drawn = found[state]
                heads[i] = None if drawn is None else self._followed(x, drawn)
        return heads

    def state(self, trajectory: Trajectory) -> Trajectory:
        """Return what the model reads before the next step: question, carry, and chunk so far.

        A trajectory of the model itself, whose log-probabilities are not those of anything where
        it begins with a carry.
        """
        unknown: list[Trajectory] = []
        node: Trajectory | None = trajectory
        while node is not None and node not in self._states:
            unknown.append(node)
            node = node.parent
        state = self._states[node] if node is not None else self._root(trajectory.question)
        for node in reversed(unknown):
            if node.parent is not None:
                state = self._next(_read(state, node))
            self._states[node] = state
        return state

    def _root(self, question: str) -> Trajectory:
        """Return what the model itself begins with."""
        root = self._begun.get(question)
        if root is None:
            self._begun[question] = root = calls.start(self.lm, question)
        return root

    def _followed(self, parent: Trajectory, drawn: Trajectory) -> Trajectory:
        """Return a trajectory with the step that was drawn behind its state."""
        above = drawn.parent
        assert above is not None
        child = parent.child(
            drawn.step_text,
            drawn.step_token_ids,
            logprob=_more(above.logprob, drawn.logprob),
            proposal_logprob=_more(above.proposal_logprob, drawn.proposal_logprob),
            finished=drawn.finished,
            truncated=drawn.truncated,
            delimited=drawn.delimited,
        )
        self._states[child] = state = self._next(drawn)
        if state is not drawn:  # the chunk is over: let go of what came before
            node: Trajectory | None = parent
            for _ in range(drawn.depth - 1):
                assert node is not None
                self._states.pop(node, None)
                node = node.parent
        return child

    def _next(self, state: Trajectory) -> Trajectory:
        """Return a state, or what the next chunk begins with where it is a whole chunk."""
        if not state.open or len(state.token_ids) < self.tokens:
            return state
        count, first = 0, 0
        path = state.path
        for first in range(len(path) - 1, 0, -1):
            count += len(path[first].step_token_ids)
            if count >= self.carry:
                break
        kept = path[first:]
        # all that a model could read of the steps: where these are equal, so is what follows
        name = (state.question, *((x.step_text, x.step_token_ids, x.delimited) for x in kept))
        begun = self._begun.get(name)
        if begun is None:
            begun = self._root(state.question)
            for step in kept:
                begun = _read(begun, step)
            self._begun[name] = begun
        return begun


def _read(state: Trajectory, step: Trajectory) -> Trajectory:
    """Return a state with one more step, which it is given and did not draw."""
    return state.child(
        step.step_text,
        step.step_token_ids,
        logprob=0.0,
        proposal_logprob=0.0,
        finished=step.finished,
        truncated=step.truncated,
        delimited=step.delimited,
    )


def _more(before: float, after: float) -> float:
    """Return by how much a log-probability has changed; that of the impossible stays so."""
    return -inf if before == -inf else after - before
