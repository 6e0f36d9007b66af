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
from dataclasses import dataclass, field, replace
from math import inf, nan
from typing import Any, NamedTuple, TypeAlias

import jax
import numpy as np
from numpyro.distributions import Distribution, MaskedDistribution
from numpyro.primitives import Messenger

from ...aliases import Array, Message
from ...models import RewardModel, Trajectory
from . import memo
from .handlers import Roots, alone
from .runnable import Runnable
from .sites import Condition, Judgement, Step


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


class Left(BaseException):
    """A program is left where it waits; a BaseException, so that programs do not catch it."""

    def __init__(self, request: Request | None) -> None:
        self.request = request


@dataclass(eq=False)
class Runner(Messenger):
    """Takes one particle's program a generation further; handed what it asks for, it goes on.

    It is a NumPyro handler, the outermost of those that a program runs under.
    """

    program: Runnable
    before: Execution
    draws: list[Draw] = field(default_factory=list)
    segment: list[Draw] = field(default_factory=list)
    passed: int = 0
    calls: int = 0
    state: Any = None
    value: Any = None
    over: bool = False
    observed: bool = False
    log_ratio: float = 0.0
    log_likelihood: float = 0.0
    log_given: float = 0.0
    excluded: bool = False
    impossible: bool = False
    trajectory: Trajectory | None = None
    judged: list[tuple[Trajectory, float]] = field(default_factory=list)
    recorded: dict[str, Any] = field(default_factory=dict)
    opening: tuple[Draw, ...] = ()
    wanted: Wanted | None = None
    _replayed: int = 0
    _met: int = 0
    _asked: tuple[int, int] = (-1, -1)

    def __post_init__(self) -> None:
        self.fn = None  # Messenger's own
        x = self.before
        self.segment, self.passed, self.calls, self.state = (
            list(x.segment),
            x.passed,
            x.calls,
            x.state,
        )
        self.log_ratio, self.log_likelihood, self.log_given = (
            x.log_ratio,
            x.log_likelihood,
            x.log_given,
        )
        self.trajectory, self.wanted, self.opening = x.trajectory, x.wanted, x.opening

    def take(self, draw: Draw) -> None:
        """Take the draw that it waited for."""
        self.draws.append(draw)
        self.segment.append(draw)
        self.log_ratio += draw.log_ratio
        self.wanted = None
        if isinstance(draw.value, Trajectory):
            self.trajectory = draw.value
            self.impossible = draw.log_ratio == -inf

    def go(self) -> Request | None:
        """Run on; what it asks for, or None where the generation is over."""
        if self.impossible:
            return None
        try:
            with alone(self.before.roots), self:
                while not self.over:
                    self._replayed = self._met = 0
                    self._returned(self.program.called(self.calls, self.state))
        except Left as left:
            if isinstance(left.request, Wanted):
                self.wanted = left.request
                return None if self.observed or self.before.length < 0 else left.request
            return left.request
        return None

    def result(self) -> Execution:
        """Give the particle one generation later."""
        assert self.trajectory is not None
        first = self.before.length < 0
        return Execution(
            parent=None if first else self.before,
            length=self.before.length + 1,
            trajectory=self.trajectory,
            roots=self.before.roots,
            draws=tuple(self.draws),
            segment=tuple(self.segment),
            passed=self.passed,
            calls=self.calls,
            state=self.state,
            wanted=None if self.over or self.excluded else self.wanted,
            value=self.value,
            log_ratio=self.log_ratio,
            log_likelihood=self.log_likelihood,
            log_given=self.log_given,
            excluded=self.excluded,
            impossible=self.impossible,
            judged=tuple(self.judged),
            recorded=tuple(self.recorded.items()),
            opening=self.opening,
        )

    def process_message(self, msg: Message) -> None:
        """Answer a site: with what was drawn, or by leaving the program."""
        kind = msg["type"]
        if kind == "control_flow":
            raise TypeError(
                "numpyro's scan and cond are traced, and a program is run eagerly: "
                "use Python's own loops and branches"
            )
        if kind == "prng_key":
            msg["value"] = self._value(
                Wanted(self.program.site(f"random key {self._replayed}", self.calls), None)
            )
        elif kind == "sample":
            name = self.program.site(msg["name"], self.calls)
            if msg["value"] is not None:
                self._meet(name, msg)
            else:
                _check_drawn(name, msg)
                msg["value"] = self._value(
                    Wanted(name, msg["fn"], msg["kwargs"].get("sample_shape", ()))
                )

    def postprocess_message(self, msg: Message) -> None:
        """Keep what a deterministic site records."""
        if msg["type"] == "deterministic":
            self.recorded[self.program.site(msg["name"], self.calls)] = msg["value"]

    def _returned(self, returned: object) -> None:
        """Note that a function has returned: the program is over, or its next call follows."""
        self.over, self.state, self.value = self.program.after(self.calls, returned)
        self.opening = self.opening if self.calls else tuple(self.segment)
        self.calls, self.segment, self.passed = self.calls + 1, [], 0

    def _value(self, wanted: Wanted) -> Any:
        place = self._replayed
        if place < len(self.segment):
            draw = self.segment[place]
            if draw.name != wanted.name:
                raise RuntimeError(
                    f"the program did not do the same again: it came to site {wanted.name!r} "
                    f"where it had been at {draw.name!r}; "
                    "nothing in it may be random but its sites, and nothing may be changed in place"
                )
        elif any(draw.name == wanted.name for draw in (*self.segment, *self.opening)):
            raise ValueError(f"site {wanted.name!r} occurs twice: names of sites must be unique")
        elif wanted.name in self.program.given:
            value = self.program.given[wanted.name]
            draw = Draw(wanted.name, value, wanted.fn, log_prob_of(wanted.name, wanted.fn, value))
            self.take(draw)
        else:
            raise Left(wanted)
        self._replayed += 1
        return draw.value

    def _meet(self, name: str, msg: Message) -> None:
        """Account once for an observation, or for a value that a handler put in place of a draw."""
        self._met += 1
        if self._met <= self.passed:
            return
        fn, value = msg["fn"], msg["value"]
        if isinstance(base := unmasked(fn), Judgement):
            self.program.meet(base.prm)
            if (log_odds := memo.judged(base.prm, base.trajectory)) is None:
                if self._asked == (place := (self.calls, self._met)):
                    raise RuntimeError(
                        f"the program did not do the same again: at site {name!r} it has another "
                        "reward model, or another trajectory, each "
                        "time it is run; make models outside of the program"
                    )
                self._asked = place
                raise Left(Unscored(base.prm, base.trajectory))
            self.judged.append((base.trajectory, log_odds))
        log_prob = log_prob_of(name, fn, value, msg["scale"])
        if isinstance(base, Condition):
            self.excluded = log_prob == -inf
        elif msg["is_observed"]:
            self.log_likelihood += log_prob
        else:
            self.log_ratio += log_prob
            self.log_given += log_prob
        self.passed += 1
        self.observed = self.observed or bool(msg["is_observed"])
        if self.excluded:
            raise Left(None)


def unmasked(fn: Distribution) -> Any:
    """Strip a distribution of its masks."""
    while isinstance(fn, MaskedDistribution):
        fn = fn.base_dist
    return fn


def log_prob_of(name: str, fn: Distribution, value: Array, scale: Array | None = None) -> float:
    """Return the log-probability of a site's value, in nats, summed over its parts.

    Raises:
        FloatingPointError: it is NaN, or plus infinity.
    """
    total: Any = fn.log_prob(value)
    if scale is not None or not isinstance(total, float):
        total = float(np.sum(np.asarray(total, np.float64) * (1.0 if scale is None else scale)))
    if not total < inf:  # true of NaN too
        raise FloatingPointError(
            f"the log-probability at site {name!r} is {total}: it must be a number below infinity"
        )
    return total


def _check_drawn(name: str, msg: Message) -> None:
    """Raise ValueError where a drawn site is weighed by a handler."""
    scale = msg["scale"]
    if isinstance(msg["fn"], MaskedDistribution) or not (
        scale is None or np.all(np.asarray(scale) == 1)
    ):
        raise ValueError(
            f"site {name!r} is drawn: a mask or a scale has a meaning for a sampler "
            "on what is observed alone"
        )


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


def log_prior(draw: Draw) -> float:
    """Compute log p of a draw, in nats; NaN where it is not known."""
    if isinstance(draw.fn, Step):
        return draw.fn.log_prob(draw.value)
    try:
        return nan if draw.fn is None else log_prob_of(draw.name, draw.fn, draw.value)
    except NotImplementedError:
        return nan
