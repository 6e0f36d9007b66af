"""A language model behind a server, with token ids both ways.

A request for each slot, several at a time. What is kept of an answer ends where the step rule says,
on token ids; a server that stopped sooner is asked for more, with another seed of the same slot.
Log-probabilities are those of the very tokens that were drawn, so weights are proper whatever the
server's rounding. That the same keys give the same draws is the server's to keep, and tried when it
is loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from hashlib import sha256
from math import nan
from typing import Any, NamedTuple, TypeVar

import numpy as np

from ...aliases import PRNGKeys, Tokenizer
from ..language.tokenized_lm import TokenizedLM, check_open
from ..prompt_forms import PromptForm
from ..protocols import Capabilities
from ..randomness import raw_keys
from ..sampling import Sampling
from ..step_rule import StepRule
from ..trajectory import Trajectory
from .connection import Connection, ServerError
from .dialect import Asked, Dialect
from .prefix_count import PrefixCount

T = TypeVar("T")
S = TypeVar("S")
PLAIN = Sampling()
UNSTOPPED = 32  # tokens of a request where the server does not know where the step ends


class ServerLM(TokenizedLM):
    """A language model behind a server, as a `LanguageModel`; see `motes.load_lm`.

    Args:
        connection: to the server.
        dialect: how it is asked.
        tokenizer: the served model's own.
        step: when a step ends; part of the declared prior.
        prompt: what the model reads before it writes.
        end_ids: the token ids that end a text.
        vocabulary: more than any id that the model can draw.
        context: how many tokens a prompt and a trajectory may have together.
        probabilities: whether log-probabilities are wanted; without them any law can be drawn from
            that the server can draw from.
        seeds: whether the same seed gives the same draw.
        likeliest: how many of a law's likeliest tokens the server tells.

    Attributes:
        cost: of it, `forward_passes` counts requests, since a server shows no passes, and
            `idle_rows` tokens behind the end of a step.
    """

    def __init__(
        self,
        connection: Connection,
        dialect: Dialect,
        tokenizer: Tokenizer,
        *,
        step: StepRule | None,
        prompt: PromptForm | None,
        end_ids: frozenset[int],
        vocabulary: int,
        context: int,
        probabilities: bool = True,
        seeds: bool = True,
        likeliest: int = 0,
    ) -> None:
        super().__init__(
            tokenizer,
            step=step,
            prompt=prompt,
            name=dialect.served.name,
            end_ids=end_ids,
            vocabulary=vocabulary,
            context=context,
        )
        self._connection, self._dialect = connection, dialect
        self._count = PrefixCount(self._tokens_of)
        self._pool = ThreadPoolExecutor(connection.at_once, thread_name_prefix="motes-server")
        self._vocabulary = vocabulary
        self.probabilities, self._seeds, self._likeliest = probabilities, seeds, likeliest

    @property
    def capabilities(self) -> Capabilities:
        """What the server can do."""
        known = self.probabilities
        return Capabilities(
            probabilities=known,
            scoring=known,
            continuation=known,
            step_rule=self.step,
            confidences=self._likeliest > 0,
            top_confidences=self._likeliest,
            seeds=self._seeds,
            laws=self._check_laws,
        )

    def _check_laws(self, sampling: Sampling, prior: Sampling) -> None:
        """Raise ValueError where the server cannot draw from a law, or not tell of it."""
        kind = self._dialect.kind
        if sampling.temperature > self._dialect.hottest:
            raise ValueError(
                f"the temperature must be at most {self._dialect.hottest:g} for the {kind} of "
                f"{self.name!r}, not {sampling.temperature:g}"
            )
        if not self.probabilities:
            return
        known = {PLAIN} if self._dialect.raw else {PLAIN, sampling}
        self._check_truncation(sampling)
        self._check_truncation(prior)
        if self._dialect.raw and sampling != PLAIN:
            raise ValueError(
                f"proposal and prior must be Sampling() for the {kind} of {self.name!r}, not "
                f"{sampling!r}: it tells the log-probabilities of the model as it is alone; "
                f"{self._dialect.advice}, or load it with probabilities=False"
            )
        if prior not in known and not self._dialect.scores_any:
            raise ValueError(
                f"prior must be Sampling() or the proposal for the {kind} of {self.name!r}, not "
                f"{prior!r}: it scores given texts as the model is, and under no other law"
            )

    def _check_truncation(self, law: Sampling) -> None:
        """Raise ValueError where a law is truncated, and the server's log-probabilities are not."""
        if (law.top_k is not None or law.top_p < 1) and not self._dialect.truncates:
            raise ValueError(
                "proposal and prior must be Sampling() or Sampling(temperature=...) for the "
                f"{self._dialect.kind} of {self.name!r}, not {law!r}: the log-probabilities that "
                "it tells leave top-k and top-p out; load it with probabilities=False where no "
                "weight depends on them"
            )

    def extend(
        self,
        trajectories: Sequence[Trajectory],
        keys: PRNGKeys,
        *,
        sampling: Sampling | None = None,
        prior: Sampling | None = None,
    ) -> list[Trajectory]:
        """Draw one step for each trajectory; see `LanguageModel.extend`.

        Raises:
            ServerError: the server failed for good; nothing was drawn.
        """
        check_open(trajectories)
        if not trajectories:
            return []
        raw = raw_keys(keys, len(trajectories))
        prior = prior or PLAIN
        sampling = sampling or prior
        self._check_laws(sampling, prior)
        slots = list(zip(trajectories, raw, strict=True))
        steps = self._each(lambda slot: self._step(*slot, sampling, prior), slots)
        for step in steps:
            self._pay(step)
        return [step.child for step in steps]

    def logprob(
        self,
        trajectories: Sequence[Trajectory],
        continuations: Sequence[Sequence[int]],
        *,
        prior: Sampling | None = None,
    ) -> np.ndarray:
        """Compute the log-probability of each continuation; see `LanguageModel.logprob`."""
        return np.array(
            [sum(row) for row in self._scores(trajectories, continuations, prior or PLAIN)],
            np.float64,
        )

    def continued(
        self,
        trajectories: Sequence[Trajectory],
        steps: Sequence[Trajectory],
        *,
        prior: Sampling,
        proposal: Sampling,
    ) -> list[Trajectory | None]:
        """Put the tokens of these steps after each trajectory; see `motes.models.continued`."""
        tokens = [token for step in steps for token in step.step_token_ids]
        results: list[Trajectory | None] = [None] * len(trajectories)
        fitting = [i for i, x in enumerate(trajectories) if self.room(x) >= len(tokens)]
        heads, texts = [trajectories[i] for i in fitting], [tokens] * len(fitting)
        log_p = self._scores(heads, texts, prior)
        log_q = log_p if proposal == prior else self._scores(heads, texts, proposal)
        for place, i in enumerate(fitting):
            terms = [log_p[place], log_q[place]]
            results[i] = self._said(heads[place], steps, terms, proposal)
        return results

    def token_confidences(
        self, trajectories: Sequence[Trajectory], *, top: int
    ) -> list[np.ndarray]:
        """Tell how sure it was of every token; see `motes.models.token_confidences`."""
        rows = [(self._context_of(x.path[0]), x.token_ids) for x in trajectories]
        self.cost += self._count.scored(sum(len(tokens) for _, tokens in rows), len(rows))
        told = self._each(lambda row: self._dialect.likeliest(*row, top), rows)
        return [-np.array(row, np.float64).reshape(-1, top).mean(axis=1) for row in told]

    def _scores(
        self,
        trajectories: Sequence[Trajectory],
        continuations: Sequence[Sequence[int]],
        law: Sampling,
    ) -> list[tuple[float, ...]]:
        """Return the log-probability of every token of each continuation."""
        if law != PLAIN and not self._dialect.scores_any:
            raise ValueError(
                f"prior must be Sampling() where the {self._dialect.kind} of {self.name!r} scores "
                f"a given text, not {law!r}"
            )
        self._check_truncation(law)
        rows = list(zip(trajectories, map(tuple, continuations), strict=True))
        self.cost += self._count.scored(sum(len(tokens) for _, tokens in rows), len(rows))
        return self._each(
            lambda row: self._dialect.score(self._context_of(row[0]), row[1], law), rows
        )

    def _each(self, ask: Callable[[S], T], rows: Iterable[S]) -> list[T]:
        """Ask for each row, several at a time; the first error ends all.

        Raises:
            ServerError: a request failed for good, or another model answers by now.
        """
        futures = [
            self._pool.submit(self._connection.patiently, lambda row=row: ask(row)) for row in rows
        ]
        try:
            results = [future.result() for future in futures]
        finally:
            for future in futures:
                future.cancel()
        if futures:
            self._connection.patiently(self._dialect.check_served)
        return results

    def _step(
        self, parent: Trajectory, key: np.ndarray, sampling: Sampling, prior: Sampling
    ) -> _Step:
        """Draw one slot's step, in as many requests as it takes."""
        context, room = self._context_of(parent), self.room(parent)
        stops = tuple({text: None for rule in self.step.rules for text in rule.delimiters})
        draft = _Draft()
        number = 0
        while True:
            most = min(self.step.longest, room) - len(draft.tokens)
            if self._ends_unseen():
                most = min(most, UNSTOPPED)
            asked = Asked(
                context=(*context, *draft.tokens),
                seed=seed_of(key, number),
                most=most,
                stops=stops,
                sampling=sampling,
            )
            before = len(draft.tokens)
            complete = self._written(asked, parent, draft, room)
            number += 1
            if complete:
                break
            if len(draft.tokens) == before:
                raise self._connection.wrong("wrote no token where a step was asked for")
        child = self._child(parent, draft, sampling, prior, room)
        return _Step(child, len(context), draft.cached, number, draft.spare)

    def _ends_unseen(self) -> bool:
        """Return whether steps end where the server can't see, and it doesn't stream."""
        unseen = self.step.thinking is not None or self.step.predicate is not None
        return unseen and not self._dialect.streams

    def _written(self, asked: Asked, parent: Trajectory, draft: _Draft, room: int) -> bool:
        """Take in what one request writes; say whether the step is complete."""
        with closing(self._dialect.write(asked)) as pieces:
            for piece in pieces:
                if draft.cached is None:
                    draft.cached = piece.cached
                for place, token in enumerate(piece.tokens, 1):
                    if token >= self._vocabulary:
                        raise self._connection.wrong(
                            f"wrote the token {token}, which the tokenizer does not have: it is "
                            "another model's"
                        )
                    draft.tokens.append(token)
                    draft.logprobs.append(piece.logprobs[place - 1])
                    if self._ends(parent, draft.tokens, room):
                        draft.spare += len(piece.tokens) - place
                        return True
                if piece.ended and piece.tokens:
                    raise self._connection.wrong(
                        f"ended a text with the token {piece.tokens[-1]}, which ends none of the "
                        f"tokenizer's texts: load it with the tokenizer of {self.name!r}"
                    )
        return False

    def _child(
        self, parent: Trajectory, draft: _Draft, sampling: Sampling, prior: Sampling, room: int
    ) -> Trajectory:
        log_p, log_q = nan, nan
        if self.probabilities:
            log_q = sum(draft.logprobs)
            log_p = log_q
            if prior != sampling:
                tokens = tuple(draft.tokens)
                log_p = sum(self._dialect.score(self._context_of(parent), tokens, prior))
        full = len(draft.tokens) >= room
        child = self._ending.child(parent, draft.tokens, log_p, log_q, full=full)
        assert child is not None
        return child

    def _context_of(self, trajectory: Trajectory) -> tuple[int, ...]:
        return tuple(token for node in trajectory.path for token in self._tokens_of(node))

    def _pay(self, step: _Step) -> None:
        parent = step.child.parent
        assert parent is not None
        self.cost += self._count.drawn(
            parent,
            asked=step.asked,
            cached=step.cached,
            generated=len(step.child.step_token_ids),
            passes=step.requests,
            idle=step.spare,
        )


class _Draft:
    """The tokens so far of a step that is being drawn."""

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.logprobs: list[float] = []
        self.cached: int | None = None
        self.spare = 0


class _Step(NamedTuple):
    """A step, and what it took.

    Attributes:
        child: the trajectory.
        asked: tokens of its context.
        cached: how many of these the server had read before; None where it does not say.
        requests: how many there were.
        spare: tokens that came behind its end.
    """

    child: Trajectory
    asked: int
    cached: int | None
    requests: int
    spare: int


def seed_of(key: np.ndarray, number: int) -> int:
    """Return the seed of a slot's request, in [0, 2^63).

    Args:
        key: the words of the slot's random key, uint32, shape (2,).
        number: of the request within the step, from 0.

    Example:
        >>> one, other = (seed_of(np.array([0, 7], np.uint32), number) for number in (0, 1))
        >>> one == other, 0 <= one < 2**63
        (False, True)
    """
    words = np.asarray(key, np.uint32).astype(">u4").tobytes() + number.to_bytes(4, "big")
    return int.from_bytes(sha256(words).digest()[:8], "big") >> 1


def tried_seeds(connection: Connection, dialect: Dialect, probe: tuple[int, ...]) -> bool:
    """Return whether a server gives the same draw for the same seed.

    Raises:
        ServerError: it gives the same draw for different seeds, so that siblings would be copies.
    """

    def drawn(seed: int) -> tuple[int, ...]:
        law = Sampling(temperature=min(2.0, dialect.hottest))
        asked = Asked(context=probe, seed=seed, most=TRIED, stops=(), sampling=law)
        return tuple(token for piece in dialect.write(asked) for token in piece.tokens)

    def attempt() -> list[tuple[int, ...]]:
        return [drawn(seed) for seed in (1, 1, 2, 3, 4)]

    draws: list[Any] = connection.patiently(attempt)
    if len(set(draws)) == 1:
        raise ServerError(
            f"the server at {connection.url} draws the same text whatever the seed, so that all "
            "particles would be copies of one"
        )
    return draws[0] == draws[1]


TRIED = 12  # tokens that seeds are tried with
