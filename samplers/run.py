"""A run of a bound sampler: bounded, watched, stopped and taken up again."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from dataclasses import fields, replace
from operator import index
from pathlib import Path
from typing import Any, SupportsIndex

import numpy as np
from tqdm.auto import tqdm

from ..models import Component, Cost, LanguageModel, Mixture, RewardModel, Sampling
from ..models.identity import Mark, check_vouched, identify
from ..models.own_time import own_seconds
from ..ppl.posterior.posterior import Posterior
from . import checkpoint as checkpoints
from .bound import BoundSampler
from .run_posterior import posterior_of

# a prompt that prints the date differs by itself; how many are drawn at a time changes no draw
UNCOMPARED = ("prompt_date", "batch")
SAVE_EVERY = 10.0  # seconds between checkpoints
GROWING = ("iterations", "budget")  # what a run may be given more of when it is taken up


def run(
    bound: BoundSampler[Any], seed: object, progress: bool, checkpoint: str | Path | None
) -> Posterior:
    """Run a bound sampler to its end, its budget or an interrupt; see `SteppedSampler.run`."""
    sampler, model = bound.sampler, bound.model
    marks = _marks(bound)
    keeper = None
    if checkpoint is not None:
        check_vouched(marks, "checkpoint")
        place = {
            "sampler": sampler.name,
            "question": model.question,
            "seed": [bound.keys.seed, bound.keys.run],
        }
        keeper = _Keeper(checkpoint, place | _settings(bound) | _texts(marks))
    course = _Course(bound, keeper)
    with tqdm(
        total=bound.total(),
        desc=sampler.name.replace("_", " "),
        unit=sampler.unit,
        disable=not progress,
    ) as bar:
        stopped = course.follow(bar)
    posterior = concluded(bound, course.state, seed, course.cost(), stopped, marks)
    if stopped == "interrupt":
        if posterior.guarantee == "heuristic":
            left = "the posterior is unfinished and heuristic"
        else:
            left = "the posterior is of these"
        message = f"interrupted after {bound.count(course.state)} {sampler.unit}s: {left}"
        warnings.warn(message, RuntimeWarning, stacklevel=3)
    return posterior


def concluded(
    bound: BoundSampler[Any],
    state: object,
    seed: object,
    cost: Cost,
    stopped: str = "",
    marks: Mapping[str, Mark] | None = None,
) -> Posterior:
    """Return the posterior of what a run has come to.

    Args:
        bound: the sampler that ran.
        state: its last state.
        seed: of the run, as it was given.
        cost: what was computed.
        stopped: "budget" or "interrupt" where that stopped it, else "".
        marks: of its models and functions, where they are known already.
    """
    texts = _texts(_marks(bound) if marks is None else marks)
    draws = bound.draws(state, complete=not stopped)
    settings = {**_settings(bound), "identity": texts, "seed": _plain(seed), "stopped": stopped}
    doubts = bound.model.doubts(bound.sampler.proposals(bound.model))
    if doubts:
        settings["doubts"] = doubts
    return posterior_of(bound, draws, settings, cost)


class _Course:
    """A run under way: its state, what it has cost, and where both are kept."""

    def __init__(self, bound: BoundSampler[Any], keeper: _Keeper | None) -> None:
        self.bound, self.keeper = bound, keeper
        self._before, self._began = bound.cost, own_seconds()
        kept = None if keeper is None else keeper.load()
        self.state, self._spent = (None, Cost()) if kept is None else kept
        self._so_far = self._spent  # at the end of the last whole step

    def cost(self) -> Cost:
        """Return what the run has cost by now, before it was taken up too."""
        return self._spent + replace(
            self.bound.cost - self._before, seconds=own_seconds() - self._began
        )

    def follow(self, bar: Any) -> str:
        """Take step after step; return "budget" or "interrupt" where that stopped it, else ""."""
        bound = self.bound
        try:
            if self.state is None:
                self.state, self._so_far = bound.init(), self.cost()
            while not bound.done(self.state):
                if self._spent_up():
                    return "budget"
                self.state, self._so_far = bound.step(self.state), self.cost()
                self._check_counted()
                bar.set_postfix(bound.vitals(self.state), refresh=False)
                bar.update(bound.count(self.state) - bar.n)
                self._keep()
        except KeyboardInterrupt:
            if self.state is None or not bound.count(self.state):
                raise
            return "interrupt"
        finally:
            if self.state is not None:
                self._keep(now=True)
        return ""

    def _spent_up(self) -> bool:
        budget = self.bound.sampler.budget
        return (
            budget is not None
            and self.bound.whole(self.state)
            and self.bound.spent(self._so_far) >= budget
        )

    def _check_counted(self) -> None:
        spent = self.bound.spent(self._so_far) or self._so_far.draft_tokens
        if self.bound.sampler.budget is not None and not spent:
            name = self.bound.model.settings()["lm"]
            raise ValueError(
                f"a budget needs a language model that counts cost.generated_tokens, and {name!r} "
                "does not"
            )

    def _keep(self, now: bool = False) -> None:
        if self.keeper is not None:
            self.keeper.save(self.state, self._so_far, now)


def _marks(bound: BoundSampler[Any]) -> dict[str, Mark]:
    """Identify models and functions by what they do: the sampler's, and the declaration's."""
    own = {field.name: getattr(bound.sampler, field.name) for field in fields(bound.sampler)}
    functions: dict[str, Any] = {
        name: value
        for name, value in own.items()
        if callable(value) or isinstance(value, LanguageModel | RewardModel)
    }
    mixture = bound.sampler.proposal
    if isinstance(mixture, Mixture) and mixture.has_models:
        functions["components"] = [c.lm for c in mixture.components if isinstance(c, Component)]
    return {name: identify(value) for name, value in (functions | bound.model.functions()).items()}


def _texts(marks: Mapping[str, Mark]) -> dict[str, str]:
    """Return what tells models and functions apart, as texts."""
    return {name: mark.text for name, mark in marks.items() if mark.text is not None}


def _settings(bound: BoundSampler[Any]) -> dict[str, Any]:
    """Return everything that the run is asked to do, in plain values."""
    own = {
        field.name: _plain(getattr(bound.sampler, field.name)) for field in fields(bound.sampler)
    }
    first, *others = map(_plain, bound.sampler.proposals(bound.model))
    proposal = [first, *others] if others else first
    return {**own, "sampler": bound.sampler.name, "proposal": proposal, **bound.model.settings()}


class _Keeper:
    """Keeps a run's state in a file. Raises FileNotFoundError where there is no folder for it."""

    def __init__(self, path: str | Path, identity: Mapping[str, Any]) -> None:
        if not Path(path).parent.is_dir():
            raise FileNotFoundError(
                f"checkpoint needs a folder that exists, and {str(Path(path).parent)!r} does not"
            )
        self.path, self.saved = path, time.perf_counter()
        self.identity = {
            name: value for name, value in identity.items() if name not in GROWING + UNCOMPARED
        }

    def load(self) -> tuple[Any, Cost] | None:
        return checkpoints.load(self.path, self.identity)

    def save(self, state: object, cost: Cost, now: bool = False) -> None:
        """Write the state, if it is time for that."""
        if now or time.perf_counter() - self.saved > SAVE_EVERY:
            checkpoints.save(self.path, self.identity, state, cost)
            self.saved = time.perf_counter()


def _plain(value: object) -> Any:
    """Return a setting as JSON can hold it."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, bool | str | float):
        return value
    if isinstance(value, SupportsIndex):
        return index(value)
    if isinstance(value, Sampling | Mixture | Component):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, LanguageModel | RewardModel):
        return value.name
    return getattr(value, "__qualname__", None) or repr(value)
