"""Decoding in fixed shapes: as it is, compiled by torch, or captured as CUDA graphs.

The shapes are those of `motes.models.hosting.static_rows`. A forward pass of one token a row is
then one function of tensors that stay where they are:

    static      runs it as it is;
    compiled    compiles it, once a shape (`torch.compile`; on CUDA it is captured, too);
    graphs      captures it, once a shape, as a CUDA graph, which is replayed without the host.

Each compiled shape costs seconds to minutes, once a process. Shapes beyond `MOST` run as they are.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any

import torch

from ...aliases import Network
from ..callbacks import weakly
from .kv import Rows, cache_argument
from .shared_attention import attention_named
from .static_rows import NAME, Arena, Shape, StaticRows, Step
from .tree_cache import Tokens, TreeCache

PLAIN = "plain"
KINDS = (PLAIN, "static", "compiled", "graphs")
MOST = 64  # shapes that are compiled or captured


def check_decoding(kind: str) -> str:
    """Return the name of a way to decode, if it is one.

    Example:
        >>> check_decoding("static")
        'static'
    """
    if kind not in KINDS:
        raise ValueError(f"decoding must be one of {', '.join(KINDS)}, not {kind!r}")
    return kind


class StaticDecoding:
    """Reads a token a row in fixed shapes.

    Args:
        tree: of the model; what rows have read is kept there.
        kind: one of `KINDS`, but "plain".
        name: of the model, for errors.

    Attributes:
        shapes: those that were compiled or captured.

    Raises:
        ValueError: the model attends in windows or in a way of its own, it is spread over devices,
            or CUDA graphs are wanted elsewhere.
    """

    def __init__(self, tree: TreeCache, kind: str, name: str) -> None:
        self.tree, self.kind = tree, check_decoding(kind)
        pool, places = tree.pool, {weight.device for weight in tree.model.parameters()}
        if kind == "graphs" and tree.device.type != "cuda":
            raise ValueError(
                f"decoding='graphs' needs a CUDA device, and {name!r} is on {str(tree.device)!r}"
            )
        if not pool.shares or len(places) != 1:
            raise ValueError(
                f"decoding must be 'plain' for {name!r}: it attends in windows or in a way of its "
                "own, or is spread over devices"
            )
        self._pass = _pass_of(tree.model)
        self._compiled: dict[Shape, Callable[[Step], torch.Tensor]] = {}
        self.shapes: set[Shape] = set()
        self._arena = Arena(
            layers=pool.layers,
            heads=pool.heads,
            dims=pool.dims,
            dtype=pool.dtype,
            device=pool.device,
            make=weakly(self._made),
        )

    def placed(self, rows: Rows) -> StaticRows:
        """Copy a batch that is to be decoded into fixed shapes."""
        began = time.perf_counter()
        placed = self._arena.placed(rows)
        self.tree.on_move(time.perf_counter() - began)
        return placed

    def select(self, rows: StaticRows, index: Sequence[int]) -> StaticRows:
        """Select rows of a batch; the batch itself is used up."""
        began = time.perf_counter()
        selected = self._arena.moved(rows, index)
        self.tree.on_move(time.perf_counter() - began)
        return selected

    def forward(self, rows: StaticRows, tokens: torch.Tensor, alive: torch.Tensor) -> torch.Tensor:
        """Read one token a row (alive: 1 where the row's step goes on); the logits behind it.

        They are overwritten by the next forward pass.
        """
        if rows.columns - rows.shared_columns == rows.step.shape.own:
            began = time.perf_counter()
            wider = self._arena.moved(rows, range(rows.count), more=1)
            rows.step, rows.lengths = wider.step, wider.lengths
            self.tree.on_move(time.perf_counter() - began)
        began = time.perf_counter()
        with attention_named(self.tree.model, NAME):
            logits = rows.add(tokens, alive)
        self.tree.on_forward(Tokens(0, 0, 0), time.perf_counter() - began)
        return logits

    def drop(self) -> None:
        """Give the memory of all shapes back, and forget their graphs."""
        self._arena.drop()

    def _made(self, shape: Shape) -> Callable[[Step], torch.Tensor]:
        """Return what runs the forward pass of a step of some shape."""
        if self.kind == "static" or (shape not in self.shapes and len(self.shapes) == MOST):
            return self._pass
        self.shapes.add(shape)
        run = self._pass
        if self.kind == "compiled":
            if shape not in self._compiled:
                self._compiled[shape] = _compiled(self._pass, shape)
            run = self._compiled[shape]
        return Captured(run) if self.tree.device.type == "cuda" else run


class Captured:
    """A function of a step, whose tensors stay where they are, as a CUDA graph.

    Args:
        run: the function; what it returns is overwritten by the next call.
    """

    def __init__(self, run: Callable[[Step], torch.Tensor]) -> None:
        self._run, self._graph = run, None

    def __call__(self, step: Step) -> torch.Tensor:
        """Run it, always on the same step.

        The first time it is captured, after calls that allocate and compile.
        """
        if self._graph is None:
            aside = torch.cuda.Stream()
            aside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(aside):
                for _ in range(3):
                    self._run(step)
            torch.cuda.current_stream().wait_stream(aside)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                self._output = self._run(step)
            self._graph = graph
        self._graph.replay()
        return self._output


def _pass_of(model: Network) -> Callable[[Step], torch.Tensor]:
    """Return the forward pass of a step: logits (rows, vocabulary)."""
    spares_head = "logits_to_keep" in inspect.signature(model.forward).parameters
    names: dict[str, Any] = {"logits_to_keep": 1} if spares_head else {}
    cache = cache_argument(model)

    def read(step: Step) -> torch.Tensor:
        options = {**names, cache: step.cache, "motes_shared": step.shared}
        return model(
            input_ids=step.ids,
            attention_mask=step.mask,
            position_ids=step.positions,
            use_cache=True,
            **options,
        ).logits[:, -1]

    return read


def _compiled(read: Any, shape: Shape) -> Callable[[Step], torch.Tensor]:
    """Compile a forward pass for one shape alone.

    torch keeps what it has compiled by code object, tries one after the other at every call, and
    gives up after eight; so each shape has a code object of its own.
    """
    name = "read_{}_{}_{}".format(*shape)
    code = read.__code__.replace(co_name=name)
    own = FunctionType(code, read.__globals__, name, None, read.__closure__)
    return torch.compile(own, dynamic=False, fullgraph=True)
