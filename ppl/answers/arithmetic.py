r"""The arithmetic of expressions: exact as long as the operations allow, and bounded in size.

Rational operations, whole powers, roots that come out, factorials and binomial coefficients are
exact; the rest is done by mpmath. What would have more than `BITS` bits is refused before it is
computed, so that an expression takes a moment, whatever it is.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from fractions import Fraction
from math import comb, factorial, floor
from typing import Any, TypeAlias

from .expressions import Node, Unread

Value: TypeAlias = Any
"""A `Fraction`, or a number of mpmath's."""

Context: TypeAlias = Any
"""A context of mpmath, which has no types."""

BITS = 40_000  # of an exact number


class TooLarge(Unread):
    """Computing it would take too long."""


class Undefined(Exception):
    """There is no such real number at this point."""


def inexact(value: Value, context: Context) -> Any:
    """Return a value as a number of mpmath's."""
    if isinstance(value, Fraction):
        return context.mpf(value.numerator) / context.mpf(value.denominator)
    return value


def evaluated(node: Node, point: Mapping[str, Fraction], context: Context, real: bool) -> Value:
    """Return the value of an expression.

    Args:
        node: the expression.
        point: the values of its letters.
        context: mpmath's, whose digits are those of what is not exact.
        real: whether what is no real number is undefined.

    Raises:
        Undefined: it has no real value at this point.
        Unread: it has no value, or several.
        TooLarge: computing it would take too long.
    """
    kind, *parts = node
    if kind == "number":
        return _bounded(parts[0])
    if kind == "letter":
        return point[parts[0]]
    if kind == "constant":
        return {"pi": +context.pi, "e": +context.e, "i": context.j}[parts[0]]
    if kind == "call":
        name, argument = parts
        return _called(name, evaluated(argument, point, context, real), context, real)
    if kind == "power" and parts[0] == ("constant", "e"):
        return _called("exp", evaluated(parts[1], point, context, real), context, real)
    values = [evaluated(part, point, context, real) for part in parts]
    return _OPERATIONS[kind](*values, context, real)


def _bounded(value: Value) -> Value:
    if isinstance(value, Fraction) and _bits(value) > BITS:
        raise TooLarge(f"a number of more than {BITS} bits")
    return value


def _bits(value: Fraction) -> int:
    return max(value.numerator.bit_length(), value.denominator.bit_length())


def _arithmetic(operation: Callable[[Any, Any], Any]) -> Callable[..., Value]:
    def compute(first: Value, second: Value, context: Context, real: bool) -> Value:
        if isinstance(first, Fraction) and isinstance(second, Fraction):
            return _bounded(operation(first, second))
        return operation(inexact(first, context), inexact(second, context))

    return compute


def _divide(first: Value, second: Value, context: Context, real: bool) -> Value:
    if second == 0:
        raise Unread("a division by zero")
    return _arithmetic(operator.truediv)(first, second, context, real)


def _negative(value: Value, context: Context, real: bool) -> Value:
    return -value


def _degrees(value: Value, context: Context, real: bool) -> Value:
    return inexact(value, context) * context.pi / 180


def _power(base: Value, exponent: Value, context: Context, real: bool) -> Value:
    if isinstance(exponent, Fraction) and exponent.denominator == 1:
        return _whole_power(base, exponent.numerator, context)
    is_positive = not _is_complex(base) and base >= 0
    if is_positive and isinstance(exponent, Fraction) and exponent.denominator <= 100:
        exact = _exact_root(base, exponent.denominator)
        if exact is not None:
            return _whole_power(exact, exponent.numerator, context)
    if not is_positive:
        if real:
            raise Undefined
        raise Unread("a broken power of what is not positive has several values")
    if base == 0:
        raise Unread("a power of zero")
    logarithm = context.ln(inexact(base, context))
    return _called("exp", inexact(exponent, context) * logarithm, context, real)


def _whole_power(base: Value, exponent: int, context: Context) -> Value:
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


def _root(degree: Value, value: Value, context: Context, real: bool) -> Value:
    if not (isinstance(degree, Fraction) and degree.denominator == 1 and 2 <= degree <= 100):
        raise Unread("the degree of a root must be a number from 2 to 100")
    if _is_complex(value):
        raise Unread("a root of a complex number has several values")
    n = degree.numerator
    if value < 0:
        if n % 2:
            return -_root(degree, -value, context, real)
        if real:
            raise Undefined
        if n > 2:
            raise Unread("an even root of a negative number has several values")
        return context.j * inexact(_root(degree, -value, context, real), context)
    exact = _exact_root(value, n)
    return context.root(inexact(value, context), n) if exact is None else exact


def _exact_root(value: Value, degree: int) -> Fraction | None:
    if not isinstance(value, Fraction):
        return None
    above, below = (_whole_root(part, degree) for part in (value.numerator, value.denominator))
    return None if above is None or below is None else Fraction(above, below)


def _whole_root(value: int, degree: int) -> int | None:
    """Return the root of a natural number where it is one, by bisection."""
    low, high = 0, 1 << (value.bit_length() // degree + 1)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if middle**degree <= value else (low, middle - 1)
    return low if low**degree == value else None


def _factorial(value: Value, context: Context, real: bool) -> Value:
    if not _is_natural(value):
        if real:  # letters stand for natural numbers here, and the gamma function for all between
            return _gamma(value + 1, context)
        raise Unread("a factorial of what is not a natural number")
    if value > 2000:
        raise TooLarge("a factorial above 2000")
    return _bounded(Fraction(factorial(int(value))))


def _is_natural(value: Value) -> bool:
    return isinstance(value, Fraction) and value.denominator == 1 and value >= 0


def _gamma(value: Value, context: Context) -> Value:
    value = inexact(value, context)
    if _is_complex(value) or abs(value) > 1000 or value == context.floor(value) <= 0:
        raise Undefined
    return context.gamma(value)


def _binomial(n: Value, k: Value, context: Context, real: bool) -> Value:
    if not (_is_natural(n) and _is_natural(k)):
        if real:
            below = _gamma(k + 1, context) * _gamma(n - k + 1, context)
            return _gamma(n + 1, context) / below
        raise Unread("a binomial coefficient of what are not natural numbers")
    if n > 5000:
        raise TooLarge("a binomial coefficient above 5000")
    return _bounded(Fraction(comb(int(n), int(k))))


def _logarithm(base: Value, value: Value, context: Context, real: bool) -> Value:
    below = _called("ln", base, context, real)
    if below == 0:
        raise Unread("a logarithm to the base 1")
    return _divide(_called("ln", value, context, real), below, context, real)


def _is_complex(value: Value) -> bool:
    return not isinstance(value, Fraction) and bool(value.imag)


def _called(name: str, value: Value, context: Context, real: bool) -> Value:
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
    value = inexact(value, context)
    if abs(value) > 1e5:
        raise TooLarge(f"{name} of a number above 100,000")
    if name in ("arcsin", "arccos") and (_is_complex(value) or abs(value) > 1):
        if real:
            raise Undefined
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


def _natural_logarithm(value: Value, context: Context, real: bool) -> Value:
    if _is_complex(value):
        raise Unread("a logarithm of a complex number has several values")
    if value <= 0:
        if real:
            raise Undefined
        raise Unread("a logarithm of what is not positive")
    return Fraction(0) if value == 1 else context.ln(inexact(value, context))


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
