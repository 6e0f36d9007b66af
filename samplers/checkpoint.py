"""The state of a run on disk: plain JSON, from which it is taken up as if it had never stopped.

Kept are plain values, arrays, named tuples of motes, and trajectories, which share their prefixes
in the file as they do in memory. Floating-point numbers are written so that they are read back bit
by bit. Nothing in the file is executed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from ..files import replacing
from ..models import Cost, Opening, Trajectory
from ..smc.arrays import objects

FORMAT = 4
PACKAGE = __name__.split(".")[0]


def save(path: str | Path, identity: Mapping[str, Any], state: object, cost: Cost) -> None:
    """Write a run's state; all of it or nothing.

    Args:
        path: the file, replaced if it is there.
        identity: what the run is, in plain values: only a run of the same identity takes it up.
        state: see this module's description.
        cost: what the run has cost so far.

    Raises:
        OSError: the file cannot be written.
        TypeError: the state holds something that is not kept.
    """
    writer = _Writer()
    tree = writer.written(state)
    content = {
        "motes": FORMAT,
        "identity": identity,
        "nodes": writer.nodes,
        "state": tree,
        "cost": cost.asdict(),
    }
    with replacing(path) as partial, partial.open("w", encoding="utf-8") as file:
        json.dump(content, file)


def load(path: str | Path, identity: Mapping[str, Any]) -> tuple[Any, Cost] | None:
    """Load a run's state and cost; None where there is no such file.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not a checkpoint, or one of another run; the message says what differs.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (UnicodeDecodeError, json.JSONDecodeError):
        content = None
    if not isinstance(content, dict) or content.get("motes") != FORMAT:
        raise ValueError(f"{str(path)!r} is not a checkpoint of this version of motes")
    there, here = content["identity"], json.loads(json.dumps(identity))
    for name in {**there, **here}:
        if there.get(name) != here.get(name):
            raise ValueError(
                f"{str(path)!r} is the checkpoint of another run: its {name} is "
                f"{there.get(name)!r}, not {here.get(name)!r}"
            )
    return _Reader(content["nodes"]).read(content["state"]), Cost(**content["cost"])


class _Writer:
    """Turns a state into what JSON can hold; trajectories are numbered, parents first."""

    def __init__(self) -> None:
        self.nodes: list[list[Any]] = []
        self._numbers: dict[Trajectory, int] = {}

    def written(self, value: object) -> Any:
        match value:
            case None | bool() | str():
                return value
            case int() | float():  # JSON has no infinities: Python's reads and writes them
                return value
            case np.generic():
                return value.item()
            case np.ndarray() if value.dtype == object:
                return {"objects": [self.written(item) for item in value]}
            case np.ndarray():
                return {
                    "array": value.ravel().tolist(),
                    "dtype": str(value.dtype),
                    "shape": value.shape,
                }
            case Trajectory():
                return {"node": self._number(value)}
            case tuple() if hasattr(value, "_fields"):
                kind = type(value)
                return {
                    "kind": f"{kind.__module__}:{kind.__name__}",
                    "fields": [self.written(item) for item in value],
                }
            case tuple():
                return {"tuple": [self.written(item) for item in value]}
            case list():
                return [self.written(item) for item in value]
            case dict():
                return {
                    "dict": [[self.written(key), self.written(item)] for key, item in value.items()]
                }
            case _:
                raise TypeError(f"a state cannot hold {value!r}")

    def _number(self, node: Trajectory) -> int:
        for ancestor in node.path:
            if ancestor not in self._numbers:
                parent = None if ancestor.parent is None else self._numbers[ancestor.parent]
                said = (
                    ancestor.step_text,
                    list(ancestor.step_token_ids),
                    ancestor.logprob,
                    ancestor.proposal_logprob,
                )
                ended = ancestor.finished, ancestor.truncated, ancestor.delimited, ancestor.answer
                terms = list(ancestor.component_logprobs)
                opening = [] if ancestor.opening == Opening() else [list(ancestor.opening)]
                self.nodes.append([parent, ancestor.question, *said, *ended, terms, *opening])
                self._numbers[ancestor] = len(self.nodes) - 1
        return self._numbers[node]


class _Reader:
    """The inverse of `_Writer`."""

    def __init__(self, nodes: list[list[Any]]) -> None:
        self._nodes: list[Trajectory] = []
        for parent, question, text, token_ids, logprob, proposal_logprob, *ended in nodes:
            finished, truncated, delimited, answer, terms, *opening = ended
            above = None if parent is None else self._nodes[parent]
            self._nodes.append(
                Trajectory(
                    question=question,
                    parent=above,
                    depth=0 if above is None else above.depth + 1,
                    step_text=text,
                    step_token_ids=tuple(token_ids),
                    logprob=logprob,
                    proposal_logprob=proposal_logprob,
                    finished=finished,
                    truncated=truncated,
                    delimited=delimited,
                    answer=answer,
                    opening=Opening(*opening[0]) if opening else Opening(),
                    component_logprobs=tuple(terms),
                )
            )

    def read(self, value: object) -> Any:
        match value:
            case {"objects": items}:
                return objects(self.read(item) for item in items)
            case {"array": items, "dtype": dtype, "shape": shape}:
                return np.array(items, dtype).reshape(shape)
            case {"node": number}:
                return self._nodes[number]
            case {"kind": kind, "fields": items}:
                return self._kind(kind)(*(self.read(item) for item in items))
            case {"tuple": items}:
                return tuple(self.read(item) for item in items)
            case {"dict": items}:
                return {self.read(key): self.read(item) for key, item in items}
            case list():
                return [self.read(item) for item in value]
            case _:
                return value

    @staticmethod
    def _kind(name: str) -> type:
        module, _, kind = name.partition(":")
        found = (
            getattr(import_module(module), kind, None) if module.split(".")[0] == PACKAGE else None
        )
        if not (isinstance(found, type) and issubclass(found, tuple) and hasattr(found, "_fields")):
            raise ValueError(f"a checkpoint cannot hold {name!r}")
        return found
