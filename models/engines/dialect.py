"""What a server's dialect must offer: one step of one slot, and the worth of given tokens."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from math import inf
from typing import Any, Protocol

from ..calls import ROUNDING
from ..sampling import Sampling
from .connection import Connection, PassingFailure

MISSING = -9999.0  # what servers write for a log-probability that JSON cannot hold
# which law a server reports, is seen at two temperatures: values of the model as it is stay
COLD, HOT = Sampling(temperature=0.5), Sampling(temperature=2.0)
SAME = 1e-2  # nats; between these temperatures other values differ by more


@dataclass(frozen=True, kw_only=True)
class Served:
    """What a server says of itself.

    Attributes:
        name: what it calls the model.
        context: how many tokens a prompt and a text may have together; None where it does not say.
        source: where the model was loaded from, a folder, file or Hugging Face id, which has its
            tokenizer; None where it does not say.
    """

    name: str
    context: int | None
    source: str | None


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is asked for one slot.

    Attributes:
        context: the token ids so far.
        seed: of the slot's random numbers, in [0, 2^63).
        most: the most tokens to write.
        stops: texts at which the server may stop.
        sampling: what tokens are drawn from.
    """

    context: tuple[int, ...]
    seed: int
    most: int
    stops: tuple[str, ...]
    sampling: Sampling


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Some tokens that a server wrote.

    Attributes:
        tokens: their ids.
        logprobs: of each under the law that the dialect reports, in nats.
        ended: whether the model ended the text with the last of them.
        cached: how many tokens of the context the server had read before; None where not said.
    """

    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]
    ended: bool = False
    cached: int | None = None


class Dialect(Protocol):
    """How one kind of server is asked.

    Attributes:
        served: what the server says of itself.
        kind: what the server is called in sentences.
        raw: whether a draw's log-probability is that of the model as it is, whatever it was drawn
            from; otherwise it is that under the law it was drawn from.
        scores_any: whether `score` takes any law, and not `Sampling()` alone.
        hottest: the highest temperature it takes.
        truncates: whether a draw's log-probability knows of top-k and top-p.
        streams: whether tokens come as they are written, so that closing saves the rest.
        advice: how a server that reports the model as it is can be made to report other laws.
    """

    served: Served
    kind: str
    raw: bool
    scores_any: bool
    hottest: float
    truncates: bool
    streams: bool
    advice: str

    def learn(self, probe: tuple[int, ...]) -> None:
        """Find out what the server does not tell, with these token ids, at least one."""
        ...

    def write(self, asked: Asked) -> Generator[Piece, None, None]:
        """Yield what the model writes, piece by piece; closing this ends the request."""
        ...

    def score(
        self, context: tuple[int, ...], continuation: tuple[int, ...], law: Sampling
    ) -> tuple[float, ...]:
        """Return the log-probability of each token of a continuation, in nats."""
        ...

    def likeliest(
        self, context: tuple[int, ...], continuation: tuple[int, ...], count: int
    ) -> list[tuple[float, ...]]:
        """Return the `count` largest log-probabilities before each token of a continuation.

        They are of the model as it is, in nats; see `likeliest.checked_likeliest`.
        """
        ...

    def check_served(self) -> None:
        """Raise ServerError where another model has taken the place of the one that was loaded.

        It asks the server, where answers do not name their model.
        """
        ...

    def tokenized(self, text: str) -> list[int] | None:
        """Return the server's token ids of a text; None where it does not tell."""
        ...


def token_ids(connection: Connection, values: Any) -> tuple[int, ...]:
    """Return token ids that a server sent.

    Raises:
        ServerError: they are none.
    """
    plain = isinstance(values, list) and all(type(value) is int and value >= 0 for value in values)
    if not plain:
        raise connection.wrong(f"sent {values!r:.60} where token ids were expected")
    return tuple(values)


def log_probabilities(
    connection: Connection, values: Any, count: int, *, possible: bool
) -> tuple[float, ...]:
    """Return the log-probabilities of tokens that a server sent.

    Args:
        connection: to the server.
        values: what it sent.
        count: how many there must be.
        possible: whether none of the tokens can be impossible: they were drawn, or the law cuts
            none off. What says "impossible" then stands for a number that the server did not have.

    Raises:
        ServerError: one is missing.
        FloatingPointError: one is above 0, NaN, or impossible where it cannot be.
    """
    plain = isinstance(values, list) and len(values) == count
    if not plain or not all(type(value) in (int, float) for value in values):
        raise connection.wrong(f"sent no log-probability for each of {count} tokens")
    results = []
    for value in values:
        number = -inf if value <= MISSING else float(value)
        if not number <= ROUNDING or (possible and number == -inf):
            also = ", and finite, since the token can be drawn" if possible else ""
            raise FloatingPointError(
                f"the server at {connection.url} gave the log-probability {value} of a token: it "
                f"must be at most 0{also}"
            )
        results.append(number)
    return tuple(results)


class Standing:
    """What a server says that it serves, against what it said when it was loaded.

    Args:
        connection: to it.
        shown: asks it; None where it does not say.
    """

    def __init__(self, connection: Connection, shown: Callable[[], Any]) -> None:
        self._connection, self._shown = connection, shown
        self._before: Any = None

    def check(self) -> None:
        """Raise ServerError where it says something else than the first time.

        Raises:
            PassingFailure: it says nothing.
        """
        now = self._shown()
        if now is None:
            raise PassingFailure(
                f"the server at {self._connection.url} does not say what it serves"
            )
        self._before = self._before or now
        if now != self._before:
            raise self._connection.wrong(
                f"serves {now!r} by now, and {self._before!r} was loaded: load the model anew"
            )
