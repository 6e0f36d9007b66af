"""A program under way in one particle: what it has drawn, what that weighs, and where it waits.

A Python function cannot be copied while it runs, and particles are copied all the time. So a
particle keeps what its program has drawn, and the program is run again with those values until it
comes to something that it does not have yet:

    a draw        a step of a language model, a number, the result of a sub-inference
    a score       of a reward model, which an observation needs

There it is left by an exception, with a request; when all particles' requests have been answered,
in one batch, it is run again. It must do the same again, given the same values: nothing may be
random in it but its sites, and nothing may be changed in place.

An observation ends a generation, together with all others that follow before the next draw. In step
form only the present call of `step` is run again, so that what a generation costs does not grow
with the length of the run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeAlias

import jax
import numpy as np

from ...models import RewardModel, Trajectory
from .handlers import Roots


class Draw(NamedTuple):
    """A value that a program has drawn.

    Attributes:
        name: of its site.
        value: a trajectory, a number or an array, the result of a sub-inference, a random key.
        fn: its distribution; None for a random key.
        log_ratio: log p - log q in nats, q being what it was drawn from; log p, where it was given
            and not drawn.
    """

    name: str
    value: Any
    fn: Any
    log_ratio: float = 0.0


class Wanted(NamedTuple):
    """A draw that a program waits for.

    Attributes:
        name: of its site.
        fn: its distribution; None for a random key.
        shape: how many independent draws, as NumPyro's `sample_shape`.
    """

    name: str
    fn: Any
    shape: tuple[int, ...] = ()


class Unscored(NamedTuple):
    """A score that a program waits for."""

    prm: RewardModel
    trajectory: Trajectory


Request: TypeAlias = "Wanted | Unscored"


@dataclass(frozen=True, eq=False, slots=True)
class Execution:
    """A program after some generations, as a particle holds it.

    See `motes.ppl.interfaces.Reasoning`.

    Attributes:
        parent: it one generation before; None before the first.
        length: generations.
        draws: of this generation.
        segment: draws since the present function was called: the whole program, or `init` or one
            call of `step` in step form.
        passed: observations in the segment that are accounted for.
        calls: of `step`, completed.
        state: that the present call of `step` was given; None for a whole program.
        wanted: the draw that it waits for; None where it has returned, or goes no further.
        value: what it has returned.
        log_ratio: sum of the draws' log p - log q, and of the densities of what was given, in nats.
        log_likelihood: of the observations, in nats, conditions apart.
        excluded: whether a condition is violated.
        impossible: whether a step has left its prior's support.
        trajectory: the one that was written last.
        log_given: of `log_ratio` what values that a handler has substituted count for: their
            densities.
        judged: the steps that were judged in this generation, with their log-odds.
        recorded: values of deterministic sites of this generation.
        opening: draws of `init` in step form, once it has returned.
        log_twist: see `motes.ppl.Particle`.
        roots: trajectories without steps, shared by the whole run.
    """

    parent: Execution | None
    length: int
    trajectory: Trajectory
    roots: Roots
    draws: tuple[Draw, ...] = ()
    segment: tuple[Draw, ...] = ()
    passed: int = 0
    calls: int = 0
    state: Any = None
    wanted: Wanted | None = None
    value: Any = None
    log_ratio: float = 0.0
    log_likelihood: float = 0.0
    log_given: float = 0.0
    excluded: bool = False
    impossible: bool = False
    judged: tuple[tuple[Trajectory, float], ...] = ()
    recorded: tuple[tuple[str, Any], ...] = ()
    opening: tuple[Draw, ...] = ()
    log_twist: float = 0.0

    @property
    def open(self) -> bool:
        """Whether it waits for a draw."""
        return self.wanted is not None

    @property
    def path(self) -> list[Execution]:
        """It after 0, 1, ... generations."""
        found: list[Execution] = []
        here: Execution | None = self
        while here is not None:
            found.append(here)
            here = here.parent
        return [x.twisted(0.0) for x in reversed(found)]

    @property
    def log_odds(self) -> tuple[float, ...]:
        """Log-odds of its trajectory's steps, as first judged; empty if a step was not judged."""
        judged: dict[Trajectory, float] = {}
        here: Execution | None = self
        while here is not None:
            judged = judged | dict(reversed(here.judged))  # going back: the earliest word stays
            here = here.parent
        steps = self.trajectory.path[1:]
        if not all(x in judged for x in steps):
            return ()
        return tuple(judged[x] for x in steps)

    @property
    def all_draws(self) -> list[Draw]:
        """All that it has drawn, in order."""
        return [draw for x in self.path for draw in x.draws]

    def twisted(self, log_twist: float) -> Execution:
        """Give the same with this twist."""
        return self if log_twist == self.log_twist else replace(self, log_twist=log_twist)

    def placed(self, trajectory: Trajectory) -> Execution:
        """Give the same at another trajectory."""
        return replace(self, trajectory=trajectory)

    def __repr__(self) -> str:
        if self.open:
            state = "open"
        elif self.excluded:
            state = "excluded"
        else:
            state = f"returned {self.value!r}"
        return f"<Execution of {self.length} generations, {state}: {self.trajectory!r}>"


def numbers(draws: Iterator[tuple[str, Any]]) -> Mapping[str, Any]:
    """Return those of named values that are numbers or arrays of numbers."""
    found = {}
    for name, value in draws:
        if isinstance(value, Trajectory) or (
            isinstance(value, jax.Array) and jax.dtypes.issubdtype(value.dtype, jax.dtypes.prng_key)
        ):
            continue
        if isinstance(value, bool | int | float | np.ndarray | np.generic | jax.Array):
            found[name] = np.asarray(value, np.float64)
    return found
