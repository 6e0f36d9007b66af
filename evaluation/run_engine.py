"""What does the runs of an evaluation, with the models that it loads: here, in this process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from typing import Any, NamedTuple, Protocol, TypeAlias

from ..models import run_batched
from ..models.identity import Mark, identify
from ..ppl.answers import Answer
from ..samplers.given_models import is_loader, load_models
from .allocated_arms import recorded_together, split
from .plan import Key, Place
from .records import Record
from .task import Task, recorded

Ended: TypeAlias = Callable[[Record], None]
Missing: TypeAlias = Sequence[tuple[Place, Key]]


class Models(NamedTuple):
    """The models of an evaluation, as they were given.

    Attributes:
        lm: a language model, a name of one, or a function that loads one.
        prm: a reward model, a name of one, a function that loads one, or None.
        device: where to load what is given by a name.
        answer: reads the answers that a reward model counts; None for the usual rule.
    """

    lm: Any
    prm: Any
    device: str
    answer: Answer | None

    @property
    def to_load(self) -> list[str]:
        """Which of them have to be loaded."""
        named = {"lm": self.lm, "prm": self.prm}
        return [name for name, model in named.items() if isinstance(model, str) or is_loader(model)]

    def loaded(self) -> tuple[Any, Any]:
        """Load what has to be, and return the two models."""
        return load_models(self.lm, self.prm, self.device, self.answer)


class Engine(Protocol):
    """Loads models where the runs are done, and does the runs."""

    def loaded_marks(self) -> dict[str, Mark]:
        """Return what the models do that had to be loaded, by argument."""
        ...

    def run(
        self, evaluation: str, marks: Mapping[str, Any], ended: Ended, missing: Missing
    ) -> None:
        """Do runs.

        Args:
            evaluation: the digest of the evaluation's arguments.
            marks: the text of what each model does, by argument.
            ended: told of each record as it comes.
            missing: the runs.
        """
        ...

    def close(self) -> None:
        """Give up what is under way."""
        ...


class InProcess:
    """Does runs in this process, with models that are loaded at most once.

    Args:
        models: as they were given.
        task: what is to be done.
        at_once: runs under way at any time, at most.
    """

    def __init__(self, models: Models, task: Task, at_once: int) -> None:
        self._models, self._task, self._at_once = models, task, at_once

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        return self._models.loaded()

    def loaded_marks(self) -> dict[str, Mark]:
        """Return what the models do that had to be loaded, by argument."""
        return marks_of(self._models, self._loaded)

    def run(
        self, evaluation: str, marks: Mapping[str, Any], ended: Ended, missing: Missing
    ) -> None:
        """Do runs, as `Engine` says it."""
        task, loaded = self._task._replace(evaluation=evaluation), self._loaded
        alone, together = split(task, missing)
        runs = [partial(recorded, task, place, key, loaded) for place, key in alone]
        run_batched(runs, at_once=self._at_once, ended=lambda _, record: ended(record))
        for arm, repeat in together:
            for record in recorded_together(task, arm, repeat, task.plan.keys(), loaded):
                ended(record)

    def close(self) -> None:
        """Do nothing: what is under way ends with `run`."""


def marks_of(models: Models, loaded: tuple[Any, Any]) -> dict[str, Mark]:
    """Return what the models do that had to be loaded, by argument."""
    by_name: dict[str, Any] = {"lm": loaded[0], "prm": loaded[1]}
    return {name: identify(by_name[name]) for name in models.to_load}
