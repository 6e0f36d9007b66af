"""One particle's program, run a generation further.

`execution` says how: the program is run again with what it has drawn, and left where it waits.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import Any

import numpy as np
from numpyro.distributions import MaskedDistribution
from numpyro.primitives import Messenger

from ...aliases import Message
from ...models import Trajectory
from . import memo
from .execution import Draw, Execution, Request, Unscored, Wanted
from .handlers import alone
from .log_probs import log_prob_of, unmasked
from .runnable import Runnable
from .truth_laws import Condition, Judgement


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
        self.segment = list(x.segment)
        self.passed, self.calls, self.state = x.passed, x.calls, x.state
        self.log_ratio, self.log_likelihood = x.log_ratio, x.log_likelihood
        self.log_given = x.log_given
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
        base = unmasked(fn)
        if isinstance(base, Judgement):
            self.judged.append((base.trajectory, self._judged(name, base)))
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

    def _judged(self, name: str, judgement: Judgement) -> float:
        """Return the log-odds that a judgement needs, or leave the program to ask for them."""
        self.program.meet(judgement.prm)
        log_odds = memo.judged(judgement.prm, judgement.trajectory)
        if log_odds is not None:
            return log_odds
        place = (self.calls, self._met)
        if place == self._asked:  # it has been answered, and something else is asked here now
            raise RuntimeError(
                f"the program did not do the same again: at site {name!r} it has another reward "
                "model, or another trajectory, each time it is run; make models outside of the "
                "program"
            )
        self._asked = place
        raise Left(Unscored(judgement.prm, judgement.trajectory))


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
