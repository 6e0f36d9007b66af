"""The workers of an evaluation, what each has under way, and what becomes of that if it is lost.

Each worker has so many runs under way, and is given another as soon as one of them ends. The runs
of one that is lost go to whoever has room; the worker itself is told again what to do, and waits
for that as long as Ray needs to start it again, which may be for ever where its machine is gone.
"""

from __future__ import annotations

import warnings
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from enum import Enum
from math import ceil
from typing import Any

from ..models.identity import Mark
from .engine_worker import NotBegun, Work, Worker
from .records import Record
from .run_engine import Ended

MOST_LOSSES = 5  # of workers with the same run under way
TRIES = 3  # to load the models, of a worker that is lost while it does


class Opening(Enum):
    """What a worker is asked before it gets any work."""

    GREET = "is it there? Ray asks for as long as it needs to start it"
    BEGIN = "load the models"


class Crew:
    """Workers, and what each has under way.

    Args:
        ray: the module.
        count: how many there are.
        needs: the resources of each, as Ray takes them.
        parcel: what each is sent.
        at_once: runs under way in each at any time, at most.

    Attributes:
        marks: what the loaded models do, by argument; None until the first worker says it.
    """

    def __init__(
        self, ray: Any, count: int, needs: Mapping[str, float], parcel: bytes, at_once: int
    ) -> None:
        self._ray = ray
        self.marks: dict[str, Mark] | None = None
        self._lost = (
            ray.exceptions.RayActorError,
            ray.exceptions.ObjectLostError,
            ray.exceptions.NodeDiedError,
            ray.exceptions.WorkerCrashedError,
            ray.exceptions.OutOfMemoryError,
        )
        # some more than are under way, so that one begins as soon as another ends
        self._most = at_once + ceil(at_once / 4)
        self._parcel = ray.put(parcel)
        lasting = {"max_restarts": -1, "max_task_retries": 0, "scheduling_strategy": "SPREAD"}
        actor = ray.remote(Worker).options(**needs, **lasting)
        self._workers = [actor.remote(at_once) for _ in range(count)]
        self._places = [0] * count  # how many more runs each may have under way
        self._lives = [0] * count  # how often each was told what to do
        self._given_up: set[int] = set()
        self._under_way: dict[Any, tuple[int, int, Work | Opening]] = {}
        self._waiting: deque[Work] = deque()
        self._losses: Counter[Work] = Counter()
        self._tries = [0] * count  # to load the models, in which each was lost
        self._expected: Mapping[str, Any] = {}
        for number in range(count):
            self._greet(number)

    def do(
        self, works: Sequence[Work], evaluation: str, marks: Mapping[str, Any], ended: Ended
    ) -> None:
        """Do some work.

        Args:
            works: the pieces.
            evaluation: the digest of the evaluation's arguments.
            marks: the text of what each model does, by argument.
            ended: told of each record as it comes.
        """
        self._expected = marks
        self._check(self.marks or {})
        self._waiting.extend(works)
        left = len(works)
        while left:
            self._hand_out(evaluation)
            records = self.hear()
            if records is not None:
                left -= 1
                for record in records:
                    ended(record)

    def hear(self) -> list[Record] | None:
        """Wait until a worker says something; return the records of a piece of work, if it is that.

        Raises:
            Exception: whatever a run, or loading the models, raised.
        """
        [reference], _ = self._ray.wait(list(self._under_way), num_returns=1)
        number, life, work = self._under_way.pop(reference)
        try:
            said = self._ray.get(reference)
        except self._lost as error:
            self._lose(number, life, work, error)
            return None
        except self._ray.exceptions.RayTaskError as error:
            if not isinstance(error.cause, NotBegun):
                raise error.cause from error
            self._lose(number, life, work, error)
            return None
        if work is Opening.GREET:
            self._begin(number)
            return None
        if work is Opening.BEGIN:
            self._welcome(number, said)
            return None
        if life == self._lives[number]:
            self._places[number] += 1
        return said

    def end(self) -> None:
        """End the workers."""
        for worker in self._workers:
            self._ray.kill(worker)

    def _greet(self, number: int) -> None:
        """Ask whether a worker is there, which it says when it has been started."""
        self._places[number] = 0
        self._lives[number] += 1
        greeted = self._workers[number].greet.options(max_task_retries=-1).remote()
        self._under_way[greeted] = (number, self._lives[number], Opening.GREET)

    def _begin(self, number: int) -> None:
        """Tell a worker what to do."""
        begun = self._workers[number].begin.remote(self._parcel)
        self._under_way[begun] = (number, self._lives[number], Opening.BEGIN)

    def _welcome(self, number: int, marks: dict[str, Mark]) -> None:
        """Take a worker in that has loaded the models."""
        self._check(marks)
        if self.marks is None:
            self.marks = marks
            self._expected = {name: mark.text for name, mark in marks.items()}
        self._places[number], self._tries[number] = self._most, 0

    def _check(self, marks: Mapping[str, Mark]) -> None:
        """Raise ValueError where a worker has loaded other models."""
        for name, mark in marks.items():
            expected = self._expected.get(name, mark.text)
            if mark.text != expected:
                raise ValueError(
                    f"engine: the {name} that a worker has loaded is {mark.text!r}, not "
                    f"{expected!r}: its files must be the same on every machine"
                )

    def _hand_out(self, evaluation: str) -> None:
        """Give work to the workers that have room, evenly."""
        while self._waiting and max(self._places) > 0:
            number = self._places.index(max(self._places))
            work = self._waiting.popleft()
            reference = self._workers[number].records.remote(work, evaluation)
            self._under_way[reference] = (number, self._lives[number], work)
            self._places[number] -= 1

    def _lose(self, number: int, life: int, work: Work | Opening, error: Exception) -> None:
        """Take back what a lost worker had under way, and tell it what to do when it is back.

        Raises:
            RuntimeError: this happened too often.
        """
        if isinstance(work, Opening):
            self._tries[number] += 1
            if self._tries[number] < TRIES:
                self._greet(number)
            else:
                self._give_up(number, error)
            return
        self._losses[work] += 1
        if self._losses[work] == MOST_LOSSES:
            raise RuntimeError(
                f"engine: {MOST_LOSSES} workers were lost with the same run under way (arm "
                f"{work.arm}, repeat {work.repeat}, problem {work.problem}): {_first_line(error)}"
            )
        self._waiting.appendleft(work)
        if life == self._lives[number] and number not in self._given_up:
            self._greet(number)
            warnings.warn(
                f"engine: worker {number + 1} of {len(self._workers)} was lost "
                f"({type(error).__name__}); the runs that it had under way are done again",
                RuntimeWarning,
                stacklevel=2,
            )

    def _give_up(self, number: int, error: Exception) -> None:
        """Go on without a worker that was lost whenever it loaded the models.

        Raises:
            RuntimeError: there is no other.
        """
        self._given_up.add(number)
        if len(self._given_up) == len(self._workers):
            raise RuntimeError(
                "engine: every worker was lost while it loaded the models: " + _first_line(error)
            )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
