"""A worker: a process that holds the models once, and does runs that share forward passes.

Runs come one by one, while others are under way, and each joins at the next step. One thread does
the work, so that the process hears of new runs and sends records meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from typing import Any, NamedTuple, TypeVar

from ..models.batching import BatchedRun, RunGroup
from ..models.identity import Mark
from .allocated_arms import recorded_together
from .engine_parcel import Parcel, unpacked
from .plan import Key, Place
from .records import Record
from .run_engine import marks_of
from .task import Task, recorded

T = TypeVar("T")


class Work(NamedTuple):
    """What a worker does in one call: a run, or the runs of an arm that share a budget.

    Attributes:
        arm, repeat: their numbers.
        problem: its number; None for all, which is how runs share a budget.
    """

    arm: int
    repeat: int
    problem: int | None = None


class NotBegun(RuntimeError):
    """A worker has no models: it was started again, and has not been told what to do."""


class Worker:
    """Does runs of an evaluation, in a process of its own.

    Args:
        at_once: runs under way at any time, at most.
    """

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._parcel: Parcel | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="runs")
        self._group: RunGroup[Record] = RunGroup()
        self._waiting: list[tuple[Any, asyncio.Future[Record]]] = []
        self._under_way: dict[BatchedRun[Record], asyncio.Future[Record]] = {}
        self._going: asyncio.Task[None] | None = None

    async def greet(self) -> None:
        """Do nothing: that this returns says that the worker is there."""

    async def begin(self, parcel: bytes) -> dict[str, Mark]:
        """Load the models, and return what those do that had to be loaded, by argument.

        Raises:
            ValueError: the parcel cannot be read here.
        """
        if self._parcel is None:
            self._parcel = await self._call(unpacked, parcel)
            await self._call(lambda: self._loaded)
        return await self._call(marks_of, self._parcel.models, self._loaded)

    async def records(self, work: Work, evaluation: str) -> list[Record]:
        """Do a piece of work.

        Args:
            work: what to do.
            evaluation: the digest of the evaluation's arguments, which records bear.

        Raises:
            NotBegun: there are no models.
        """
        if self._parcel is None:
            raise NotBegun
        task = self._parcel.task._replace(evaluation=evaluation)
        if work.problem is None:
            return await self._call(self._together, task, work)
        place = Place(work.problem, work.arm, work.repeat)
        return [await self._join(partial(recorded, task, place, self._keys[place], self._loaded))]

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        assert self._parcel is not None
        return self._parcel.models.loaded()

    @cached_property
    def _keys(self) -> dict[Place, Key]:
        assert self._parcel is not None
        return self._parcel.task.plan.keys()

    async def _call(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call a function in the thread that does the work."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)

    def _together(self, task: Task, work: Work) -> list[Record]:
        return list(recorded_together(task, work.arm, work.repeat, self._keys, self._loaded))

    async def _join(self, run: Callable[[Any], Record]) -> Record:
        """Do a run together with whatever else is under way."""
        ended: asyncio.Future[Record] = asyncio.get_running_loop().create_future()
        self._waiting.append((run, ended))
        if self._going is None or self._going.done():
            self._going = asyncio.create_task(self._go_on())
        return await ended

    async def _go_on(self) -> None:
        """Let runs go on until none is left."""
        while self._waiting or self._under_way:
            self._admit()
            for run in await self._call(self._group.go_on):
                self._end(run)
            await self._call(self._group.answer)

    def _admit(self) -> None:
        while self._waiting and len(self._under_way) < self._at_once:
            run, ended = self._waiting.pop(0)
            self._under_way[self._group.join(run)] = ended

    def _end(self, run: BatchedRun[Record]) -> None:
        """Say what came of a run to whoever waits for it."""
        ended = self._under_way.pop(run)
        try:
            ended.set_result(run.returned())
        except Exception as error:
            ended.set_exception(error)
        except BaseException as error:  # an interrupt in one of the user's functions
            ended.set_exception(RuntimeError(f"a run ended by {type(error).__name__}"))
