"""Answers that a user gives as numbers, spelled as a text would spell them."""

from __future__ import annotations

from decimal import Decimal
from math import isfinite
from numbers import Rational, Real


def spelled(answer: object, what: str = "answer must be") -> str | None:
    """Return an answer as a text: a number by its digits, a text as it is, None for None.

    Args:
        answer: a text, a number (of Python, NumPy, `decimal` or `fractions`), or None.
        what: how an error begins.

    Raises:
        TypeError: it is neither a text, a number nor None; True and False are no numbers here.
        ValueError: it is infinite or NaN.

    Example:
        >>> from fractions import Fraction
        >>> spelled(9), spelled(1e-7), spelled(Fraction(1, 2)), spelled("nine")
        ('9', '0.0000001', '1/2', 'nine')
    """
    if answer is None or isinstance(answer, str):
        return answer
    if isinstance(answer, bool) or not isinstance(answer, Real | Decimal):
        raise TypeError(f"{what} a text or a number, not {answer!r:.100}")
    finite = answer.is_finite() if isinstance(answer, Decimal) else isfinite(answer)
    if not finite:
        raise ValueError(f"{what} a finite number, not {answer!r}")
    if isinstance(answer, Rational):
        return str(answer)
    return format(Decimal(str(answer)), "f")
