"""The parameters of a program: the continuous latents that it draws before anything else.

Markov chains move them in unconstrained coordinates u, theta = T(u), where T is NumPyro's bijection
to each site's support, and with everything else that the program has drawn as it is their density
is

    log p(theta, draws, observed) + log |det dT/du|

`Density` computes it by running the program with parameters that JAX may trace; what a reward model
has said is data in the trace, so that one compiled kernel serves all trajectories of one shape.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.flatten_util import ravel_pytree
from numpyro.distributions import Delta, Distribution, biject_to
from numpyro.primitives import Messenger

from ...aliases import Array, Message
from .execution import Draw, Execution, Request, Unscored
from .handlers import alone
from .program_runner import Left, Runner
from .propagation import score
from .step_law import Step
from .subinference import SubInference

if TYPE_CHECKING:
    from .program import Program


UNTRACEABLE = (
    jax.errors.ConcretizationTypeError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerIntegerConversionError,
)


class Placed(NamedTuple):
    """Parameters at a place.

    Attributes:
        values: by site.
        log_jacobian: log |det dT/du|, in nats.
        log_density: of them and all else, in nats, the Jacobian included.
    """

    values: dict[str, Any]
    log_jacobian: Any
    log_density: Any


def parameters(program: Program, execution: Execution) -> tuple[Draw, ...]:
    """Find the continuous latents that a program draws before anything else, in order.

    Raises:
        ValueError: there are none.
    """
    found = leading(program, execution)
    if not found:
        raise ValueError(
            f"the program {program.name!r} draws no continuous latents before anything else"
        )
    return found


def leading(program: Program, execution: Execution) -> tuple[Draw, ...]:
    """Return the parameters, as `parameters` does; none where it would find no support."""
    return tuple(takewhile(lambda draw: _movable(draw.fn), not_fixed(program, execution)))


def not_fixed(program: Program, execution: Execution) -> list[Draw]:
    """List what a program has drawn that could have come out otherwise: not given, no constant."""
    return [
        draw
        for draw in execution.all_draws
        if draw.name not in program.given and not isinstance(draw.fn, Delta)
    ]


def _movable(fn: Any) -> bool:
    return not (fn is None or isinstance(fn, Step | SubInference) or fn.support.is_discrete)


def unconstrained(draws: Sequence[Draw]) -> np.ndarray:
    """Give the coordinates u of parameters, float64, one after the other."""
    return np.concatenate(
        [
            np.ravel(np.asarray(biject_to(draw.fn.support).inv(draw.value), np.float64))
            for draw in draws
        ]
    )


@dataclass(eq=False)
class Density:
    """Make the density of a program's parameters as a function of their coordinates u.

    It is given all else that the program has drawn.

    Attributes:
        program: the program.
        execution: a run of it.
        names: of the parameters.
        alone: whether nothing but the parameters is looked at: their values and the Jacobian are
            all that is wanted.
    """

    program: Program
    execution: Execution
    names: tuple[str, ...]
    alone: bool = False
    _unravel: Any = field(init=False)

    def __post_init__(self) -> None:
        shapes = {
            draw.name: np.zeros(np.shape(biject_to(draw.fn.support).inv(draw.value)), np.float32)
            for draw in self._own()
        }
        _, self._unravel = ravel_pytree([shapes[name] for name in self.names])

    def __call__(self, u: Array) -> Placed:
        """Return the parameters at u, an array or a trace of one, shape (P,).

        Raises:
            ValueError: the program cannot be traced at its parameters, or does not always have the
                same ones.
        """
        places = dict(zip(self.names, self._unravel(jnp.asarray(u, jnp.float32)), strict=True))
        scoring = _Scoring(self.program, places, self.execution, self.alone)
        try:
            scoring.run()
        except UNTRACEABLE as error:
            raise ValueError(
                f"the program {self.program.name!r} cannot be traced at its parameters "
                f"({' '.join(str(error).split())[:120]}...): "
                "its steps and its branches must not depend on them; the kernel 'random_walk' "
                "does without"
            ) from None
        if scoring.changed:
            raise ValueError(
                f"the program {self.program.name!r} has other parameters elsewhere "
                f"({scoring.changed!r} comes and goes): "
                "particle MCMC needs the same ones in every run"
            )
        return Placed(scoring.values, scoring.log_jacobian, scoring.log_density)

    def _own(self) -> list[Draw]:
        return [draw for draw in self.execution.all_draws if draw.name in self.names]


class _Scoring(Messenger):
    """Runs a program with what it has drawn, but for its parameters, and adds up densities."""

    def __init__(
        self, program: Program, places: Mapping[str, Any], execution: Execution, alone_: bool
    ) -> None:
        super().__init__(None)
        self.program, self.places, self.execution, self.alone = program, places, execution, alone_
        self.pending = iter(
            [draw for draw in not_fixed(program, execution) if draw.name not in places]
        )
        self.values: dict[str, Any] = {}
        self.log_jacobian: Any = 0.0
        self.log_density: Any = 0.0
        self.calls = 0
        self.changed, self.drawn = "", False

    def run(self) -> None:
        """Run the program from its beginning to its end."""
        over, state = False, None
        try:
            with alone(self.execution.roots), self, warnings.catch_warnings():
                # far out, where 0 is what float32 has
                warnings.filterwarnings("ignore", "Out-of-support values")
                while not over:
                    over, state, _ = self.program.after(
                        self.calls, self.program.called(self.calls, state)
                    )
                    self.calls += 1
        except Left:
            pass
        else:
            if next(self.pending, None) is not None:
                self.log_density = -inf  # elsewhere it would not have drawn what it has
        if not self.changed:
            self.changed = next((name for name in self.places if name not in self.values), "")

    def process_message(self, msg: Message) -> None:
        kind = msg["type"]
        if kind == "prng_key":
            msg["value"] = self._next("random key").value
        elif kind == "sample":
            name = self.program.site(msg["name"], self.calls)
            if msg["value"] is None:
                if name in self.places:
                    msg["value"] = self._placed(name, msg["fn"])
                else:
                    msg["value"] = self._next(name, msg["fn"]).value
            elif not self.alone:
                self._add(msg["fn"], msg["value"], msg["scale"])

    def _placed(self, name: str, fn: Any) -> Any:
        transform = biject_to(fn.support)
        u = self.places[name]
        value = self.values[name] = transform(u)
        jacobian = jnp.sum(transform.log_abs_det_jacobian(u, value))
        self.log_jacobian += jacobian
        self.log_density += jacobian
        self._add(fn, value)
        return value

    def _next(self, name: str, fn: Any = None) -> Draw:
        if name in self.program.given or isinstance(fn, Delta):
            value = self.program.given[name] if name in self.program.given else fn.sample(None)
            self._add(fn, value)
            return Draw(name, value, fn)
        if (
            len(self.values) == len(self.places)
            and not self.drawn
            and fn is not None
            and _movable(fn)
        ):
            self.changed = name
            raise Left(None)
        self.drawn = True
        if self.alone:  # parameters come first
            raise Left(None)
        draw = next(self.pending, None)
        if draw is None or draw.name != name:
            self.log_density = -inf
            raise Left(None)
        if isinstance(fn, Step):
            self._step(fn, draw)
        elif fn is not None and not isinstance(fn, SubInference):
            self._add(fn, draw.value)
        return draw

    def _step(self, fn: Step, draw: Draw) -> None:
        """Weigh a step that was drawn.

        A constant where it is sampled as it was, else its probability now.
        """
        if fn.is_like(draw.fn):
            return
        if any(isinstance(place, Tracer) for place in self.places.values()):
            raise ValueError(
                f"the program {self.program.name!r} cannot be traced at its parameters, on which "
                f"its step {draw.name!r} depends; "
                "the kernel 'random_walk' does without"
            )
        self._add(fn, draw.value)

    def _add(self, fn: Distribution, value: Array, scale: Array | None = None) -> None:
        self.log_density += jnp.sum(fn.log_prob(value) * (1.0 if scale is None else scale))


def rebuilt(program: Program, execution: Execution) -> Execution:
    """Draw by this program what a program has drawn: weights and states are computed again.

    The program's parameters may be given.

    Raises:
        RuntimeError: it does not come to the same sites.
    """
    draws = iter([draw for draw in execution.all_draws if draw.name not in program.given])
    here = program.root(execution.roots)
    while here.wanted is not None:
        runner = Runner(program, here)
        request: Request | None = here.wanted
        while request is not None:
            if isinstance(request, Unscored):
                score([(program, request)])
            else:
                draw = next(draws, None)
                if draw is None or draw.name != request.name:
                    raise RuntimeError(
                        f"the program {program.name!r} came to site {request.name!r}, where it "
                        f"had drawn {draw and draw.name!r}"
                    )
                value = request.fn.sample(None) if isinstance(request.fn, Delta) else draw.value
                runner.take(Draw(draw.name, value, request.fn, _log_ratio(draw, request.fn)))
            request = runner.go()
        here = runner.result()
    return here


def _log_ratio(draw: Draw, fn: Distribution) -> float:
    """Compute log p - log q of a draw under another distribution.

    What it was drawn from stays, how probable it is does not.
    """
    if not isinstance(fn, Step) or not fn.trajectory.open or fn.is_like(draw.fn):
        return draw.log_ratio
    value = draw.value
    return fn.log_prob(value) - value.step_proposal_logprob
