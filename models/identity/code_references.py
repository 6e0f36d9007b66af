"""What a function's code refers to, and which code is followed.

Bytecode names globals, attributes and modules; following them from a function leads to all that it
can call. The code of the standard library, of motes and of installed packages is known by name and
not followed, unless the function that is identified is itself from such a package.
"""

from __future__ import annotations

import dis
import sys
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache
from importlib import import_module
from importlib.util import resolve_name
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple

OURS = __name__.partition(".")[0]
# packages that motes stands on, whose code is never a user's
KNOWN = frozenset(
    (
        "blackjax h5py jax jaxlib numpy numpyro scipy sympy tokenizers torch transformers xarray"
    ).split()
)
INSTALLED = {"site-packages", "dist-packages"}
GLOBALS = {"LOAD_GLOBAL", "LOAD_NAME"}
ATTRIBUTES = {"LOAD_ATTR", "LOAD_METHOD", "IMPORT_FROM"}
MUTATORS = set(
    (
        "add append appendleft clear discard extend insert pop popitem popleft remove setdefault "
        "update"
    ).split()
)
MISSING = "a name that is not bound"
CONSTRUCTORS = ("__init__", "__new__", "__post_init__", "__setstate__")


class Reference(NamedTuple):
    """One thing that code refers to.

    Attributes:
        name: as the code calls it.
        value: what that is now; `MISSING` where it is not bound.
    """

    name: str
    value: Any


class Names(NamedTuple):
    """The names in code and in the functions inside it.

    Attributes:
        read: globals.
        attributes: attributes of anything, and names imported from modules.
        modules: modules that it imports while it runs, each with the number of its leading dots.
        stored: attributes of anything that it sets, or whose content it changes.
    """

    read: frozenset[str]
    attributes: frozenset[str]
    modules: frozenset[tuple[str, int]]
    stored: frozenset[str]


@lru_cache(4096)
def names_in(code: CodeType) -> Names:
    """Return the names that code and the code inside it mention."""
    read, attributes, modules, stored = set(), set(), set(), set()
    constants: list[Any] = []
    for part in nested(code):
        stored |= _changed_inside(list(dis.get_instructions(part)))
        for instruction in dis.get_instructions(part):
            if instruction.opname in GLOBALS:
                read.add(instruction.argval)
            elif instruction.opname in ATTRIBUTES:
                attributes.add(instruction.argval)
            elif instruction.opname == "STORE_ATTR":
                stored.add(instruction.argval)
            elif instruction.opname == "IMPORT_NAME":
                # the level and the names are the two constants before
                modules.add((instruction.argval, constants[-2] if len(constants) > 1 else 0))
            elif instruction.opname == "LOAD_CONST":
                constants.append(instruction.argval)
    return Names(frozenset(read), frozenset(attributes), frozenset(modules), frozenset(stored))


def nested(code: CodeType) -> Iterator[CodeType]:
    """Yield the code itself, and that of every function, class and comprehension written in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from nested(constant)


def references(function: FunctionType, followed: frozenset[str]) -> list[Reference]:
    """Return the globals that a function's code refers to, in the order of their names.

    What it takes from modules whose code is followed comes after the module itself.
    """
    names, within = names_in(function.__code__), function.__globals__
    found = []
    for name in sorted(names.read):
        builtins = within.get("__builtins__", {})
        builtins = vars(builtins) if isinstance(builtins, ModuleType) else builtins
        value = within.get(name, builtins.get(name, MISSING))
        found.append(Reference(name, value))
        if isinstance(value, ModuleType):
            found += _taken_from(value, names.attributes, followed)
    for name, level in sorted(names.modules):
        module = _imported(name, level, within)
        if module is not None:
            found += _taken_from(module, names.attributes, followed)
    return found


def set_by(kinds: Iterable[type]) -> frozenset[str]:
    """Return the attributes that the methods of these classes set."""
    functions = [_function(value) for kind in kinds for value in vars(kind).values()]
    codes = [function.__code__ for function in functions if function is not None]
    return frozenset(name for code in codes for name in names_in(code).stored)


@lru_cache(1024)
def changed_while_running(kind: type) -> frozenset[str]:
    """Return attributes that a class sets after an object was made: counters, caches."""
    methods = {}
    for each in reversed(kind.__mro__):
        functions = {name: _function(value) for name, value in vars(each).items()}
        methods |= {name: value for name, value in functions.items() if value is not None}
    making, pending = set(), [name for name in CONSTRUCTORS if name in methods]
    while pending:
        name = pending.pop()
        if name not in making:
            making.add(name)
            pending += [
                called
                for called in names_in(methods[name].__code__).attributes
                if called in methods
            ]
    running = [method for name, method in methods.items() if name not in making]
    return frozenset(name for method in running for name in names_in(method.__code__).stored)


def followed_from(value: object) -> frozenset[str]:
    """Return the package of what is identified, whose code is followed although it is installed."""
    home = getattr(value, "__module__", None) or getattr(type(value), "__module__", None)
    root = str(home).partition(".")[0]
    known = root in sys.stdlib_module_names or root in KNOWN or root == OURS
    return frozenset() if known else frozenset([root])


@cache
def is_library(module: str, followed: frozenset[str]) -> bool:
    """Return whether what this module holds is known by its name alone."""
    root = module.partition(".")[0]
    if root in sys.stdlib_module_names or root == OURS or root == "builtins":
        return root != "__main__"
    if root in followed:
        return False
    file = getattr(sys.modules.get(module) or sys.modules.get(root), "__file__", None)
    return file is not None and not INSTALLED.isdisjoint(Path(file).parts)


def _changed_inside(instructions: list[dis.Instruction]) -> set[str]:
    """Return attributes whose content code changes, as `self.seen.append(x)` does."""
    found = set()
    for place, instruction in enumerate(instructions):
        container = None
        if instruction.opname in ATTRIBUTES and instruction.argval in MUTATORS:
            container = place - 1
        elif instruction.opname in ("STORE_SUBSCR", "DELETE_SUBSCR"):
            container = _before_one_value(instructions, place)
        if (
            container is not None
            and container >= 0
            and instructions[container].opname == "LOAD_ATTR"
        ):
            found.add(instructions[container].argval)
    return found


def _before_one_value(instructions: list[dis.Instruction], place: int) -> int | None:
    """Return the place of the instruction after which one value, a key, is made by `place`."""
    made = 0
    for before in range(place - 1, -1, -1):
        instruction = instructions[before]
        made += dis.stack_effect(instruction.opcode, instruction.arg)
        if made == 1:
            return before - 1
    return None


def _function(value: object) -> FunctionType | None:
    """Return the function that a class holds under a method's name; None if it is no function."""
    for name in ("__func__", "fget", "func", "__wrapped__"):
        value = getattr(value, name, value)
    return value if isinstance(value, FunctionType) else None


def _taken_from(
    module: ModuleType, attributes: frozenset[str], followed: frozenset[str]
) -> list[Reference]:
    if is_library(module.__name__, followed):
        return []
    held, found = vars(module), []
    for name in sorted(attributes & held.keys()):
        found.append(Reference(f"{module.__name__}.{name}", held[name]))
        if isinstance(held[name], ModuleType) and held[name] is not module:
            found += _taken_from(held[name], attributes, followed)
    return found


def _imported(name: str, level: int, within: dict[str, Any]) -> ModuleType | None:
    """Return a module that a function imports when it runs; None where it cannot be."""
    try:
        package = within.get("__package__") or str(within.get("__name__", "")).rpartition(".")[0]
        return import_module(resolve_name("." * level + name, package) if level else name)
    except Exception:  # as the function itself will find
        return None
