"""The laws of truths, as NumPyro distributions: that a step is right, that something is allowed."""

from __future__ import annotations

from math import exp, inf, log, log1p
from numbers import Real
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.distributions import Distribution, constraints

from ...aliases import Array, PRNGKey
from ...log_odds import log_sigmoid
from ...models import RewardModel, Trajectory
from . import memo


class Judgement(Distribution):
    """Bernoulli(r^power) with a reward model's r; see `judgement`."""

    _support = constraints.boolean
    has_enumerate_support = True
    pytree_aux_fields = ("prm", "trajectory")
    pytree_data_fields = ("power",)

    def __init__(self, prm: RewardModel, trajectory: Trajectory, power: Array) -> None:
        self.prm, self.trajectory, self.power = prm, trajectory, power
        self._batch_shape = self._event_shape = ()

    @property
    def log_odds(self) -> float:
        """The reward model's, which is asked where it has not scored the trajectory yet."""
        memo.judge(self.prm, [self.trajectory])
        log_odds = memo.judged(self.prm, self.trajectory)
        assert log_odds is not None
        return log_odds

    @property
    def probs(self) -> Any:
        """r^power."""
        return jnp.exp(self.log_prob(1))

    def sample(self, key: PRNGKey, sample_shape: tuple[int, ...] = ()) -> Any:
        return jax.random.bernoulli(key, self.probs, sample_shape).astype(int)

    def log_prob(self, value: Array, intermediates: Array | None = None) -> Any:
        """Return log r^power of 1, log(1 - r^power) of 0, in nats, from log-odds in log space."""
        plain = isinstance(self.power, float)
        if plain and isinstance(value, bool | int):
            return self.log_r if value else _log_fail(self.log_odds, self.power)
        if plain:
            right, wrong = self.log_r, _log_fail(self.log_odds, self.power)
        else:
            right, wrong = _traced(log_sigmoid(self.log_odds), self.power)
        return jnp.where(jnp.asarray(value) == 1, right, wrong)

    @property
    def log_r(self) -> float:
        """log r^power, where the power is a number."""
        return self.power * log_sigmoid(self.log_odds) if self.power else 0.0

    def enumerate_support(self, expand: bool = True) -> Any:
        return jnp.arange(2)

    def __repr__(self) -> str:
        return f"Judgement({self.prm.name!r}, {self.trajectory!r}, power={self.power})"


class Condition(Distribution):
    """True with probability 1 where it is allowed, 0 elsewhere; see `condition`."""

    _support = constraints.boolean
    pytree_data_fields = ("allowed",)

    def __init__(self, allowed: Array) -> None:
        self.allowed = allowed
        self._batch_shape = self._event_shape = ()

    def sample(self, key: PRNGKey, sample_shape: tuple[int, ...] = ()) -> Any:
        return jnp.broadcast_to(jnp.asarray(self.allowed), sample_shape)

    def log_prob(self, value: Array, intermediates: Array | None = None) -> Any:
        if isinstance(self.allowed, bool | np.bool_) and isinstance(value, bool):
            return 0.0 if bool(self.allowed) == value else -inf
        return jnp.where(jnp.asarray(self.allowed) == jnp.asarray(value), 0.0, -inf)


def _traced(log_r: float, power: Array) -> tuple[Any, Any]:
    """Return log r^power and log(1 - r^power), differentiable in the power where they are finite.

    What is infinite is chosen by its own branch, so that it leaves no trace in another's gradient;
    log r is an array of one number, which a trace holds as data and not as a literal of its code.
    """
    known = jnp.asarray(np.array([log_r]))[0]
    certain, impossible = known == 0, known == -inf
    within = jnp.where(certain | impossible, -1.0, known)
    product = power * within
    right = jnp.where(
        power == 0, 0.0, jnp.where(certain, 0.0, jnp.where(impossible, -inf, product))
    )
    inside = jnp.where(
        power == 0, -1.0, jnp.minimum(product, -jnp.finfo(jnp.result_type(float)).tiny)
    )
    wrong = jnp.where(
        power == 0,
        -inf,
        jnp.where(certain, -inf, jnp.where(impossible, 0.0, jnp.log(-jnp.expm1(inside)))),
    )
    return right, wrong


def _log_fail(log_odds: float, power: Real | float) -> float:
    """Return log(1 - r^power)."""
    if power == 1:
        return log_sigmoid(-log_odds)
    log_r = float(power) * log_sigmoid(log_odds) if power else 0.0
    if log_r == 0:
        return -inf
    return log(-np.expm1(log_r)) if log_r > -0.6931 else log1p(-exp(log_r))
