r"""The value of an expression, and what tells expressions apart that are not equal.

Numbers are exact (fractions) as long as the operations allow, then complex to `DIGITS` digits. An
expression with letters is evaluated at fixed points; two that agree at all of them to `KEPT`
digits, relatively, are equal but for a probability that can be neglected (Schwartz 1980, Zippel
1979). So no pairs are compared, there is no tolerance below which all is equal, and the class of
an expression depends on nothing but itself. Every operation is bounded in size, and with it the
time.

Letters stand for real numbers of either sign, unless "i" occurs: `\sqrt{x^2}` is not x. An
expression that is not defined at a point is equal only to those that are not defined there
either. `\log` without a base may be of any: it is the natural logarithm times a number that
occurs nowhere else, so that `\log 2 + \log 3 = \log 6` holds and `\log 100 = 2` does not.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from fractions import Fraction
from hashlib import sha256
from math import comb, factorial, floor
from typing import Any, TypeAlias

from mpmath import MPContext

from .expressions import Node, Unread

Value: TypeAlias = Any
"""A `Fraction`, or a number of mpmath's, of `DIGITS` digits."""

Key: TypeAlias = tuple[Any, ...]
"""("exact", Fraction), ("constant", real part, imaginary part) or ("function", several values)."""

DIGITS = (90, 130)  # an expression is computed twice: what changes with the digits is rounding
KEPT = 50
BITS = 40_000  # of an exact number
POINTS = 4


class TooLarge(Unread):
    """Computing it would take too long."""


class _Undefined(Exception):
    """There is no such real number at this point."""


def key(node: Node) -> Key:
    """Return what expressions have in common that are equal, and others don't.

    Raises:
        Unread: it has no value.
        TooLarge: its value cannot be computed in a short time.
    """
    if not letters(node):
        value = _evaluated(node, {}, _CONTEXTS[0], real=False)
        if isinstance(value, Fraction):
            return ("exact", value)
        return ("constant", *rounded(_inexact_value(node, {}, real=False)))
    found = tuple(None if value is None else rounded(value) for value in _at_points(node))
    if len(set(found)) == 1 and found[0] is not None:
        return ("constant", *found[0])
    return ("function", *found)


def ratios(node: Node, positive: bool) -> Key:
    """Return what an expression has in common with its multiples.

    Args:
        node: the expression.
        positive: by positive factors alone.

    Raises:
        As `key` does.
    """
    found = _at_points(node)
    unit = next((value for value in found if value), None)
    if unit is None:
        raise Unread("it is zero")
    unit = abs(unit) if positive else unit
    return ("ratios", *(None if value is None else rounded(value / unit) for value in found))


def solved(node: Node, letter: str) -> Key | None:
    """Return the key of a letter where an expression is zero; None if that isn't linear in it.

    Args:
        node: an expression in this letter and others.
        letter: its name.

    Raises:
        As `key` does.
    """
    names = sorted(letters(node) - {letter})
    real = not _has_imaginary(node)
    found = []
    for number in range(POINTS):
        point = _point(names, number)
        try:
            at = [_inexact_value(node, {**point, letter: Fraction(n)}, real) for n in range(3)]
        except _Undefined:
            return None
        slope, curve = at[1] - at[0], at[2] - 2 * at[1] + at[0]
        if abs(curve) > abs(slope) * _CONTEXTS[1].mpf(10) ** -KEPT or slope == 0:
            return None
        found.append(rounded(-at[0] / slope))
    if len(set(found)) == 1:
        return ("constant", *found[0])
    return ("function", *found)


def rounded(value: Value) -> tuple[str, str]:
    """Return the real and the imaginary part to `KEPT` digits."""
    context = _CONTEXTS[1]
    value = context.mpmathify(_inexact(value, context))
    least = abs(value) * context.mpf(10) ** -KEPT

    def digits(part: Value) -> str:
        part = context.mpf(0) if abs(part) < least else part
        return str(context.nstr(part, KEPT, min_fixed=1, max_fixed=0))

    return digits(value.real), digits(value.imag)


def letters(node: Node) -> set[str]:
    """Return the names of the letters that occur, other than e and i."""
    if node[0] == "letter":
        return {node[1]}
    return set().union(*(letters(part) for part in node[1:] if isinstance(part, tuple)))


def _at_points(node: Node) -> list[Value | None]:
    """The values at all points; None where it is not defined."""
    names, real = sorted(letters(node)), not _has_imaginary(node)
    found: list[Value | None] = []
    for number in range(POINTS):
        try:
            found.append(_inexact_value(node, _point(names, number), real))
        except _Undefined:
            found.append(None)
    if all(value is None for value in found):
        raise Unread("it is defined at no point")
    return found


def _inexact_value(node: Node, point: Mapping[str, Fraction], real: bool) -> Value:
    """The value at a point; zero where nothing is left but rounding."""
    rough, fine = (
        _inexact(_evaluated(node, point, context, real), context)
        for context in _CONTEXTS  # of fewer digits and of more
    )
    ten = _CONTEXTS[1].mpf(10)
    if abs(rough - fine) <= abs(fine) * ten ** -(KEPT + 10):
        return fine
    if abs(fine) > abs(rough) * ten**-20 and abs(fine) > ten**-100:
        raise Unread("its digits cancel")
    return ten * 0


_CONTEXTS = tuple(MPContext() for _ in DIGITS)
for _context, _digits in zip(_CONTEXTS, DIGITS, strict=True):
    _context.dps = _digits


def _point(names: list[str], number: int) -> dict[str, Fraction]:
    """Values of the letters: all positive, all negative, then some of both."""
    point = {}
    for letter in names:
        digest = int.from_bytes(sha256(f"{letter} {number}".encode()).digest()[:8])
        size = Fraction(digest % 1_999_993 + 500_000, 1_000_003)
        negative = number == 1 or (number > 1 and digest >> 32 & 1)
        point[letter] = -size if negative else size
    return point


def _has_imaginary(node: Node) -> bool:
    if node == ("constant", "i"):
        return True
    return any(_has_imaginary(part) for part in node[1:] if isinstance(part, tuple))


def _inexact(value: Value, context: Any) -> Any:
    if isinstance(value, Fraction):
        return context.mpf(value.numerator) / context.mpf(value.denominator)
    return value


def _evaluated(node: Node, point: Mapping[str, Fraction], context: Any, real: bool) -> Value:
    kind, *parts = node
    if kind == "number":
        return _bounded(parts[0])
    if kind == "letter":
        return point[parts[0]]
    if kind == "constant":
        return {"pi": +context.pi, "e": +context.e, "i": context.j}[parts[0]]
    if kind == "call":
        name, argument = parts
        return _called(name, _evaluated(argument, point, context, real), context, real)
    if kind == "power" and parts[0] == ("constant", "e"):
        return _called("exp", _evaluated(parts[1], point, context, real), context, real)
    values = [_evaluated(part, point, context, real) for part in parts]
    return _OPERATIONS[kind](*values, context, real)


def _bounded(value: Value) -> Value:
    if isinstance(value, Fraction) and _bits(value) > BITS:
        raise TooLarge(f"a number of more than {BITS} bits")
    return value


def _bits(value: Fraction) -> int:
    return max(value.numerator.bit_length(), value.denominator.bit_length())


def _arithmetic(operation: Callable[[Any, Any], Any]) -> Callable[..., Value]:
    def compute(first: Value, second: Value, context: Any, real: bool) -> Value:
        if isinstance(first, Fraction) and isinstance(second, Fraction):
            return _bounded(operation(first, second))
        return operation(_inexact(first, context), _inexact(second, context))

    return compute


def _divide(first: Value, second: Value, context: Any, real: bool) -> Value:
    if second == 0:
        raise Unread("a division by zero")
    return _arithmetic(operator.truediv)(first, second, context, real)


def _negative(value: Value, context: Any, real: bool) -> Value:
    return -value


def _degrees(value: Value, context: Any, real: bool) -> Value:
    return _inexact(value, context) * context.pi / 180


def _power(base: Value, exponent: Value, context: Any, real: bool) -> Value:
    if isinstance(exponent, Fraction) and exponent.denominator == 1:
        return _whole_power(base, exponent.numerator, context)
    is_positive = not _is_complex(base) and base >= 0
    if is_positive and isinstance(exponent, Fraction) and exponent.denominator <= 100:
        exact = _exact_root(base, exponent.denominator)
        if exact is not None:
            return _whole_power(exact, exponent.numerator, context)
    if not is_positive:
        if real:
            raise _Undefined
        raise Unread("a broken power of what is not positive has several values")
    if base == 0:
        raise Unread("a power of zero")
    logarithm = context.ln(_inexact(base, context))
    return _called("exp", _inexact(exponent, context) * logarithm, context, real)


def _whole_power(base: Value, exponent: int, context: Any) -> Value:
    if base == 0 and exponent <= 0:
        raise Unread("a power of zero")
    if isinstance(base, Fraction):
        if base in (1, -1):
            return base ** (exponent % 2)
        if base != 0 and _bits(base) * abs(exponent) > BITS:
            raise TooLarge(f"a number of more than {BITS} bits")
        return base**exponent
    if abs(exponent) > BITS:
        raise TooLarge(f"a power above {BITS}")
    return base**exponent


def _root(degree: Value, value: Value, context: Any, real: bool) -> Value:
    if not (isinstance(degree, Fraction) and degree.denominator == 1 and 2 <= degree <= 100):
        raise Unread("the degree of a root must be a number from 2 to 100")
    if _is_complex(value):
        raise Unread("a root of a complex number has several values")
    n = degree.numerator
    if value < 0:
        if n % 2:
            return -_root(degree, -value, context, real)
        if real:
            raise _Undefined
        if n > 2:
            raise Unread("an even root of a negative number has several values")
        return context.j * _inexact(_root(degree, -value, context, real), context)
    exact = _exact_root(value, n)
    return context.root(_inexact(value, context), n) if exact is None else exact


def _exact_root(value: Value, degree: int) -> Fraction | None:
    if not isinstance(value, Fraction):
        return None
    above, below = (_whole_root(part, degree) for part in (value.numerator, value.denominator))
    return None if above is None or below is None else Fraction(above, below)


def _whole_root(value: int, degree: int) -> int | None:
    """The root of a natural number where it is one, by bisection."""
    low, high = 0, 1 << (value.bit_length() // degree + 1)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if middle**degree <= value else (low, middle - 1)
    return low if low**degree == value else None


def _factorial(value: Value, context: Any, real: bool) -> Value:
    if not _is_natural(value):
        if real:  # letters stand for natural numbers here, and the gamma function for all between
            return _gamma(value + 1, context)
        raise Unread("a factorial of what is not a natural number")
    if value > 2000:
        raise TooLarge("a factorial above 2000")
    return _bounded(Fraction(factorial(int(value))))


def _is_natural(value: Value) -> bool:
    return isinstance(value, Fraction) and value.denominator == 1 and value >= 0


def _gamma(value: Value, context: Any) -> Value:
    value = _inexact(value, context)
    if _is_complex(value) or abs(value) > 1000 or value == context.floor(value) <= 0:
        raise _Undefined
    return context.gamma(value)


def _binomial(n: Value, k: Value, context: Any, real: bool) -> Value:
    if not (_is_natural(n) and _is_natural(k)):
        if real:
            below = _gamma(k + 1, context) * _gamma(n - k + 1, context)
            return _gamma(n + 1, context) / below
        raise Unread("a binomial coefficient of what are not natural numbers")
    if n > 5000:
        raise TooLarge("a binomial coefficient above 5000")
    return _bounded(Fraction(comb(int(n), int(k))))


def _logarithm(base: Value, value: Value, context: Any, real: bool) -> Value:
    below = _called("ln", base, context, real)
    if below == 0:
        raise Unread("a logarithm to the base 1")
    return _divide(_called("ln", value, context, real), below, context, real)


def _is_complex(value: Value) -> bool:
    return not isinstance(value, Fraction) and bool(value.imag)


def _called(name: str, value: Value, context: Any, real: bool) -> Value:
    if name in ("lfloor", "lceil"):
        if not isinstance(value, Fraction):
            raise Unread("the whole part of what is not exact")
        return Fraction(floor(value) if name == "lfloor" else -floor(-value))
    if name == "abs":
        return abs(value)
    if name in ("ln", "log"):
        return _natural_logarithm(value, context, real) * (1 if name == "ln" else _ANY_BASE)
    if value == 0 and name in _ALIKE_AT_ZERO:
        return Fraction(_ALIKE_AT_ZERO[name])
    value = _inexact(value, context)
    if abs(value) > 1e5:
        raise TooLarge(f"{name} of a number above 100,000")
    if name in ("arcsin", "arccos") and (_is_complex(value) or abs(value) > 1):
        if real:
            raise _Undefined
        raise Unread(f"{name} of what is not in [-1, 1]")
    if name in _RECIPROCAL:
        return _divide(Fraction(1), getattr(context, _RECIPROCAL[name])(value), context, real)
    if name not in _MPMATH:
        raise Unread(f"{name} has several definitions")
    return getattr(context, _MPMATH[name])(value)


_ANY_BASE = Fraction(271_828_183, 314_159_265)
_ALIKE_AT_ZERO = {
    "sin": 0,
    "cos": 1,
    "tan": 0,
    "exp": 1,
    "arcsin": 0,
    "arctan": 0,
    "sinh": 0,
    "cosh": 1,
    "tanh": 0,
}
# these of mpmath leave the context as it is, so that threads may share one
_MPMATH = {
    "arcsin": "asin",
    "arccos": "acos",
    "arctan": "atan",
    **{name: name for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh", "exp")},
}
_RECIPROCAL = {"sec": "cos", "csc": "sin", "cot": "tan"}


def _natural_logarithm(value: Value, context: Any, real: bool) -> Value:
    if _is_complex(value):
        raise Unread("a logarithm of a complex number has several values")
    if value <= 0:
        if real:
            raise _Undefined
        raise Unread("a logarithm of what is not positive")
    return Fraction(0) if value == 1 else context.ln(_inexact(value, context))


_OPERATIONS: dict[str, Callable[..., Value]] = {
    "add": _arithmetic(operator.add),
    "multiply": _arithmetic(operator.mul),
    "divide": _divide,
    "negative": _negative,
    "degrees": _degrees,
    "power": _power,
    "root": _root,
    "factorial": _factorial,
    "binomial": _binomial,
    "log": _logarithm,
}
