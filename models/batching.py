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
from threading import Semaphore, Thread
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from . import calls
from .cost import Cost
from .own_time import CLOCK, OwnTime, own_seconds
from .protocols import LanguageModel, capabilities
from .randomness import raw_keys
from .sampling import Sampling
from .trajectory import Trajectory

T = TypeVar("T")
Run = Callable[[Callable[[Any], Any]], T]


def together(
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
        >>> together([lambda shared: shared(lm).start("?").question, lambda shared: shared(None)])
        ['?', None]
    """
    roots: dict[tuple[int, str], Trajectory] = {}
    waiting: Iterator[tuple[int, Run[T]]] = iter(enumerate(runs))
    results: dict[int, T] = {}
    asking: list[_Worker[T]] = []
    try:
        while True:
            while (at_once is None or len(asking) < at_once) and (following := next(waiting, None)):
                asking.append(_Worker(*following, roots))
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
    """What a run asks: of which model, the kind, and its arguments.

    Arguments are by row, and those that all rows have in common.
    """

    model: Any
    kind: str
    rows: tuple[Sequence[Any], ...]
    common: tuple[Any, ...]


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
        self._thread = Thread(target=self._work, args=(run,), daemon=True)
        self._thread.start()

    def shared(self, model: Any) -> Any:
        """What stands for a model in this run."""
        if model is None or any(model is stand_in for stand_in in self._stand_ins.values()):
            return model
        if id(model) not in self._stand_ins:
            kind = _SharedLM if isinstance(model, LanguageModel) else _SharedPRM
            self._stand_ins[id(model)] = kind(self, model)
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
                self._outcome.append(run(self.shared))
        except BaseException as error:
            self._error = error
        self.question = None
        self._back.release()


class _Shared:
    """A model as one of several runs sees it; `cost` is what falls to this run."""

    def __init__(self, worker: _Worker[Any], model: Any) -> None:
        self.name, self.cost, self.original, self._worker = model.name, Cost(), model, worker

    @property
    def stands_for(self) -> Any:
        """The model itself."""
        return self.original

    def _ask(self, kind: str, rows: tuple[Sequence[Any], ...], *common: Any) -> Sequence[Any]:
        return (
            self._worker.ask(_Question(self.original, kind, rows, common)) if len(rows[0]) else []
        )


class _SharedLM(_Shared):
    """A language model as one of several runs sees it: it can do what the model can."""

    def __init__(self, worker: _Worker[Any], model: Any) -> None:
        super().__init__(worker, model)
        self.capabilities = capabilities(model)

    def start(self, question: str) -> Trajectory:
        """The root of all runs that ask this question, so that it is read once."""
        roots, place = self._worker.roots, (id(self.original), question)
        if place not in roots:
            roots[place] = calls.start(self.original, question)
        return roots[place]

    def extend(
        self,
        trajectories: Sequence[Trajectory],
        keys: Any,
        *,
        sampling: Sampling | None = None,
        prior: Sampling | None = None,
    ) -> list[Trajectory]:
        return list(
            self._ask(
                "extend", (trajectories, list(raw_keys(keys, len(trajectories)))), sampling, prior
            )
        )

    def logprob(
        self,
        trajectories: Sequence[Trajectory],
        continuations: Sequence[Sequence[int]],
        *,
        prior: Sampling | None = None,
    ) -> np.ndarray:
        return np.asarray(self._ask("logprob", (trajectories, continuations), prior))

    def continued(
        self,
        trajectories: Sequence[Trajectory],
        steps: Sequence[Trajectory],
        *,
        prior: Sampling,
        proposal: Sampling,
    ) -> list[Trajectory | None]:
        return list(self._ask("continued", (trajectories,), tuple(steps), prior, proposal))


class _SharedPRM(_Shared):
    """A reward model as one of several runs sees it."""

    def can_read(self, trajectory: Trajectory) -> bool:
        return calls.can_read(self.original, trajectory)

    def score(self, trajectories: Sequence[Trajectory]) -> np.ndarray:
        return np.asarray(self._ask("score", (trajectories,)))


def _answer(asking: Sequence[_Worker[Any]]) -> None:
    """Put together what is asked of one model, language models first, and answer it."""
    batches: dict[tuple[Any, ...], list[tuple[_Worker[Any], _Question]]] = {}
    for worker in asking:
        if (question := worker.question) is not None:
            batches.setdefault(
                (question.kind == "score", question.kind, id(question.model), question.common), []
            ).append((worker, question))
    for (_, kind, _, common), askers in sorted(batches.items(), key=lambda item: item[0][0]):
        columns = [
            [row for part in parts for row in part]
            for parts in zip(*(question.rows for _, question in askers), strict=True)
        ]
        model = askers[0][1].model
        before, began = model.cost, own_seconds()
        answers = _asked(model, kind, columns, common)
        _share(askers, answers, kind, model.cost - before, own_seconds() - began)


def _asked(
    model: Any, kind: str, columns: list[list[Any]], common: tuple[Any, ...]
) -> Sequence[Any] | np.ndarray:
    match kind:
        case "extend":
            import jax

            keys = jax.random.wrap_key_data(
                jax.numpy.asarray(np.array(columns[1], np.uint32)), impl="threefry2x32"
            )
            return calls.extend(model, columns[0], keys, sampling=common[0], prior=common[1])
        case "logprob":
            return calls.logprob(model, *columns, prior=common[0])
        case "continued":
            return calls.continued(
                model, columns[0], common[0], prior=common[1], proposal=common[2]
            )
        case _:
            return calls.score(model, columns[0])


def _share(
    askers: Sequence[tuple[_Worker[Any], _Question]],
    answers: Sequence[Any] | np.ndarray,
    kind: str,
    cost: Cost,
    seconds: float,
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
        if kind == "extend":
            part = replace(
                part, generated_tokens=sum(len(child.step_token_ids) for child in worker.answer)
            )
        worker.shared(question.model).cost += part
        worker.clock.add(_between(seconds, first, last, ends[-1]))


def _between(total: Any, first: int, last: int, rows: int) -> Any:
    """The part of a total that falls to rows `first` to `last`.

    Whole numbers stay whole, and add up.
    """
    if isinstance(total, int):
        return total * last // rows - total * first // rows
    return total * (last - first) / rows
