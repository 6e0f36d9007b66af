"""Several runs at a time, over the same models: what they ask at one moment goes out as one batch.

Every run is an ordinary function in a thread of its own, and is given a function that maps a model
to its stand-in. Only one thread runs at any time: each goes on until it asks something of a model,
then the next one; when all are waiting their questions are put together, answered, and each goes on
in turn. So the order of events is fixed, and since random numbers belong to slots, every run draws
what it would draw alone (up to the rounding of larger batches).

What a batch has cost is shared out: generated tokens by who drew them, all else in proportion to
the rows that each run asked about. So is its time (see `motes.models.own_time`): the seconds of all
runs add up to those that passed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, replace
from functools import partial
from itertools import islice
from threading import Semaphore, Thread
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from . import calls
from .batched_methods import METHODS, offered
from .cost import Cost
from .own_time import CLOCK, OwnTime, own_seconds
from .protocols import capabilities
from .trajectory import Trajectory

T = TypeVar("T")
Run = Callable[[Callable[[Any], Any]], T]


def run_batched(
    runs: Sequence[Run[T]],
    *,
    at_once: int | None = None,
    ended: Callable[[int, T], Any] | None = None,
) -> list[T]:
    """Run functions together that ask the same models.

    Args:
        runs: each is called with a function that gives, for a language model or a reward model,
            what stands for it in this run (and None for None).
        at_once: how many runs are under way at any time, at most; all of them where None.
        ended: told of each run as it ends: its number and what it returned.

    Returns:
        What the runs returned, in order.

    Raises:
        BaseException: whatever a run, a model or `ended` raised; the other runs are given up.

    Example:
        >>> from motes.models import TableLM
        >>> lm = TableLM(lambda prefix: [0.5, 0.5], eos=1)
        >>> def depth(batched):
        ...     return batched(lm).start("?").depth
        >>> run_batched([depth, depth])
        [0, 0]
    """
    roots: dict[tuple[int, str], Trajectory] = {}
    waiting: Iterator[tuple[int, Run[T]]] = iter(enumerate(runs))
    results: dict[int, T] = {}
    asking: list[_Worker[T]] = []
    try:
        while True:
            places = len(runs) if at_once is None else at_once - len(asking)
            asking += [_Worker(*following, roots) for following in islice(waiting, max(0, places))]
            for worker in asking:
                worker.go_on()
            for worker in asking:
                if worker.question is None:
                    results[worker.number] = worker.returned()
                    if ended is not None:
                        ended(worker.number, results[worker.number])
            asking = [worker for worker in asking if worker.question is not None]
            _answer(asking)
            if not asking and len(results) == len(runs):
                return [results[number] for number in range(len(runs))]
    finally:
        for worker in asking:
            worker.give_up()


class _Question(NamedTuple):
    """What a run asks.

    Attributes:
        model: of whom.
        method: the name of what, in `METHODS`.
        rows: the arguments that have a row for each answer.
        common: those that hold for all rows, by place.
        named: those that hold for all rows, by name.
    """

    model: Any
    method: str
    rows: tuple[Sequence[Any], ...]
    common: tuple[Any, ...]
    named: tuple[tuple[str, Any], ...]

    @property
    def batch(self) -> tuple[Any, ...]:
        """What questions must have in common to be one call."""
        return METHODS[self.method].order, self.method, id(self.model), self.common, self.named


class _GivenUp(BaseException):
    """Ends the thread of a run that nobody waits for any more."""


class _Worker(Generic[T]):
    """A run in its thread, which moves only while it is its turn."""

    def __init__(self, number: int, run: Run[T], roots: dict[tuple[int, str], Trajectory]) -> None:
        self.number, self.roots = number, roots
        self.question: _Question | None = None
        self.answer: Any = None
        self._turn, self._back = Semaphore(0), Semaphore(0)
        self._outcome: list[T] = []
        self._error: BaseException | None = None
        self._unwanted = False
        self._stand_ins: dict[int, Any] = {}
        self.clock = OwnTime()
        self._thread = Thread(
            target=self._work, args=(run,), daemon=True, name=f"batched run {number}"
        )
        self._thread.start()

    def batched(self, model: object) -> Any:
        """What stands for a model in this run."""
        if model is None or any(model is stand_in for stand_in in self._stand_ins.values()):
            return model
        if id(model) not in self._stand_ins:
            self._stand_ins[id(model)] = BatchedModel(self, model)
        return self._stand_ins[id(model)]

    def go_on(self) -> None:
        """Let the run go on until it asks again, or ends."""
        self._turn.release()
        self._back.acquire()

    def returned(self) -> T:
        """What the run returned, or raises what it raised."""
        if self._error is not None:
            raise self._error
        return self._outcome[0]

    def give_up(self) -> None:
        """End the run where it stands."""
        self._unwanted = True
        self._turn.release()
        self._thread.join()

    def ask(self, question: _Question) -> Any:
        """Called by the run: wait for an answer."""
        self.question = question
        self._wait()
        self.question = None
        return self.answer

    def _wait(self) -> None:
        self.clock.wait()
        self._back.release()
        self._turn.acquire()
        self.clock.go_on()
        if self._unwanted:
            raise _GivenUp

    def _work(self, run: Run[T]) -> None:
        try:
            self._turn.acquire()
            CLOCK.set(self.clock)
            self.clock.go_on()
            if not self._unwanted:
                self._outcome.append(run(self.batched))
        except BaseException as error:
            self._error = error
        self.question = None
        self._back.release()


class BatchedModel:
    """A model as one of several runs sees it.

    It has the methods of `METHODS` that the model itself offers. Each waits until the other runs
    have asked as well, and is answered from one call for all.

    Args:
        worker: of the run.
        model: the model itself.

    Attributes:
        name: the model's.
        cost: what of the model's cost falls to this run.
        original: the model itself.
    """

    def __init__(self, worker: _Worker[Any], model: Any) -> None:
        self.name, self.cost, self.original, self._worker = model.name, Cost(), model, worker
        names = offered(model)
        if "extend" in names:
            self.capabilities = capabilities(model)
        for name in names:
            setattr(self, name, partial(self._ask, name))

    @property
    def stands_for(self) -> Any:
        """The model itself."""
        return self.original

    def start(self, question: str) -> Trajectory:
        """Return the root of all runs that ask this question, so that it is read once."""
        roots, place = self._worker.roots, (id(self.original), question)
        if place not in roots:
            roots[place] = calls.start(self.original, question)
        return roots[place]

    def can_read(self, trajectory: Trajectory) -> bool:
        """Return whether a reward model's context holds a trajectory."""
        return calls.can_read(self.original, trajectory)

    def _ask(self, name: str, *arguments: Any, **named: Any) -> Any:
        """Ask a method about this run's rows, in one call with the other runs'."""
        method = METHODS[name]
        rows = method.split(*arguments[: method.by_row])
        if not len(rows[0]):
            return []
        common = tuple(map(_hashable, arguments[method.by_row :]))
        return self._worker.ask(
            _Question(self.original, name, rows, common, tuple(sorted(named.items())))
        )


def _hashable(argument: object) -> Any:
    return tuple(argument) if isinstance(argument, list) else argument


def _answer(asking: Sequence[_Worker[Any]]) -> None:
    """Put together what is asked of one model, language models first, and answer it."""
    batches: dict[tuple[Any, ...], list[tuple[_Worker[Any], _Question]]] = {}
    for worker in asking:
        question = worker.question
        if question is not None:
            batches.setdefault(question.batch, []).append((worker, question))
    for _, askers in sorted(batches.items(), key=lambda item: item[0][0]):
        [*_, (_, question)] = askers
        before, began = question.model.cost, own_seconds()
        answers = _joined([asked for _, asked in askers])
        _share(askers, answers, question.model.cost - before, own_seconds() - began)


def _joined(questions: Sequence[_Question]) -> Any:
    """Answer questions that make one call."""
    first, method = questions[0], METHODS[questions[0].method]
    columns = [
        [row for part in parts for row in part]
        for parts in zip(*(question.rows for question in questions), strict=True)
    ]
    return method.call(first.model, *method.join(*columns), *first.common, **dict(first.named))


def _share(
    askers: Sequence[tuple[_Worker[Any], _Question]], answers: Any, cost: Cost, seconds: float
) -> None:
    """Give each run its answers, and its share of the cost and of the seconds that passed."""
    ends = np.cumsum([0, *(len(question.rows[0]) for _, question in askers)]).tolist()
    for (worker, question), first, last in zip(askers, ends[:-1], ends[1:], strict=True):
        worker.answer = answers[first:last]
        part = Cost(
            **{
                field.name: _between(getattr(cost, field.name), first, last, ends[-1])
                for field in fields(cost)
            }
        )
        tokens = METHODS[question.method].tokens
        if tokens is not None:
            part = replace(part, generated_tokens=sum(map(tokens, worker.answer)))
        worker.batched(question.model).cost += part
        worker.clock.add(_between(seconds, first, last, ends[-1]))


def _between(total: Any, first: int, last: int, rows: int) -> Any:
    """The part of a total that falls to rows `first` to `last`.

    Whole numbers stay whole, and add up.
    """
    if isinstance(total, int):
        return total * last // rows - total * first // rows
    return total * (last - first) / rows
