"""Several runs at a time, over the same models: what they ask at one moment goes out as one batch.

Every run is an ordinary function in a thread of its own, and is given a function that maps a model
to its stand-in. Only one thread runs at any time: each goes on until it asks something of a model,
then the next one. When all are waiting, their questions are put together: those to reward models
are answered first, and those to language models where no other is left. Each run that has its
answer goes on in turn. So the order of events is fixed, and since random numbers belong to slots,
every run draws what it would draw alone (up to the rounding of larger batches).

What a batch has cost is shared out: generated tokens by who drew them, all else in proportion to
the rows that each run asked about. So is its time (see `motes.models.own_time`): the seconds of all
runs add up to those that passed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, MutableMapping, Sequence
from dataclasses import fields, replace
from functools import partial
from itertools import islice
from threading import Semaphore, Thread
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar
from weakref import WeakValueDictionary

import numpy as np

from . import calls
from .asking import Question, answered, batches
from .batched_methods import METHODS, offered
from .cost import Cost
from .own_time import CLOCK, OwnTime, own_seconds
from .protocols import capabilities, shared_network
from .trajectory import Trajectory

T = TypeVar("T")
Run = Callable[[Callable[[Any], Any]], T]
Roots: TypeAlias = MutableMapping[tuple[int, str], Trajectory]
Heard: TypeAlias = Callable[[str, tuple[Sequence[Any], ...], Any], None]


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
    waiting: Iterator[tuple[int, Run[T]]] = iter(enumerate(runs))
    numbers: dict[BatchedRun[T], int] = {}
    results: dict[int, T] = {}
    group: RunGroup[T] = RunGroup(roots={})
    try:
        while True:
            places = len(runs) if at_once is None else at_once - len(group.runs)
            for number, run in islice(waiting, max(0, places)):
                numbers[group.join(run)] = number
            for run in group.go_on():
                number = numbers.pop(run)
                results[number] = run.returned()
                if ended is not None:
                    ended(number, results[number])
            group.answer()
            if not group.runs and len(results) == len(runs):
                return [results[number] for number in range(len(runs))]
    finally:
        group.close()


class RunGroup(Generic[T]):
    """Runs under way together, which may join and leave while others go on.

    Whoever has the group lets all runs go on until they ask (`go_on`), and then answers what they
    ask (`answer`), in turn. All of it in one thread.

    Args:
        roots: where the roots of questions are kept, so that runs which ask the same question read
            it once; where None, each as long as a run holds it.

    Attributes:
        runs: those that have not ended.

    Example:
        >>> from motes.models import TableLM
        >>> lm, group = TableLM(lambda prefix: [0.5, 0.5], eos=1), RunGroup()
        >>> _ = group.join(lambda batched: batched(lm).start("?").depth)
        >>> [run.returned() for run in group.go_on()]
        [0]
    """

    def __init__(self, roots: Roots | None = None) -> None:
        self.runs: list[BatchedRun[T]] = []
        self._roots: Roots = WeakValueDictionary() if roots is None else roots

    def join(self, run: Run[T], heard: Heard | None = None) -> BatchedRun[T]:
        """Take in a run, which begins at the next `go_on`.

        Args:
            run: a function, as `run_batched` takes it.
            heard: told of each question of this run that was answered: the method's name, its rows,
                and the answers.
        """
        joined = BatchedRun(run, self._roots, heard)
        self.runs.append(joined)
        return joined

    def go_on(self) -> list[BatchedRun[T]]:
        """Let each run go on until it asks again, or ends; return those that ended."""
        for run in self.runs:
            if not run.waits:
                run.go_on()
        ended = [run for run in self.runs if not run.waits]
        self.runs = [run for run in self.runs if run.waits]
        return ended

    def answer(self) -> None:
        """Answer what is asked of reward models, or, where nothing is, of language models.

        So a run that has just joined waits until all ask for their next step, and shares it. Where
        a call fails, each of its runs is answered alone, so that the error is raised in those
        runs alone which it concerns.
        """
        for askers in _batches(self.runs):
            try:
                _answer(askers)
            except Exception as error:
                _answer_apart(askers, error)

    def leave(self, run: BatchedRun[T]) -> None:
        """Give up a run where it stands."""
        self.runs.remove(run)
        run.give_up()

    def close(self) -> None:
        """Give up all runs."""
        for run in self.runs:
            run.give_up()
        self.runs = []


class _GivenUp(BaseException):
    """Ends the thread of a run that nobody waits for any more."""


class BatchedRun(Generic[T]):
    """A run in its thread, which moves only while it is its turn.

    Attributes:
        questions: what it asks at once and waits for; none once it has ended.
        answers: to those that were answered, by place.
    """

    def __init__(self, run: Run[T], roots: Roots, heard: Heard | None = None) -> None:
        self.roots = roots
        self.questions: list[Question] = []
        self.answers: dict[int, Any] = {}
        self._refusal: Exception | None = None
        self._heard = heard
        self._turn, self._back = Semaphore(0), Semaphore(0)
        self._outcome: list[T] = []
        self._error: BaseException | None = None
        self._unwanted = False
        self._stand_ins: dict[int, Any] = {}
        self.clock = OwnTime()
        self._thread = Thread(target=self._work, args=(run,), daemon=True, name="batched run")
        self._thread.start()

    def batched(self, model: object) -> Any:
        """Return what stands for a model in this run."""
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
        """Return what the run returned, or raise what it raised."""
        if self._error is not None:
            raise self._error
        return self._outcome[0]

    def give_up(self) -> None:
        """End the run where it stands."""
        self._unwanted = True
        self._turn.release()
        self._thread.join()

    @property
    def waits(self) -> bool:
        """Whether it has asked something that is not answered yet."""
        return self._refusal is None and len(self.answers) < len(self.questions)

    def receive(self, place: int, answer: Any) -> None:
        """Take the answer to a question."""
        self.answers[place] = answer

    def refuse(self, error: Exception) -> None:
        """Take an error in place of the answers, which is raised where the run asked."""
        self._refusal = error

    def ask(self, questions: Sequence[Question]) -> list[Any]:
        """Wait for the answers to questions about rows, in order; called by the run."""
        originals = [question._replace(model=original(question.model)) for question in questions]
        self.questions, self.answers = originals, {}
        self._wait()
        self.questions = []
        if self._refusal is not None:
            refusal, self._refusal = self._refusal, None
            raise refusal
        answers = [self.answers[place] for place in range(len(questions))]
        if self._heard is not None:
            for question, answer in zip(questions, answers, strict=True):
                self._heard(question.method, question.rows, answer)
        return answers

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
        self.questions = []
        self._back.release()


class BatchedModel:
    """A model as one of several runs sees it.

    It has the methods of `METHODS` that the model itself offers. Each waits until the other runs
    have asked as well, and is answered from one call for all.

    Args:
        run: the run.
        model: the model itself.

    Attributes:
        name: the model's.
        cost: what of the model's cost falls to this run.
        original: the model itself.
        run: the run.
    """

    def __init__(self, run: BatchedRun[Any], model: Any) -> None:
        self.name, self.cost, self.original, self.run = model.name, Cost(), model, run
        self.capabilities = replace(capabilities(model), checked=True)
        for name in offered(model):
            setattr(self, name, partial(self._ask, name))

    @property
    def stands_for(self) -> Any:
        """The model itself."""
        return self.original

    def start(self, question: str) -> Trajectory:
        """Return the root of all runs that ask this question, so that it is read once."""
        roots, place = self.run.roots, (id(self.original), question)
        root = roots.get(place)
        if root is None:
            root = roots[place] = calls.start(self.original, question)
        return root

    def can_read(self, trajectory: Trajectory) -> bool:
        """Return whether a reward model's context holds a trajectory."""
        return calls.can_read(self.original, trajectory)

    def beside(self, model: Any) -> Any:
        """Return what stands for another model in this run."""
        return self.run.batched(model)

    def ask_all(self, questions: Sequence[Question]) -> list[Any]:
        """Ask this and other models of the same run at once."""
        return self.run.ask(questions)

    @property
    def shared_network(self) -> Any:
        """The network that the model shares forward passes of; None where it shares none."""
        return shared_network(self.original)

    def answer_together(self, questions: Sequence[Question]) -> list[Any]:
        """Answer questions to models over one network, as others of the run ask at once."""
        return self.ask_all(questions)

    def _ask(self, name: str, *arguments: Any, **named: Any) -> Any:
        """Ask a method about this run's rows, in one call with the other runs'."""
        method = METHODS[name]
        rows = method.split(*arguments[: method.by_row])
        if not len(rows[0]):
            return []
        common = tuple(map(_hashable, arguments[method.by_row :]))
        question = Question(self, name, rows, common, tuple(sorted(named.items())))
        [answer] = self.run.ask([question])
        return answer


def original(model: Any) -> Any:
    """Return the model that one of a run's stand-ins stands for."""
    return model.original if isinstance(model, BatchedModel) else model


def _hashable(argument: object) -> Any:
    return tuple(argument) if isinstance(argument, list) else argument


class Asker(NamedTuple):
    """A question, and who waits for its answer.

    Attributes:
        run: who.
        place: the question's number among those that the run asks at once.
        question: the question.
    """

    run: BatchedRun[Any]
    place: int
    question: Question


def _batches(asking: Sequence[BatchedRun[Any]]) -> list[list[Asker]]:
    """Put together what makes one batch, of the methods that are answered first."""
    askers = [
        Asker(run, place, question)
        for run in asking
        for place, question in enumerate(run.questions)
        if place not in run.answers
    ]
    orders = [METHODS[asker.question.method].order for asker in askers]
    first = [asker for asker, order in zip(askers, orders, strict=True) if order == max(orders)]
    places = batches([asker.question for asker in first])
    return [[first[i] for i in group] for group in places]


def _answer(askers: Sequence[Asker]) -> None:
    """Answer questions that make one batch."""
    models = {id(asker.question.model): asker.question.model for asker in askers}
    before, began = _spent(models.values()), own_seconds()
    answers = answered([asker.question for asker in askers])
    _share(askers, answers, _spent(models.values()) - before, own_seconds() - began)


def _spent(models: Iterable[Any]) -> Cost:
    """Return what models have computed so far, together."""
    return sum((model.cost for model in models), Cost())


def _answer_apart(askers: Sequence[Asker], error: Exception) -> None:
    """Answer each of several questions by itself, whose joint batch has failed with this error."""
    if len(askers) == 1:
        askers[0].run.refuse(error)
        return
    for asker in askers:
        try:
            _answer([asker])
        except Exception as own:
            asker.run.refuse(own)


def _share(askers: Sequence[Asker], answers: Sequence[Any], cost: Cost, seconds: float) -> None:
    """Give each run its answers, and its share of the cost and of the seconds that passed."""
    ends = np.cumsum([0, *(len(asker.question.rows[0]) for asker in askers)]).tolist()
    for asker, answer, first, last in zip(askers, answers, ends[:-1], ends[1:], strict=True):
        run, question = asker.run, asker.question
        run.receive(asker.place, answer)
        part = Cost(
            **{
                field.name: _between(getattr(cost, field.name), first, last, ends[-1])
                for field in fields(cost)
            }
        )
        tokens = METHODS[question.method].tokens
        if tokens is not None:
            part = replace(part, generated_tokens=sum(map(tokens, answer)))
        run.batched(question.model).cost += part
        run.clock.add(_between(seconds, first, last, ends[-1]))


def _between(total: Any, first: int, last: int, rows: int) -> Any:
    """Return the part of a total that falls to rows `first` to `last`.

    Whole numbers stay whole, and add up.
    """
    if isinstance(total, int):
        return total * last // rows - total * first // rows
    return total * (last - first) / rows
