"""The thread in which all requests are solved together.

Requests are runs of one `RunGroup`: each joins as soon as there is a place for it, shares its
forward passes with whatever else is under way, and leaves when it has ended or nobody waits for it
any more. The models are touched by this thread and the runs that it lets go on, by no other.
"""

from __future__ import annotations

import logging
from collections import deque
from concurrent.futures import Future
from threading import Condition, Thread
from typing import Any, Generic, TypeVar

from ..models.batching import BatchedRun, Heard, Run, RunGroup
from .refusals import Refusal

T = TypeVar("T")

LOG = logging.getLogger("motes.serving")


class Job(Generic[T]):
    """A run that waits, is under way, or has ended.

    Attributes:
        result: what the run returns or raises, once it has.
    """

    def __init__(self, run: Run[T], heard: Heard | None) -> None:
        self.run, self.heard = run, heard
        self.result: Future[T] = Future()
        self.batched: BatchedRun[T] | None = None
        self.unwanted = False

    def end(self) -> None:
        """Keep what the run returned or raised, if anybody waits for it."""
        assert self.batched is not None
        if not self.result.set_running_or_notify_cancel():
            return
        try:
            value = self.batched.returned()
        except BaseException as error:
            self.result.set_exception(error)
        else:
            self.result.set_result(value)

    def refuse(self, refusal: Refusal) -> None:
        """End without having run to the end."""
        if self.result.set_running_or_notify_cancel():
            self.result.set_exception(refusal)


class Engine:
    """Solves requests together, as they come.

    Args:
        at_once: how many are under way at any time, at most.
        waiting: how many wait for that, at most.

    Example:
        >>> engine = Engine(at_once=2, waiting=0)
        >>> engine.start()
        >>> engine.submit(lambda batched: 17).result.result()
        17
        >>> engine.close()
    """

    def __init__(self, *, at_once: int, waiting: int) -> None:
        self.at_once, self.most_waiting = at_once, waiting
        self._changed = Condition()
        self._waiting: deque[Job[Any]] = deque()
        self._running: list[Job[Any]] = []
        self._open = False
        self._thread = Thread(target=self._work, daemon=True, name="motes engine")

    def start(self) -> None:
        """Begin to take requests."""
        self._open = True
        self._thread.start()

    def close(self) -> None:
        """Give up all that is under way, and end."""
        with self._changed:
            self._open = False
            self._changed.notify()
        self._thread.join()

    @property
    def ready(self) -> bool:
        """Whether requests are taken."""
        return self._open and self._thread.is_alive()

    @property
    def running(self) -> int:
        """How many requests are under way."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """How many requests wait."""
        return len(self._waiting)

    def submit(self, run: Run[T], heard: Heard | None = None) -> Job[T]:
        """Have a run take its turn.

        Args:
            run: a function, as `motes.models.run_batched` takes it.
            heard: told of each of its questions to a model that was answered.

        Raises:
            Refusal: too many wait, or the engine takes no more.
        """
        job: Job[T] = Job(run, heard)
        with self._changed:
            if not self.ready:
                raise Refusal(503, "the server is shutting down")
            most = self.at_once + self.most_waiting
            if len(self._running) + len(self._waiting) >= most:
                raise Refusal(
                    429,
                    f"the server is busy with {most} requests, which is all it takes; try again "
                    "later",
                )
            self._waiting.append(job)
            self._changed.notify()
        return job

    def cancel(self, job: Job[Any]) -> None:
        """Give up a job that nobody waits for any more; what is asked of a model ends first."""
        with self._changed:
            job.unwanted = True
            if job in self._waiting:
                self._waiting.remove(job)
            self._changed.notify()

    def _work(self) -> None:
        group: RunGroup[Any] = RunGroup()
        try:
            while self._admit(group):
                self._drop(group)
                for batched in group.go_on():
                    [job] = [job for job in self._running if job.batched is batched]
                    self._running.remove(job)
                    job.end()
                group.answer()
        except BaseException:
            LOG.exception("the engine failed")
            raise
        finally:
            self._open = False
            group.close()
            with self._changed:
                left = [*self._running, *self._waiting]
                self._running, self._waiting = [], deque()
            for job in left:
                job.refuse(Refusal(503, "the server is shutting down"))

    def _admit(self, group: RunGroup[Any]) -> bool:
        """Let in who waits, as far as there is room; sleep while there is nobody.

        Returns whether the engine is to go on.
        """
        with self._changed:
            while self._open and not (self._running or self._waiting):
                self._changed.wait()
            while self._waiting and len(self._running) < self.at_once:
                job = self._waiting.popleft()
                job.batched = group.join(job.run, job.heard)
                self._running.append(job)
            return self._open

    def _drop(self, group: RunGroup[Any]) -> None:
        """Give up the jobs that nobody wants any more."""
        for job in [job for job in self._running if job.unwanted]:
            assert job.batched is not None
            group.leave(job.batched)
            self._running.remove(job)
