"""What workers are sent: models as they were given, and the task.

A model goes by its name or as a function that loads it; an object goes as it is, where it can be
pickled and holds no weights: those stay where they are, and a worker loads its own.
"""

from __future__ import annotations

import io
import os
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from .run_engine import Models
from .task import Task

LONGEST = 200  # characters of another's error that a sentence quotes


class Parcel(NamedTuple):
    """What a worker needs to know.

    Attributes:
        models: as they were given.
        task: what is to be done.
    """

    models: Models
    task: Task


class _HoldsWeights(Exception):
    """Raised in place of pickling a model that was loaded here."""


def packed(parcel: Parcel) -> bytes:
    """Return a parcel as bytes, with where it comes from: the folder, and where modules are found.

    Raises:
        TypeError: a part of it cannot be sent; the message names it and says what can.
    """
    try:
        content = _pickled(parcel)
    except Exception as error:
        raise _refusal(parcel, error) from error
    return pickle.dumps((os.getcwd(), sys.path, content))


def unpacked(content: bytes) -> Parcel:
    """Return the parcel, in a process that is told where it comes from.

    Raises:
        ValueError: it needs a module that is not here.
    """
    folder, paths, inner = pickle.loads(content)
    if Path(folder).is_dir():
        os.chdir(folder)  # names of files mean the same
    sys.path += [path for path in paths if path not in sys.path]
    try:
        return pickle.loads(inner)
    except (ImportError, AttributeError) as error:
        raise ValueError(
            f"engine: a worker cannot read what it was sent ({_short(error)}); the modules of "
            "models and functions must be found on every machine, as they are here"
        ) from None


def _pickled(value: object) -> bytes:
    """Return anything as bytes, functions of a notebook included."""
    from ray.cloudpickle.cloudpickle import Pickler as CloudPickler

    torch = sys.modules.get("torch")

    class Pickler(CloudPickler):
        def reducer_override(self, obj: Any) -> Any:
            if torch is not None and isinstance(obj, torch.nn.Module):
                raise _HoldsWeights
            return super().reducer_override(obj)

    file = io.BytesIO()
    Pickler(file).dump(value)
    return file.getvalue()


def _refusal(parcel: Parcel, failure: Exception) -> TypeError:
    """Return the error that names the part which cannot be sent."""
    for name, value in _parts(parcel):
        try:
            _pickled(value)
        except Exception as error:
            return TypeError(f"engine: workers cannot be sent {name}: {_why(name, error)}")
    return TypeError(f"engine: workers cannot be sent the task ({_short(failure)})")


def _parts(parcel: Parcel) -> Iterator[tuple[str, Any]]:
    """Yield what the user has given, by the name that he knows it by."""
    models, task = parcel
    yield "lm", models.lm
    yield "prm", models.prm
    yield "correct", task.correct
    for name, value in task.declarations[0].parts().items():
        if name != "question":
            yield name, value
    for arm, sampler in task.arms:
        yield f"samplers[{arm.name!r}]", sampler
    for problem in task.problems:
        yield f"problems[{problem.number}]", problem.given


def _why(name: str, error: Exception) -> str:
    """Return why a part cannot be sent, and what can be."""
    if isinstance(error, _HoldsWeights):
        why = "it holds the weights of a model that was loaded here"
    else:
        why = f"it cannot be pickled ({_short(error)})"
    if name not in ("lm", "prm"):
        return why
    loads = {"lm": "motes.load_lm", "prm": "motes.load_prm"}[name]
    example = f"functools.partial({loads}, 'owner/name')"
    return f"{why}; give its name, or a function that loads it, such as {example}"


def _short(error: Exception) -> str:
    """Return the first line of an error."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:LONGEST]
