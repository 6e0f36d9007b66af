"""The parameters of a program: the continuous latents that it draws before anything else.

Markov chains move them in unconstrained coordinates u, theta = T(u), where T is NumPyro's bijection to each site's support, and with
everything else that the program has drawn as it is their density is

    log p(theta, draws, observed) + log |det dT/du|

`Density` computes it by running the program with parameters that JAX may trace; what a reward model has said is data in the trace, so that
one compiled kernel serves all trajectories of one shape.
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
from jax.flatten_util import ravel_pytree
from numpyro.distributions import biject_to
from numpyro.primitives import Messenger

from .execution import Draw, Execution, Left, Request, Runner, Unscored
from .running import alone
from .sites import Step
from .stepping import score
from .subinference import SubInference

if TYPE_CHECKING:
    from .program import Program


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
    """The continuous latents that a program draws before anything else, in order.

    Raises:
        ValueError: there are none.
    """

    def continuous(draw: Draw) -> bool:
        return not (draw.fn is None or isinstance(draw.fn, Step | SubInference) or draw.fn.support.is_discrete)

    found = tuple(takewhile(continuous, execution.all_draws))
    if not found:
        raise ValueError(f"the program {program.name!r} draws no continuous latents before anything else")
    return found


def unconstrained(draws: Sequence[Draw]) -> np.ndarray:
    """The coordinates u of parameters, float64, one behind the other."""
    return np.concatenate([np.ravel(np.asarray(biject_to(draw.fn.support).inv(draw.value), np.float64)) for draw in draws])


@dataclass(eq=False)
class Density:
    """The density of a program's parameters given all else that it has drawn, as a function of their coordinates u.

    Attributes:
        program: the program.
        execution: a run of it.
        names: of the parameters.
        alone: whether nothing but the parameters is looked at: their values and the Jacobian are all that is wanted.
    """

    program: Program
    execution: Execution
    names: tuple[str, ...]
    alone: bool = False
    _unravel: Any = field(init=False)

    def __post_init__(self) -> None:
        shapes = {draw.name: np.zeros(np.shape(biject_to(draw.fn.support).inv(draw.value)), np.float32) for draw in self._own()}
        _, self._unravel = ravel_pytree([shapes[name] for name in self.names])

    def __call__(self, u: Any) -> Placed:
        """Parameters at u, an array or a trace of one, shape (P,).

        Raises:
            ValueError: the program takes another way where JAX traces its parameters.
        """
        places = dict(zip(self.names, self._unravel(jnp.asarray(u, jnp.float32)), strict=True))
        scoring = _Scoring(self.program, places, self.execution, self.alone)
        try:
            scoring.run()
        except jax.errors.ConcretizationTypeError as error:
            raise ValueError(
                f"the program {self.program.name!r} cannot be traced at its parameters ({' '.join(str(error).split())[:120]}...): "
                "its steps and its branches must not depend on them; the kernel 'random_walk' does without"
            ) from None
        return Placed(scoring.values, scoring.log_jacobian, scoring.log_density)

    def _own(self) -> list[Draw]:
        return [draw for draw in self.execution.all_draws if draw.name in self.names]


class _Scoring(Messenger):
    """Runs a program with what it has drawn, but for its parameters, and adds up densities."""

    def __init__(self, program: Program, places: Mapping[str, Any], execution: Execution, alone_: bool) -> None:
        super().__init__(None)
        self.program, self.places, self.execution, self.alone = program, places, execution, alone_
        self.pending = iter([draw for draw in execution.all_draws if draw.name not in places])
        self.values: dict[str, Any] = {}
        self.log_jacobian: Any = 0.0
        self.log_density: Any = 0.0
        self.calls = 0

    def run(self) -> None:
        """The program from its beginning to its end."""
        over, state = False, None
        try:
            with alone(self.execution.roots), self, warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Out-of-support values")  # far out, where 0 is what float32 has
                while not over:
                    over, state, _ = self.program.after(self.calls, self.program.called(self.calls, state))
                    self.calls += 1
        except Left:
            return
        if next(self.pending, None) is not None:
            self.log_density = -inf  # elsewhere it would not have drawn what it has

    def process_message(self, msg: Any) -> None:
        kind = msg["type"]
        if kind == "prng_key":
            msg["value"] = self._next("random key").value
        elif kind == "sample":
            name = self.program.site(msg["name"], self.calls)
            if msg["value"] is None:
                msg["value"] = self._placed(name, msg["fn"]) if name in self.places else self._next(name, msg["fn"]).value
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
        if self.alone:  # parameters come first
            raise Left(None)
        draw = next(self.pending, None)
        if draw is None or draw.name != name:
            self.log_density = -inf
            raise Left(None)
        if fn is not None and not isinstance(fn, Step | SubInference):
            self._add(fn, draw.value)
        return draw

    def _add(self, fn: Any, value: Any, scale: Any = None) -> None:
        self.log_density += jnp.sum(fn.log_prob(value) * (1.0 if scale is None else scale))


def rebuilt(program: Program, execution: Execution) -> Execution:
    """What a program has drawn, drawn by this program, whose parameters may be given: weights and states are worked out again.

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
                        f"the program {program.name!r} came to site {request.name!r}, where it had drawn {draw and draw.name!r}"
                    )
                runner.take(Draw(draw.name, draw.value, request.fn, draw.log_ratio))
            request = runner.go()
        here = runner.result()
    return here
