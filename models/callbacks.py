"""Methods handed to a part of the object that they belong to."""

from __future__ import annotations

from collections.abc import Callable
from inspect import ismethod
from typing import ParamSpec, TypeVar
from weakref import WeakMethod

P = ParamSpec("P")
T = TypeVar("T")


def weakly(call: Callable[P, T]) -> Callable[P, T]:
    """Return a function that does the same and does not keep the object of a method alive.

    A model that hands its own methods to a part of itself would otherwise live on, with its
    weights, until Python looks for circles: `del lm` would free no memory of a GPU.

    Args:
        call: a bound method of an object that outlives the function; other functions are returned
            as they are.

    Raises:
        ReferenceError: called when the object is gone.

    Example:
        >>> class Count:
        ...     total = 0
        ...     def add(self, number):
        ...         self.total += number
        >>> count = Count()
        >>> weakly(count.add)(2)
        >>> count.total
        2
    """
    if not ismethod(call):
        return call
    held = WeakMethod(call)

    def called(*args: P.args, **kwargs: P.kwargs) -> T:
        method = held()
        if method is None:
            raise ReferenceError("the object that this method belongs to is gone")
        return method(*args, **kwargs)

    return called
