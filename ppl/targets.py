"""Declared targets: what distribution over complete trajectories a sampler samples.

A language model writes trajectories x = x_1..x_tau with prior p(x), and a reward model gives every
step a probability r_t of being right, here as log-odds l_t = logit(r_t). A target is p(x) L(x)^beta
with

    product    L = prod_t r_t                  the state-space model with observations o_t = 1
    odds       L = prod_t r_t / (1 - r_t)      a softmax over the reward model's logits
    final      L = R_tau                       R_t = last, min, product or mean of r_1..r_t

(`final` with the product is `product` again, written otherwise.) A filter reaches L step by step
through potentials G_t, whose product over a closed trajectory is L(x)^beta exactly. For `final`
they are G_t = psi_t / psi_t-1, where psi_0 = 1, psi_tau = R_tau, and in between psi_t = R_t only
steers the search (a twist; Whiteley and Lee 2014), so it may be anything positive: under `last` and
`mean` a low R_t can be made good later, so psi_t is held above a floor, while a low `min` or
`product` is final. Everything is computed from log-odds in log space: r = sigmoid(800) is 1 in
floating point, and so is no longer known to have odds exp(800).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from math import fsum, inf, log
from typing import Literal, get_args

import numpy as np

from .. import checks
from ..log_odds import log_sigmoid

MOST_POWER = 1e9  # of a likelihood or a prior: beyond it every difference is beyond all weighing

Aggregate = Literal["last", "min", "product", "mean"]


@dataclass(frozen=True, kw_only=True)
class Target(ABC):
    """A likelihood of reasoning, to the power `beta`.

    Attributes:
        beta: from 0 to 1e9. At 0 the target is the prior: L^0 = 1, even where L is 0.

    Raises:
        TypeError, ValueError: an attribute is not of its kind, or out of its range.

    Example:
        >>> from motes.ppl import Product
        >>> isinstance(Product(), Target)
        True
    """

    beta: float = 1.0

    def __post_init__(self) -> None:
        checks.settle(self, beta=checks.number("beta", self.beta, least=0, most=MOST_POWER))

    def log_potential(self, log_odds: Sequence[float], closed: bool) -> float:
        """Return log G_t of the last step.

        Args:
            log_odds: l_1..l_t, at least one.
            closed: whether the trajectory ends with this step.

        Returns:
            In nats; minus infinity is legal.

        Raises:
            FloatingPointError: the potential is infinite.
        """
        return self._powered(self._log_potential(log_odds, closed), log_odds) if self.beta else 0.0

    def log_likelihood(self, log_odds: Sequence[float]) -> float:
        """Compute log L(x)^beta of a closed trajectory, in nats, from all its log-odds.

        Raises as `log_potential` does.
        """
        return self._powered(self._log_likelihood(log_odds), log_odds) if self.beta else 0.0

    def _powered(self, value: float, log_odds: Sequence[float]) -> float:
        powered = self.beta * value
        if powered == inf:
            raise FloatingPointError(
                f"the target {self.name!r} is infinite where the reward model gives log-odds up "
                f"to {max(log_odds)}"
            )
        return powered

    @property
    @abstractmethod
    def name(self) -> str:
        """The name that `target` gives this for, without beta."""

    @property
    def log_bound(self) -> float:
        """The most that log L^beta can be, in nats; infinity where nothing is known."""
        return inf

    @abstractmethod
    def _log_potential(self, log_odds: Sequence[float], closed: bool) -> float: ...

    @abstractmethod
    def _log_likelihood(self, log_odds: Sequence[float]) -> float: ...

    def __str__(self) -> str:
        if self.beta == 1:
            return self.name
        return f"{self.name}, likelihood to the power {self.beta:g}"


@dataclass(frozen=True, kw_only=True)
class Product(Target):
    """L = prod_t r_t; G_t = r_t. With beta 1, log Z is log p(o = 1 | c).

    Example:
        >>> round(Product().log_likelihood([0.0, 2.0]), 3)
        -0.82
    """

    @property
    def name(self) -> str:
        return "product"

    @property
    def log_bound(self) -> float:
        return 0.0

    def _log_potential(self, log_odds: Sequence[float], closed: bool) -> float:
        return log_sigmoid(log_odds[-1])

    def _log_likelihood(self, log_odds: Sequence[float]) -> float:
        return _total(map(log_sigmoid, log_odds))


@dataclass(frozen=True, kw_only=True)
class Odds(Target):
    """L = prod_t r_t / (1 - r_t); G_t = r_t / (1 - r_t), so that r_t = 1 is an error.

    Example:
        >>> round(Odds().log_likelihood([0.0, 2.0]), 3)
        2.0
    """

    @property
    def name(self) -> str:
        return "odds"

    def _log_potential(self, log_odds: Sequence[float], closed: bool) -> float:
        if log_odds[-1] == inf:
            raise FloatingPointError(
                "the target 'odds' is infinite where the reward model gives a step probability 1"
            )
        return log_odds[-1]

    def _log_likelihood(self, log_odds: Sequence[float]) -> float:
        return _total(self._log_potential(log_odds[:t], False) for t in range(1, len(log_odds) + 1))


@dataclass(frozen=True, kw_only=True)
class Final(Target):
    """L = R_tau, an aggregate of the step probabilities when the trajectory closes.

    G_t = psi_t / psi_t-1.

    Attributes:
        aggregate: R_t is the "last", "min", "product" or "mean" of r_1..r_t.
        floor: in (0, 1); psi_t = max(R_t, floor) while a trajectory is open, under "last" and
            "mean".

    Example:
        >>> round(Final().log_likelihood([0.0, 2.0]), 3)
        -0.127
    """

    aggregate: Aggregate = "last"
    floor: float = 1e-3

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.choice("aggregate", self.aggregate, get_args(Aggregate))
        checks.settle(self, floor=checks.number("floor", self.floor, above=0, below=1))

    @property
    def name(self) -> str:
        return "final" if self.aggregate == "last" else f"final-{self.aggregate}"

    @property
    def log_bound(self) -> float:
        return 0.0

    def _log_potential(self, log_odds: Sequence[float], closed: bool) -> float:
        before = self._log_twist(log_odds[:-1]) if len(log_odds) > 1 else 0.0
        if before == -inf:
            return 0.0  # dead already
        return (self._log_likelihood(log_odds) if closed else self._log_twist(log_odds)) - before

    def _log_twist(self, log_odds: Sequence[float]) -> float:
        """Return log psi_t of an open trajectory."""
        log_reward = self._log_likelihood(log_odds)
        if self.aggregate in ("last", "mean"):
            return max(log_reward, log(self.floor))
        return log_reward

    def _log_likelihood(self, log_odds: Sequence[float]) -> float:
        match self.aggregate:
            case "last":
                return log_sigmoid(log_odds[-1])
            case "min":
                return log_sigmoid(min(log_odds))
            case "product":
                return _total(map(log_sigmoid, log_odds))
            case "mean":
                return float(np.logaddexp.reduce([log_sigmoid(value) for value in log_odds])) - log(
                    len(log_odds)
                )


TARGETS = {
    "product": Product,
    "odds": Odds,
    "final": Final,
    "final-min": partial(Final, aggregate="min"),
    "final-product": partial(Final, aggregate="product"),
    "final-mean": partial(Final, aggregate="mean"),
}


def resolve(target: str | Target, beta: float = 1.0) -> Target:
    """Return the target of this name with this beta; a `Target` is returned as it is.

    Raises:
        ValueError: the name is unknown, beta is negative, or beta is given with a target that has
            its own.
        TypeError: `target` is neither a name nor a target.
    """
    checks.number("beta", beta, least=0, most=MOST_POWER)
    if isinstance(target, Target):
        if beta != 1:
            raise ValueError(f"beta must be left at 1 with {target!r}, which has a beta of its own")
        return target
    if not isinstance(target, str):
        raise TypeError(f"target must be a name or a Target, not {target!r}")
    if target not in TARGETS:
        raise ValueError(f"target must be one of {', '.join(TARGETS)}, not {target!r}")
    return TARGETS[target](beta=beta)


def _total(terms: Iterable[float]) -> float:
    """Return the sum of terms, infinite where it overflows."""
    values = list(terms)
    try:
        return fsum(values)
    except OverflowError:
        mean = sum(value / len(values) for value in values)
        return inf if mean > 0 else -inf
