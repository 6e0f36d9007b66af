"""Checks of arguments: each returns the value in its plain Python type, or raises one sentence.

What is not of the right kind is a TypeError ("particles must be an integer, not 'many'"); what is
of the right kind and out of its range is a ValueError ("particles must be at least 1, not 0").
Numbers of NumPy count as numbers, truths never do. A frozen dataclass keeps what the checks return
by `settle`, so that nobody who reads its attributes has to convert them again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from math import inf
from numbers import Real
from operator import index
from typing import Any, SupportsIndex
from weakref import WeakValueDictionary

import numpy as np

MOST = 2**63 - 1  # what an array's index, or a file, can still hold
SHOWN = 80  # characters of a bad value that a message shows


def settle(instance: object, **values: Any) -> None:
    """Set attributes of a frozen dataclass to checked values; for its `__post_init__`.

    Args:
        instance: the dataclass under construction.
        values: by attribute.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass(frozen=True)
        ... class Herd:
        ...     size: int
        ...     def __post_init__(self):
        ...         settle(self, size=count("size", self.size))
        >>> Herd(np.int64(3))
        Herd(size=3)
    """
    for name, value in values.items():
        object.__setattr__(instance, name, value)


def count(name: str, value: object, least: int = 1, most: int = MOST) -> int:
    """Return a number of things as an int.

    Args:
        name: of the argument.
        value: an integer of Python or NumPy.
        least, most: its range, both included.

    Raises:
        TypeError: it is not an integer.
        ValueError: it is out of its range.

    Example:
        >>> count("particles", np.int32(8))
        8
        >>> count("particles", 0)
        Traceback (most recent call last):
        ValueError: particles must be at least 1, not 0
    """
    several = getattr(value, "ndim", 0) > 0  # an array has __index__ whatever its shape
    if isinstance(value, bool | np.bool_) or several or not isinstance(value, SupportsIndex):
        raise TypeError(f"{name} must be an integer, not {shown(value)}")
    number = index(value)
    if number < least:
        raise ValueError(f"{name} must be at least {least}, not {shown(value)}")
    if number > most:
        raise ValueError(f"{name} must be at most {most}, not {shown(value)}")
    return number


def number(
    name: str,
    value: object,
    least: float = -inf,
    most: float = inf,
    *,
    above: float = -inf,
    below: float = inf,
) -> float:
    """Return a finite number as a float.

    Args:
        name: of the argument.
        value: a real number of Python or NumPy.
        least, most: its range, both included.
        above, below: its range, both excluded.

    Raises:
        TypeError: it is no number.
        ValueError: it is NaN, infinite, or out of its range.

    Example:
        >>> number("strength", np.float32(0.5), least=0)
        0.5
        >>> number("temperature", 0.0, above=0)
        Traceback (most recent call last):
        ValueError: temperature must be a finite number above 0, not 0.0
    """
    plain = _real(name, value)
    if not (-inf < plain < inf and least <= plain <= most and above < plain < below):
        raise ValueError(f"{name} must be {_range(least, most, above, below)}, not {shown(value)}")
    return plain


def positive(name: str, value: object, most: float = inf) -> float:
    """Return a finite number above 0 as a float. Raises as `number` does.

    Example:
        >>> positive("step_size", 1)
        1.0
    """
    return number(name, value, most=most, above=0)


def seed(value: object) -> int:
    """Return a seed as an int in [0, 2**32). Raises as `count` does.

    Example:
        >>> seed(2**32)
        Traceback (most recent call last):
        ValueError: seed must lie in [0, 2**32), not 4294967296
    """
    number = count("seed", value, least=-MOST)
    if not 0 <= number < 2**32:
        raise ValueError(f"seed must lie in [0, 2**32), not {shown(value)}")
    return number


def fraction(name: str, value: object) -> float:
    """Return a number in [0, 1] as a float. Raises as `number` does.

    Example:
        >>> fraction("ess_threshold", 1)
        1.0
    """
    share = _real(name, value)
    if not 0 <= share <= 1:
        raise ValueError(f"{name} must be a number in [0, 1], not {shown(value)}")
    return share


def level(name: str, value: object) -> float:
    """Return the probability of an interval, in (0, 1), as a float. Raises as `number` does.

    Example:
        >>> level("probability", 0.95)
        0.95
        >>> level("probability", 1)
        Traceback (most recent call last):
        ValueError: probability must lie between 0 and 1, not 1
    """
    probability = _real(name, value)
    if not 0 < probability < 1:
        raise ValueError(f"{name} must lie between 0 and 1, not {shown(value)}")
    return probability


def flag(name: str, value: object) -> bool:
    """Return a truth as a bool.

    Raises:
        TypeError: it is neither True nor False.

    Example:
        >>> flag("waste_free", np.True_)
        True
    """
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False, not {shown(value)}")
    return bool(value)


def choice(name: str, value: object, allowed: Collection[str]) -> str:
    """Return a text that is one of those allowed.

    Raises:
        ValueError: it is another; the message lists them.

    Example:
        >>> choice("kernel", "nuts", ("nuts", "random_walk"))
        'nuts'
    """
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}, not {shown(value)}")
    return value


def function(name: str, value: object, maps: str) -> Callable[..., Any]:
    """Return something that can be called.

    Args:
        name: of the argument.
        value: a function, or an object that can be called like one.
        maps: from what to what, in words.

    Raises:
        TypeError: it cannot be called.

    Example:
        >>> function("answer", len, "a text to a number") is len
        True
    """
    if not callable(value):
        raise TypeError(f"{name} must be a function from {maps}, not {shown(value)}")
    return value


def ladder(name: str, values: object, first: float, last: float | None) -> tuple[float, ...]:
    """Return powers that go one way from `first`, rising to `last`, or falling to 0 or more.

    Args:
        name: of the argument.
        values: at least two numbers.
        first: what they begin with.
        last: what they rise to; None where they fall.

    Raises:
        TypeError: they are not numbers.
        ValueError: they do not begin, go and end as they must.

    Example:
        >>> ladder("betas", [1, 0.5], first=1, last=None)
        (1.0, 0.5)
    """
    scalar = isinstance(values, np.ndarray) and values.ndim == 0
    if isinstance(values, str | bytes) or not isinstance(values, Iterable) or scalar:
        raise TypeError(f"{name} must be numbers in order, not {shown(values)}")
    powers = tuple(_real(f"every one of {name}", value) for value in values)
    rises = last is not None
    with np.errstate(invalid="ignore"):
        steps = np.diff(powers) if rises else -np.diff(powers)
    ends = (
        len(powers) > 1
        and powers[0] == first
        and (powers[-1] == last if rises else powers[-1] >= 0)
    )
    if not ends or not np.all(np.isfinite(powers)) or not np.all(steps > 0):
        course = (
            f"ascend from {first:g} to {last:g}" if rises else f"fall from {first:g} to 0 or more"
        )
        raise ValueError(f"{name} must {course}, in at least two numbers, not {shown(values)}")
    return powers


def shown(value: object) -> str:
    """Return a bad value as a message shows it: its repr, cut where it is long.

    Example:
        >>> shown("many")
        "'many'"
    """
    try:
        text = repr(value)
    except Exception as error:
        # Python does not write out integers of thousands of digits, and a repr of the user's may do
        # anything; the sentence must still be said.
        if isinstance(value, int) and isinstance(error, ValueError):
            return f"an integer of {value.bit_length()} bits"
        return f"a {type(value).__name__}"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


class Passed:
    """Objects that have passed a check, and need not be looked at again while they live.

    An object that knows of no weak references is looked at every time.

    Example:
        >>> passed, model = Passed(), type("Model", (), {})()
        >>> passed.add(model)
        >>> model in passed, type(model)() in passed
        (True, False)
    """

    def __init__(self) -> None:
        self._objects: WeakValueDictionary[int, object] = WeakValueDictionary()

    def __contains__(self, value: object) -> bool:
        return self._objects.get(id(value)) is value

    def add(self, value: object) -> None:
        """Note that this object has passed."""
        with suppress(TypeError):
            self._objects[id(value)] = value


def _real(name: str, value: object) -> float:
    """Return a real number as a float, infinite where it is too large for one.

    Raises TypeError where it is no number.
    """
    if isinstance(value, bool | np.bool_) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, not {shown(value)}")
    number: Any = value
    try:
        return float(number)
    except OverflowError:
        return inf if number > 0 else -inf


def _range(least: float, most: float, above: float, below: float) -> str:
    """Return a range in words."""
    low = f"[{least:g}" if least > -inf else f"({above:g}"
    high = f"{most:g}]" if most < inf else f"{below:g})"
    if max(least, above) > -inf and min(most, below) < inf:
        return f"a finite number in {low}, {high}"
    if least > -inf:
        return f"a finite number of at least {least:g}"
    if above > -inf:
        return f"a finite number above {above:g}"
    return "a finite number"
