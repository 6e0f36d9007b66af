"""What to keep of a run: the caller's choice.

A collector is a function of a `Step`; what it returns at each step is stacked along a leading axis
of T. A `Fold` has a memory instead, and only what it holds at the end is kept: what one wants to
know of a million particles is rarely a thing of every step. Both are traced where the model is, in
float64.

    from motes.smc import collectors run(model, 0, 1000, steps=50, collect={"ess": collectors.ess,
    "mean": mean(lambda x: x), "eves": EVES})
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import jax
import numpy as np

from ..aliases import Array, PyTree
from . import weights
from .arrays import float64, namespace, stack

if TYPE_CHECKING:
    from .driver import State, Step


@dataclass(frozen=True)
class Fold:
    """A collector with a memory.

    Attributes:
        start: the first state -> what it holds before the first step.
        update: (what it holds, step) -> what it holds after the step.

    Example:
        >>> import jax
        >>> from motes import smc
        >>> model = smc.Model(
        ...     initial=lambda key, slots: jax.random.normal(key, (slots,)),
        ...     move=lambda t, key, x: x + jax.random.normal(key, x.shape),
        ...     log_potential=lambda t, before, after: -0.5 * after**2,
        ... )
        >>> least = Fold(
        ...     start=lambda state: float("inf"),
        ...     update=lambda held, step: jax.numpy.minimum(held, smc.ess(step.state.log_weights)),
        ... )
        >>> result = smc.run(model, seed=0, slots=100, steps=3, collect={"least": least})
        >>> bool(0 < result.collected["least"] < 100)
        True
    """

    start: Callable[[State], Any]
    update: Callable[[Any, Step], Any]


Collector: TypeAlias = Callable[["Step"], Any] | Fold
Collectors: TypeAlias = Mapping[str, Collector]


def ess(step: Step) -> Any:
    """Compute the effective sample size after reweighing, in particles."""
    return weights.ess(step.state.log_weights)


def entropy(step: Step) -> Any:
    """Compute the entropy of the weights after reweighing, in nats."""
    return weights.entropy(step.state.log_weights)


def resampled(step: Step) -> Any:
    """Say whether the population was resampled just before the move."""
    return step.resampled


def log_increments(step: Step) -> Any:
    """Compute log sum_i W_t-1^i G_t^i, in nats."""
    return step.log_increment


def ancestors(step: Step) -> Array:
    """Give the slot at t-1 from which each slot descends, shape (N,)."""
    return step.ancestors


def log_weights(step: Step) -> Array:
    """Return the normalised log-weights after the step, shape (N,)."""
    return step.state.log_weights


def particles(step: Step) -> Any:
    """Give the population after the step."""
    return step.state.particles


def mean(f: Callable[[Any], Array]) -> Collector:
    """Estimate E f(x_t) by sum_i W_t^i f(x_t^i).

    f maps a population to an array of shape (N, ...).

    Dead particles count nothing, whatever f says of them.

    Example:
        >>> import jax
        >>> from motes import smc
        >>> model = smc.Model(
        ...     initial=lambda key, slots: jax.random.normal(key, (slots,)),
        ...     move=lambda t, key, x: x + jax.random.normal(key, x.shape),
        ...     log_potential=lambda t, before, after: -0.5 * after**2,
        ...     density=lambda t, before, after: -0.5 * (after - before) ** 2,
        ... )
        >>> result = smc.run(model, seed=0, slots=100, steps=3, collect={"mean": mean(lambda x: x)})
        >>> result.collected["mean"].shape
        (3,)
    """

    def collect(step: Step) -> Any:
        values, log_weights = f(step.state.particles), step.state.log_weights
        xp = namespace(values)
        if values.shape[:1] != log_weights.shape:
            raise ValueError(
                f"mean's function must return one row for each of {len(log_weights)} particles, "
                f"not the shape {values.shape}"
            )
        weight = xp.exp(log_weights).reshape(-1, *(1,) * (values.ndim - 1))
        return xp.where(weight > 0, weight * values, 0.0).sum(axis=0)

    return collect


def _slots(state: State) -> Array:
    return namespace(state.log_weights).arange(len(state.log_weights), dtype=np.int32)


EVES = Fold(_slots, lambda eves, step: eves[step.ancestors])
"""The slot of generation 0 from which each particle descends, at the end; shape (N,)."""


class Recorder:
    """Collects from steps that are taken one by one on the host.

    Args:
        collect: the collectors by name.
        state: the state before the first step.

    Example:
        >>> import jax
        >>> from motes import smc
        >>> model = smc.Model(
        ...     initial=lambda key, slots: jax.random.normal(key, (slots,)),
        ...     move=lambda t, key, x: x + jax.random.normal(key, x.shape),
        ...     log_potential=lambda t, before, after: -0.5 * after**2,
        ... )
        >>> keys = smc.TracedKeys(jax.random.key(0))
        >>> state = smc.start(model, keys, 100)
        >>> recorder = Recorder({"mean": mean(lambda x: x)}, state)
        >>> for step in smc.steps(model, state, keys, smc.Resampling(), count=3):
        ...     recorder.record(step)
        >>> recorder.collected()["mean"].shape
        (3,)
    """

    def __init__(self, collect: Collectors, state: State) -> None:
        self._collect = dict(collect)
        self._held = {
            name: how.start(state) for name, how in collect.items() if isinstance(how, Fold)
        }
        self._values: dict[str, list[Any]] = {
            name: [] for name, how in collect.items() if not isinstance(how, Fold)
        }

    def record(self, step: Step) -> None:
        """Collect from one step."""
        with float64():
            for name, how in self._collect.items():
                if isinstance(how, Fold):
                    self._held[name] = how.update(self._held[name], step)
                else:
                    self._values[name].append(how(step))

    def collected(self) -> dict[str, Any]:
        """Give the values so far, by name.

        Before the first step, a collector without memory has an empty array.
        """
        collected = {}
        for name in self._collect:
            if name in self._held:
                collected[name] = self._held[name]
            else:
                values = self._values[name]
                collected[name] = stack(values) if values else np.empty(0)
        return collected


def traced(
    collect: Collectors,
) -> tuple[Callable[[State], Any], Callable[[Any, Step], tuple[Any, Any]]]:
    """Make collectors for a scan.

    Returns what the folds hold at first, and (held, step) -> (held, values).
    """
    folds = {name: how for name, how in collect.items() if isinstance(how, Fold)}
    functions = {name: how for name, how in collect.items() if not isinstance(how, Fold)}

    def start(state: State) -> Any:
        return {
            name: jax.tree.map(jax.numpy.asarray, fold.start(state)) for name, fold in folds.items()
        }

    def update(held: PyTree, step: Step) -> tuple[Any, Any]:
        held = {name: fold.update(held[name], step) for name, fold in folds.items()}
        return held, {name: function(step) for name, function in functions.items()}

    return start, update
