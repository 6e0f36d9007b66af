"""The law of a trajectory with one more step, as a NumPyro distribution."""

from __future__ import annotations

from math import inf, isnan
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from numpyro.distributions import Distribution, constraints

from ...aliases import Array, PRNGKey
from ...models import LanguageModel, Sampling, Trajectory, calls, capabilities, continued
from ...smc.keys import IMPL
from ..answers import Answer, settled
from . import memo

STACKED = (
    "a trajectory is not an array: {what} needs several at a time, "
    "and a step of a language model is drawn one by one"
)
TRACED = (
    "a step of a language model cannot be drawn in a function that JAX traces "
    "(jit, vmap, Predictive with several samples)"
)


class _Trajectories(constraints.Constraint):
    """The set of trajectories: discrete, each of them one event."""

    is_discrete = True

    def __call__(self, x: Array) -> bool:
        return isinstance(x, Trajectory)

    def feasible_like(self, prototype: Array) -> Any:
        raise NotImplementedError

    def tree_flatten(self) -> Any:
        return (), ((), {})


class Step(Distribution):
    """A trajectory with one more step; see `step`."""

    _support = _Trajectories()
    pytree_aux_fields = ("lm", "trajectory", "prior", "answer", "stop_at_answer")

    def __init__(
        self,
        lm: LanguageModel,
        trajectory: Trajectory,
        prior: Sampling,
        answer: Answer,
        stop_at_answer: bool,
    ) -> None:
        self.lm, self.trajectory, self.prior = lm, trajectory, prior
        self.answer, self.stop_at_answer = answer, stop_at_answer
        self._batch_shape = self._event_shape = ()

    def sample(self, key: PRNGKey, sample_shape: tuple[int, ...] = ()) -> Any:
        if sample_shape:
            raise TypeError(STACKED.format(what="sample_shape"))
        if not self.trajectory.open:
            return self.trajectory
        keys = one_key(key)
        [child] = calls.extend(self.lm, [self.trajectory], keys, prior=self.prior)
        return self.closed(child)

    def closed(self, child: Trajectory) -> Trajectory:
        """Close a new step of the trajectory where it states its answer.

        Its probability is remembered.
        """
        value = settled(child, self.answer, self.stop_at_answer)
        memo.remember_logprob(value, self.lm, self.prior, child.step_logprob)
        return value

    def is_like(self, other: object) -> bool:
        """Return whether another distribution gives each step the same probability."""
        if not isinstance(other, Step):
            return False
        return (
            self.lm is other.lm
            and self.prior == other.prior
            and self.trajectory is other.trajectory
            and self.reads_like(other)
        )

    def reads_like(self, other: Step) -> bool:
        """Say whether another distribution ends trajectories and reads answers as this one does."""
        return self.stop_at_answer == other.stop_at_answer and _same_rule(self.answer, other.answer)

    def log_prob(self, value: Array, intermediates: Array | None = None) -> Any:
        """Compute log p(x_t | question, x_1:t-1) in nats; minus infinity where it cannot be drawn.

        It is not computed again where it is known.

        Raises:
            TypeError: the value is not a trajectory.
            ValueError: the probability is not known, and the language model cannot tell it.
        """
        here = self.trajectory
        if not isinstance(value, Trajectory):
            raise TypeError(f"the value of a step must be a Trajectory, not {value!r}")
        if not here.open:  # it stays as it is
            return 0.0 if _same(value, here) else -inf
        if value.parent is None or not _same(value.parent, here):
            return -inf
        logprob = memo.known_logprob(value, self.lm, self.prior)
        if logprob is None:
            logprob = self._asked(value)
            memo.remember_logprob(value, self.lm, self.prior, logprob)
        if isnan(logprob):
            raise ValueError(
                f"the language model {self.lm.name!r} does not tell how probable its steps are"
            )
        return logprob

    def _asked(self, value: Trajectory) -> float:
        if not capabilities(self.lm).scoring:
            raise ValueError(
                f"the probability of {value!r} is not known, and the language model "
                f"{self.lm.name!r} has no method `logprob`"
            )
        [end] = continued(
            self.lm, [self.trajectory], [value], prior=self.prior, proposal=self.prior
        )
        if end is None:
            return -inf
        end = settled(end, self.answer, self.stop_at_answer)
        if (end.finished, end.truncated) != (value.finished, value.truncated):
            return -inf
        return end.step_logprob

    def expand(self, batch_shape: Any) -> Step:
        if tuple(batch_shape):
            raise TypeError(STACKED.format(what="plate"))
        return self

    def mask(self, mask: Array) -> Any:
        if np.shape(mask):
            raise TypeError(STACKED.format(what=f"a mask of shape {np.shape(mask)}"))
        plain: Any = mask if isinstance(mask, Tracer) else bool(mask)
        return super().mask(plain)

    def __repr__(self) -> str:
        return f"Step({self.lm.name!r}, {self.trajectory!r})"


def one_key(key: PRNGKey) -> Any:
    """Put a typed JAX random key into an array of one, from what a handler gives.

    Raises:
        ValueError: there is none.
        TypeError: it is traced.
    """
    if key is None:
        raise ValueError(
            "a step of a language model needs a random key: run the program under "
            "numpyro.handlers.seed, or by a sampler"
        )
    if isinstance(key, Tracer):
        raise TypeError(TRACED)
    typed = jnp.issubdtype(jnp.asarray(key).dtype, jax.dtypes.prng_key)
    data = np.asarray(jax.random.key_data(key) if typed else key, np.uint32).reshape(-1)[:2]
    return jax.random.wrap_key_data(jnp.asarray(data[None]), impl=IMPL)


def _same_rule(one: Answer, other: Answer) -> bool:
    """Return whether two rules are one, or the same code with the same values about it."""
    if one is other:
        return True
    code = getattr(one, "__code__", None)
    if code is None or code is not getattr(other, "__code__", None):
        return False
    for a, b in zip(_held(one), _held(other), strict=True):
        if a is not b and not (isinstance(a, str | int | float | bool) and a == b):
            return False
    return True


def _held(rule: Any) -> list[Any]:
    """Return the values that a function of Python keeps: its defaults, and what it closes over."""
    return [rule.__defaults__, *(cell.cell_contents for cell in rule.__closure__ or ())]


def _same(one: Trajectory, other: Trajectory) -> bool:
    """Return whether two trajectories are one, or say the same in as many steps."""
    if one is other:
        return True
    if one.depth != other.depth or one.question != other.question:
        return False
    return one.token_ids == other.token_ids
