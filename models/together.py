"""Several runs at a time, over the same models: what they ask at one moment goes out as one batch.

Every run is an ordinary function in a thread of its own, and is given stand-ins for the models. Only one thread runs at
any time: each goes on until it asks something of a model, then the next one; when all are waiting their questions are
put together, answered, and each goes on in turn. So the order of events is fixed, and since random numbers belong to
slots, every run draws what it would draw alone (up to the rounding of larger batches).

What a batch has cost is shared out: generated tokens by who drew them, all else in proportion to the rows that each run asked about.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, replace
from threading import Semaphore, Thread
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from .continuing import Continues
from .cost import Cost
from .protocols import LanguageModel, RewardModel, TractableLanguageModel
from .randomness import raw_keys
from .sampling import Sampling
from .trajectory import Trajectory

T = TypeVar("T")
Run = Callable[[Any, Any], T]


def together(
    runs: Sequence[Run[T]],
    lm: LanguageModel,
    prm: RewardModel | None,
    *,
    at_once: int | None = None,
    ended: Callable[[int, T], Any] | None = None,
) -> list[T]:
    """Run functions together that ask the same models.

    Args:
        runs: each is called with a language model and a reward model (None if `prm` is) that stand for `lm` and `prm`.
        lm, prm: the models.
        at_once: how many runs are under way at any time, at most; all of them where None.
        ended: told of each run as it ends: its number and what it returned.

    Returns:
        What the runs returned, in order.

    Raises:
        BaseException: whatever a run, a model or `ended` raised; the other runs are given up.
    """
    waiting: Iterator[tuple[int, Run[T]]] = iter(enumerate(runs))
    results: dict[int, T] = {}
    asking: list[_Worker[T]] = []
    try:
        while True:
            while (at_once is None or len(asking) < at_once) and (following := next(waiting, None)):
                asking.append(_Worker(*following, lm, prm))
            for worker in asking:
                worker.go_on()
            for worker in asking:
                if worker.question is None:
                    results[worker.number] = worker.returned()
                    if ended is not None:
                        ended(worker.number, results[worker.number])
            asking = [worker for worker in asking if worker.question is not None]
            _answer(asking, lm, prm)
            if not asking and len(results) == len(runs):
                return [results[number] for number in range(len(runs))]
    finally:
        for worker in asking:
            worker.give_up()


class _Question(NamedTuple):
    """What a run asks: the kind, its arguments by row, and what all rows have in common."""

    kind: str
    rows: tuple[Sequence[Any], ...]
    common: tuple[Any, ...]


class _GivenUp(BaseException):
    """Ends the thread of a run that nobody waits for any more."""


class _Worker(Generic[T]):
    """A run in its thread, which moves only while it is its turn."""

    def __init__(self, number: int, run: Run[T], lm: LanguageModel, prm: RewardModel | None) -> None:
        self.number = number
        self.question: _Question | None = None
        self.answer: Any = None
        self._turn, self._back = Semaphore(0), Semaphore(0)
        self._outcome: list[T] = []
        self._error: BaseException | None = None
        self._unwanted = False
        kinds = ((Continues, _SharedContinuingLM), (TractableLanguageModel, _SharedTractableLM), (LanguageModel, _SharedLM))
        models = next(shared for kind, shared in kinds if isinstance(lm, kind))(self, lm), None if prm is None else _SharedPRM(self, prm)
        self.cost: dict[str, Cost] = {"lm": Cost(), "prm": Cost()}
        self._thread = Thread(target=self._work, args=(run, *models), daemon=True)
        self._thread.start()

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
        self._back.release()
        self._turn.acquire()
        if self._unwanted:
            raise _GivenUp

    def _work(self, run: Run[T], *models: Any) -> None:
        try:
            self._turn.acquire()
            if not self._unwanted:
                self._outcome.append(run(*models))
        except BaseException as error:
            self._error = error
        self.question = None
        self._back.release()


class _SharedLM:
    """A language model as one of several runs sees it."""

    def __init__(self, worker: _Worker[Any], lm: LanguageModel) -> None:
        self.name, self._worker, self._lm = lm.name, worker, lm

    @property
    def cost(self) -> Cost:
        return self._worker.cost["lm"]

    def start(self, question: str) -> Trajectory:
        return self._lm.start(question)

    def extend(
        self, trajectories: Sequence[Trajectory], keys: Any, *, sampling: Sampling | None = None, prior: Sampling | None = None
    ) -> list[Trajectory]:
        rows = trajectories, list(raw_keys(keys, len(trajectories)))
        return self._worker.ask(_Question("extend", rows, (sampling, prior))) if len(trajectories) else []


class _SharedTractableLM(_SharedLM):
    """The same of one that tells how probable a text is."""

    def logprob(
        self, trajectories: Sequence[Trajectory], continuations: Sequence[Sequence[int]], *, prior: Sampling | None = None
    ) -> np.ndarray:
        return np.asarray(self._worker.ask(_Question("logprob", (trajectories, continuations), (prior,))) if len(trajectories) else [])


class _SharedContinuingLM(_SharedTractableLM):
    """The same of one that can say itself how it would go on."""

    def continued(
        self, trajectories: Sequence[Trajectory], steps: Sequence[Trajectory], *, prior: Sampling, proposal: Sampling
    ) -> list[Trajectory | None]:
        question = _Question("continued", (trajectories,), (tuple(steps), prior, proposal))
        return self._worker.ask(question) if len(trajectories) else []


class _SharedPRM:
    """A reward model as one of several runs sees it."""

    def __init__(self, worker: _Worker[Any], prm: RewardModel) -> None:
        self.name, self._worker = prm.name, worker

    @property
    def cost(self) -> Cost:
        return self._worker.cost["prm"]

    def score(self, trajectories: Sequence[Trajectory]) -> np.ndarray:
        return np.asarray(self._worker.ask(_Question("score", (trajectories,), ())) if len(trajectories) else [])


def _answer(asking: Sequence[_Worker[Any]], lm: LanguageModel, prm: RewardModel | None) -> None:
    """Put the questions of one kind together, language model first, and answer them."""
    batches: dict[tuple[Any, ...], list[tuple[_Worker[Any], _Question]]] = {}
    for worker in asking:
        if (question := worker.question) is not None:
            batches.setdefault((question.kind == "score", question.kind, question.common), []).append((worker, question))
    for (judged, kind, common), askers in sorted(batches.items(), key=lambda item: item[0][0]):
        columns = [[row for part in parts for row in part] for parts in zip(*(question.rows for _, question in askers), strict=True)]
        model = prm if judged else lm
        assert model is not None
        before = model.cost
        answers = _asked(model, kind, columns, common)
        _share(askers, answers, kind, model.cost - before)


def _asked(model: Any, kind: str, columns: list[list[Any]], common: tuple[Any, ...]) -> Sequence[Any]:
    match kind:
        case "extend":
            import jax

            keys = jax.random.wrap_key_data(jax.numpy.asarray(np.array(columns[1], np.uint32)), impl="threefry2x32")
            return model.extend(columns[0], keys, sampling=common[0], prior=common[1])
        case "logprob":
            return model.logprob(*columns, prior=common[0])
        case "continued":
            return model.continued(columns[0], common[0], prior=common[1], proposal=common[2])
        case _:
            return model.score(columns[0])


def _share(askers: Sequence[tuple[_Worker[Any], _Question]], answers: Sequence[Any], kind: str, cost: Cost) -> None:
    """Give each run its answers, and its share of the cost."""
    ends = np.cumsum([0, *(len(question.rows[0]) for _, question in askers)]).tolist()
    if len(answers) != ends[-1]:
        raise ValueError(f"{ends[-1]} rows were asked about in {kind}, but {len(answers)} came back")
    which = "prm" if kind == "score" else "lm"
    for (worker, _), first, last in zip(askers, ends[:-1], ends[1:], strict=True):
        worker.answer = answers[first:last]
        part = Cost(**{field.name: _between(getattr(cost, field.name), first, last, ends[-1]) for field in fields(cost)})
        if kind == "extend":
            part = replace(part, generated_tokens=sum(len(child.step_token_ids) for child in worker.answer))
        worker.cost[which] = worker.cost[which] + part


def _between(total: Any, first: int, last: int, rows: int) -> Any:
    """The part of a total that falls to rows `first` to `last`; whole numbers stay whole, and add up."""
    if isinstance(total, int):
        return total * last // rows - total * first // rows
    return total * (last - first) / rows
