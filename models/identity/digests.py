"""Digests of values of any kind: equal for what does the same, different for what may not.

The digest of a value is the SHA-256 of its kind and of the digests of its parts, in an order that
is the same in every process. A part that is met again on the way down (a function that calls
itself) is written as its distance. What cannot be known is written as its kind and reported as a
doubt.
"""

from __future__ import annotations

import copyreg
import functools
import types
import warnings
import weakref
from collections.abc import Iterable
from enum import Enum
from hashlib import sha256
from inspect import getattr_static
from typing import Any

import numpy as np

from ..cost import Cost
from ..protocols import underlying
from ..trajectory import Trajectory
from .code_references import OURS, changed_while_running, is_library, references, set_by
from .weight_digests import hosted_parts

PLAIN = (type(None), bool, int, float, complex, str, bytes, range, type(...), type(NotImplemented))
BUILT_IN = (
    types.BuiltinFunctionType,
    types.MethodDescriptorType,
    types.WrapperDescriptorType,
    types.GetSetDescriptorType,
    types.MemberDescriptorType,
    np.ufunc,
)
CONTAINERS = (dict, list, tuple, set, frozenset)
# of a code's flags: takes *args, takes **kwargs, is a generator, a coroutine, either asynchronously
BEHAVIOUR = 0x04 | 0x08 | 0x20 | 0x80 | 0x100 | 0x200
WEAK = (weakref.ref, weakref.WeakKeyDictionary, weakref.WeakValueDictionary, weakref.WeakSet)
NOT_BEHAVIOUR = {
    "_abc_impl",
    "_is_protocol",
    "_is_runtime_protocol",
    *(
        f"__{name}__"
        for name in (
            "abstractmethods annotate annotate_func annotations annotations_cache "
            "dataclass_fields dataclass_params dict doc firstlineno match_args module "
            "non_callable_proto_members__ orig_bases parameters protocol_attrs slots "
            "static_attributes weakref"
        ).split()
    ),
}


class Digests:
    """Digests of several values that belong together.

    Args:
        followed: packages whose code is followed although they are installed.

    Attributes:
        doubts: what could not be known, in words, each once, in the order it was met.
    """

    def __init__(self, followed: frozenset[str] = frozenset()) -> None:
        self.followed = followed
        self.doubts: dict[str, None] = {}
        self._done: dict[int, bytes] = {}
        self._open: dict[int, int] = {}
        self._held: list[Any] = []  # so that no other value gets the same id meanwhile

    def of(self, value: Any) -> bytes:
        """Return the digest of a value, 32 bytes."""
        value = underlying(value)
        if hasattr(type(value), "recorded_digest"):  # it answers what another model answered
            return value.recorded_digest
        if type(value) in PLAIN:
            return joined(type(value).__name__, repr(value).encode())
        if id(value) in self._done:
            return self._done[id(value)]
        if id(value) in self._open:
            distance = len(self._open) - self._open[id(value)]
            return joined("met again", str(distance).encode())
        self._held.append(value)
        self._open[id(value)] = len(self._open)
        try:
            kind, *parts = self._parts(value)
            found = joined(kind, *parts)
        except RecursionError:
            raise
        except Exception as error:  # of the value's own methods
            self.doubts[f"{described(value)} ({error})"] = None
            found = joined("unknown", described(value).encode())
        finally:
            del self._open[id(value)]
        self._done[id(value)] = found
        return found

    def _parts(self, value: object) -> Iterable[Any]:
        """Return the kind of a value, and the bytes that tell it from others of its kind."""
        own = own_fingerprint(value)
        if own is not None:
            return "vouched", own.encode()
        for kinds, parts in _BY_KIND:
            if isinstance(value, kinds):
                return parts(self, value)
        wrapped = getattr_static(value, "__wrapped__", None)
        if callable(wrapped):  # a cache of its results, or a compiled function
            return "wrapped", self.of(wrapped)
        hosted = hosted_parts(value, self.of)
        return self._object(value) if hosted is None else hosted

    def _array(self, value: np.ndarray) -> Iterable[Any]:
        shape = f"{value.dtype} {value.shape}".encode()
        if value.dtype == object:
            return "array", shape, *map(self.of, value.ravel().tolist())
        return "array", shape, np.ascontiguousarray(value).tobytes()

    def _container(self, value: Iterable[Any]) -> Iterable[Any]:
        """Return what a container holds; and if it is of another class, what else it is."""
        if isinstance(value, dict):
            if any(isinstance(key, Trajectory) for key in value):
                return ("a cache of trajectories",)
            parts = sorted(self.of(key) + self.of(item) for key, item in value.items())
        elif isinstance(value, list | tuple):
            parts = list(map(self.of, value))
        else:
            parts = sorted(map(self.of, value))
        exact = type(value) in CONTAINERS
        return type(value).__name__, *parts, *([] if exact else self._state(value))

    def _code(self, code: types.CodeType) -> Iterable[Any]:
        arguments = code.co_argcount + code.co_kwonlyargcount
        plain = (
            code.co_posonlyargcount,
            code.co_argcount,
            code.co_kwonlyargcount,
            code.co_flags & BEHAVIOUR,
            code.co_varnames[:arguments],
            code.co_names,
        )
        table = getattr(code, "co_exceptiontable", b"")
        constants = map(self.of, code.co_consts)
        return "code", code.co_code, table, repr(plain).encode(), *constants

    def _function(self, function: types.FunctionType) -> Iterable[Any]:
        """Return a function's code, what is bound to it, and what its code refers to."""
        name = function.__qualname__.encode()
        cells = [self._cell(cell) for cell in function.__closure__ or ()]
        module = str(function.__globals__.get("__name__", ""))
        nameless = "<" in function.__qualname__  # a lambda, or made by a call: no name tells it
        if is_library(module, self.followed) and not nameless:
            module = str(function.__module__).encode()
            return "function of a library", module, name, *cells
        bound = (function.__defaults__, function.__kwdefaults__, function.__dict__)
        referred = []
        for reference in references(function, self.followed):
            referred += [reference.name.encode(), self.of(reference.value)]
        return "function", self.of(function.__code__), *cells, *map(self.of, bound), *referred

    def _cell(self, cell: types.CellType) -> bytes:
        try:
            return self.of(cell.cell_contents)
        except ValueError:  # nothing is bound to it yet
            return joined("an empty cell")

    def _built_in(self, value: object) -> Iterable[Any]:
        owner = getattr(value, "__self__", None)
        bound = owner is not None and not isinstance(owner, types.ModuleType)
        return "built in", described(value).encode(), *([self.of(owner)] if bound else [])

    def _class(self, kind: type) -> Iterable[Any]:
        """Digest a user's class by its methods and attributes.

        Those that it inherits from users' classes belong to it.
        """
        if is_library(kind.__module__, self.followed):
            return "class of a library", kind.__module__.encode(), kind.__qualname__.encode()
        parts: list[Any] = [kind.__qualname__.encode()]
        for name, value in sorted(vars(kind).items()):
            if name not in NOT_BEHAVIOUR:
                parts += [name.encode(), self.of(value)]
        return "class", *parts, *map(self.of, kind.__bases__)

    def _object(self, value: object) -> Iterable[Any]:
        kind = type(value)
        library = is_library(kind.__module__, self.followed)
        if library and kind.__module__.partition(".")[0] != OURS:
            return self._reduced(value)
        return "object", *self._state(value)

    def _state(self, value: object) -> list[bytes]:
        """Return the class of an object, and its attributes but those that change as it runs."""
        kind = type(value)
        ours = {base for base in kind.__mro__ if base.__module__.partition(".")[0] == OURS}
        changed, inner = changed_while_running(kind), set_by(ours)
        parts = [self.of(kind)]
        for name, attribute in sorted(attributes_of(value).items()):
            if name == "cost" or (name in inner and (name.startswith("_") or name in changed)):
                continue
            if name not in changed:
                parts += [name.encode(), self.of(attribute)]
            else:
                self.doubts[f"{kind.__qualname__}.{name}, which changes as it runs"] = None
        return parts

    def _reduced(self, value: object) -> Iterable[Any]:
        """Return an object of a library by what it would be pickled as."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            registered = copyreg.dispatch_table.get(type(value))
            reduced = registered(value) if registered else value.__reduce_ex__(4)
        if isinstance(reduced, str):
            return "library object", described(value).encode(), reduced.encode()
        made_by, arguments, *rest = reduced
        state, items, pairs = [*rest, None, None, None][:3]
        content = [self.of(part) for part in (made_by, arguments, state)]
        content += map(self.of, items or ())
        content += sorted(self.of(key) + self.of(item) for key, item in pairs or ())
        return "library object", *content


_BY_KIND: tuple[tuple[Any, Any], ...] = (
    (WEAK, lambda digests, value: ("weak references",)),
    (Cost, lambda digests, value: ("cost",)),
    (Trajectory, lambda digests, value: ("trajectory", *map(digests.of, said(value)))),
    (Enum, lambda digests, value: ("enum", described(value).encode(), value.name.encode())),
    ((np.ndarray, np.generic), Digests._array),
    ((*CONTAINERS, types.MappingProxyType), Digests._container),
    (types.CodeType, Digests._code),
    (types.FunctionType, Digests._function),
    (types.MethodType, lambda digests, value: ("method", *map(digests.of, bound_parts(value)))),
    (BUILT_IN, Digests._built_in),
    ((staticmethod, classmethod), lambda digests, value: ("method", digests.of(value.__func__))),
    (property, lambda digests, value: ("property", *map(digests.of, accessors(value)))),
    (functools.partial, lambda digests, value: ("partial", *map(digests.of, call_parts(value)))),
    (functools.cached_property, lambda digests, value: ("property", digests.of(value.func))),
    (types.ModuleType, lambda digests, value: ("module", value.__name__.encode())),
    (type, Digests._class),
)


def joined(kind: str, *parts: bytes) -> bytes:
    """Return the SHA-256 of a kind and some parts, none of which can run into another."""
    total = sha256(kind.encode())
    for part in parts:
        total.update(len(part).to_bytes(8, "big"))
        total.update(part)
    return total.digest()


def own_fingerprint(value: Any) -> str | None:
    """Return what a value says of itself by an attribute or a method `fingerprint`.

    Raises:
        TypeError: it is not a text.
    """
    if isinstance(value, type) or getattr_static(value, "fingerprint", None) is None:
        return None
    defining = [kind for kind in type(value).__mro__ if "fingerprint" in vars(kind)]
    if defining and defining[0].__module__.partition(".")[0] == OURS:
        return None  # which is what is being computed here
    own = value.fingerprint
    own = own() if callable(own) else own
    if not isinstance(own, str) or not own:
        raise TypeError(f"fingerprint of {described(value)} must be a text, not {own!r}")
    return own


def described(value: object) -> str:
    """Return what a value is called in a sentence: its own name, or that of its class."""
    name = getattr_static(value, "__qualname__", None)
    if not isinstance(name, str):
        name = getattr(value, "__qualname__", None)
    if isinstance(name, str):
        return name
    return f"a {type(value).__module__}.{type(value).__qualname__}"


def attributes_of(value: object) -> dict[str, Any]:
    """Return the attributes that an object holds itself, in its dictionary and in slots."""
    found = dict(getattr(value, "__dict__", {}))
    for kind in type(value).__mro__:
        slots = vars(kind).get("__slots__", ())
        for name in [slots] if isinstance(slots, str) else slots:
            mangled = f"_{kind.__name__.lstrip('_')}{name}"
            hidden = name.startswith("__") and not name.endswith("__")
            place = mangled if hidden else name
            if hasattr(value, place) and name not in NOT_BEHAVIOUR:
                found[name] = getattr(value, place)
    return found


def said(trajectory: Trajectory) -> tuple[Any, ...]:
    """Return what tells a trajectory from others."""
    return trajectory.question, trajectory.token_ids, trajectory.finished, trajectory.truncated


def bound_parts(method: types.MethodType) -> tuple[Any, Any]:
    """Return a method's function and the object that it is bound to."""
    return method.__func__, method.__self__


def accessors(value: property) -> tuple[Any, Any, Any]:
    """Return the functions of a property."""
    return value.fget, value.fset, value.fdel


def call_parts(value: functools.partial[Any]) -> tuple[Any, ...]:
    """Return what a partial function calls, and with what."""
    return value.func, value.args, value.keywords
