"""The likeliest tokens of each law, as far as a server tells them.

What a server tells is only used where it is whole: as many tokens as were asked for, no token
twice, every number a log-probability, and together no more than certain.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import exp
from typing import Any

from ..calls import ROUNDING
from ..confidence import USUAL
from .connection import Connection, PassingFailure, ServerError
from .dialect import Dialect, log_probabilities

MOST = 100  # of a law's tokens, that a server is asked for


def checked_likeliest(
    connection: Connection, entries: Iterable[tuple[Any, Any]], count: int
) -> tuple[float, ...]:
    """Return the log-probabilities of the likeliest tokens of one law.

    Args:
        connection: to the server.
        entries: ids and log-probabilities, as it sent them.
        count: how many there must be.

    Raises:
        ServerError: there are more or fewer, or a token is told twice.
        FloatingPointError: a number is none of a log-probability, or all of them make more than 1.
    """
    told = list(entries)
    ids, values = [token for token, _ in told], [value for _, value in told]
    if len(told) != count or len(set(map(str, ids))) != count:
        raise connection.wrong(
            f"told {len(set(map(str, ids)))} of a law's likeliest tokens where {count} were asked "
            "for"
        )
    results = log_probabilities(connection, values, count, possible=True)
    if sum(map(exp, results)) > 1 + count * ROUNDING:
        raise FloatingPointError(
            f"the server at {connection.url} gave log-probabilities of the {count} likeliest "
            "tokens that make more than 1 together"
        )
    return results


def most_told(connection: Connection, dialect: Dialect, probe: Sequence[int]) -> int:
    """Return how many of a law's likeliest tokens a server tells, at most `MOST`; 0 for none.

    A server does not say, and refuses what is too many.
    """

    def tells(count: int) -> bool:
        try:
            dialect.likeliest(tuple(probe), (probe[0],), count)
        except PassingFailure:
            raise
        except (ServerError, FloatingPointError):
            return False
        return True

    told, refused = 0, MOST + 1
    while refused - told > 1:
        usual = (count for count in (MOST, USUAL, USUAL + 1) if told < count < refused)
        count = next(usual, (told + refused) // 2)
        if connection.patiently(lambda count=count: tells(count)):
            told = count
        else:
            refused = count
    return told
