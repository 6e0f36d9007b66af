"""Particle Gibbs: a Markov chain of whole paths (Andrieu, Doucet and Holenstein 2010).

A sweep runs conditional SMC on the current path and draws the next one from what came of it. It
leaves the target

    gamma_T(x_0:T) / Z_T

invariant for every number of particles N >= 2; N decides how fast it moves. Without help the path's
early part hardly moves when T is large, because all particles descend from the reference there.
Ancestor sampling (Lindsten, Jordan and Schon 2014) and backward sampling (Whiteley 2010; Lindsten
and Schon 2013) are the cures; either needs the transition's density.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..aliases import Array, Particles, PRNGKey, PyTree
from .backward import backward_slots
from .conditional_smc import check_conditional, conditional
from .feynman_kac import FeynmanKac, Hosted, Spliceable, Tractable
from .generations import draw_path, path
from .keys import RunKeys, Seed, TracedKeys, hosted_keys, traced_key
from .resampling import Resampling
from .weights import log_sum_exp

PASTS = ("reference", "ancestor", "backward")


class Chain(NamedTuple):
    """A chain of paths.

    Attributes:
        paths: S paths along a leading axis, leaves of shape (S, T + 1, ...); a list of object
            arrays for a hosted model, whose paths differ in length.
        moved: by sweep and generation, whether the path's particle there is another slot's than the
            reference's; bool, (S, T + 1), or a list.

    Example:
        >>> import jax
        >>> from motes import smc
        >>> model = smc.Model(
        ...     initial=lambda key, slots: jax.random.normal(key, (slots,)),
        ...     move=lambda t, key, x: x + jax.random.normal(key, x.shape),
        ...     log_potential=lambda t, before, after: -0.5 * after**2,
        ...     density=lambda t, before, after: -0.5 * (after - before) ** 2,
        ... )
        >>> chain = smc.particle_gibbs(model, 0, jax.numpy.zeros(4), sweeps=5, slots=10)
        >>> chain._fields
        ('paths', 'moved')
    """

    paths: Any
    moved: Any

    @property
    def update_rate(self) -> np.ndarray:
        """How often the path's particle of each generation was replaced, shape (T + 1,).

        Where lengths differ: among the sweeps that reached the generation.
        """
        longest = max(map(len, self.moved))
        rows = np.full((len(self.moved), longest), np.nan)
        for row, moved in zip(rows, self.moved, strict=True):
            row[: len(moved)] = moved
        return np.nanmean(rows, axis=0)


def sweep(
    model: FeynmanKac[Any],
    keys: RunKeys | TracedKeys,
    reference: Particles,
    slots: int,
    resampling: Resampling = Resampling("killing"),
    past: str = "ancestor",
) -> tuple[Any, Array]:
    """Take one step of the chain from the path `reference`.

    Args:
        model: traced, and then this may be traced too; or hosted.
        keys: of this sweep.
        reference: its particles at generations 0 to T along a leading axis.
        slots: N, at least 2.
        resampling: its scheme one of `motes.smc.CONDITIONAL`.
        past: "reference" for the plain sampler, "ancestor" for ancestor sampling (a `Spliceable`
            model), "backward" for backward sampling (a traced, `Tractable` model).

    Returns:
        The next path, and the slots it went through, shape (T + 1,); slot 0 is the reference's.

    Raises:
        ValueError, TypeError: an argument is not of its kind, or does not go with another.
        FloatingPointError: as `motes.smc.advance` does.

    Example:
        >>> import jax
        >>> from motes import smc
        >>> model = smc.Model(
        ...     initial=lambda key, slots: jax.random.normal(key, (slots,)),
        ...     move=lambda t, key, x: x + jax.random.normal(key, x.shape),
        ...     log_potential=lambda t, before, after: -0.5 * after**2,
        ...     density=lambda t, before, after: -0.5 * (after - before) ** 2,
        ... )
        >>> keys = smc.TracedKeys(jax.random.key(0))
        >>> drawn, slots = sweep(model, keys, jax.numpy.zeros(4), slots=10)
        >>> drawn.shape
        (4,)
    """
    check_sweep(model, slots, resampling, past)
    return _sweep(model, keys, reference, slots, resampling, past)[:2]


def particle_gibbs(
    model: FeynmanKac[Any],
    seed: Seed,
    initial: PyTree,
    sweeps: int,
    slots: int,
    resampling: Resampling = Resampling("killing"),
    past: str = "ancestor",
) -> Chain:
    """Run a chain of `sweeps` paths after the path `initial`; see `sweep` for the arguments.

    A start of positive weight is one that an ordinary filter ends with: `draw_path(keys,
    generations(model, keys, slots, steps))`.

    The seed is an integer in [0, 2**32), or the `RunKeys` of a hosted model, or a typed JAX random
    key for a traced one, which is compiled with everything it closes over.

    Raises:
        ValueError, TypeError, FloatingPointError: as `sweep` does.

    Example:
        >>> import jax
        >>> from motes import smc
        >>> model = smc.Model(
        ...     initial=lambda key, slots: jax.random.normal(key, (slots,)),
        ...     move=lambda t, key, x: x + jax.random.normal(key, x.shape),
        ...     log_potential=lambda t, before, after: -0.5 * after**2,
        ...     density=lambda t, before, after: -0.5 * (after - before) ** 2,
        ... )
        >>> chain = particle_gibbs(model, 0, jax.numpy.zeros(4), sweeps=5, slots=10)
        >>> type(chain).__name__
        'Chain'
    """
    check_sweep(model, slots, resampling, past)
    if isinstance(model, Hosted):
        return _hosted_chain(model, hosted_keys(seed), initial, sweeps, slots, resampling, past)
    chain, totals = _traced_chain(
        model, traced_key(seed), jax.tree.map(jnp.asarray, initial), sweeps, slots, resampling, past
    )
    totals = np.asarray(totals)
    if len(faulty := np.flatnonzero(~np.isfinite(totals))):
        if totals[faulty[0]] == -np.inf:
            what = "all particles are dead, the reference too"
        else:
            what = "a weight is NaN or infinite"
        raise FloatingPointError(
            f"sweep {faulty[0] + 1}: {what}; look at log_potential and log_splice"
        )
    return chain


def _sweep(
    model: FeynmanKac[Any],
    keys: RunKeys | TracedKeys,
    reference: Particles,
    slots: int,
    resampling: Resampling,
    past: str,
) -> tuple[Any, Array, Any]:
    """Give the next path, its slots, and the log-sum of its population's weights.

    The log-sum is 0 if all is well.
    """
    generations = conditional(
        model, keys, reference, slots, resampling, ancestor_sampling=past == "ancestor"
    )
    total = log_sum_exp(generations.log_weights[-1])
    if past != "backward":
        return *draw_path(keys, generations), total
    passed = backward_slots(model, keys.choice(0), generations)
    return path(generations, passed), passed, total


@partial(jax.jit, static_argnums=(0, 3, 4, 5, 6))
def _traced_chain(
    model: FeynmanKac[Any],
    key: PRNGKey,
    initial: PyTree,
    sweeps: int,
    slots: int,
    resampling: Resampling,
    past: str,
) -> tuple[Chain, Array]:
    def body(reference: Particles, i: Array) -> Any:
        path, passed, total = _sweep(
            model, TracedKeys(key).sweep(i), reference, slots, resampling, past
        )
        return path, (path, passed != 0, total)

    _, (paths, moved, totals) = jax.lax.scan(body, initial, jnp.arange(sweeps))
    return Chain(paths, moved), totals


def _hosted_chain(
    model: Any,
    keys: RunKeys,
    reference: Particles,
    sweeps: int,
    slots: int,
    resampling: Resampling,
    past: str,
) -> Chain:
    paths, moved = [], []
    for i in range(sweeps):
        reference, passed, _ = _sweep(
            model,
            replace(keys, iteration=keys.iteration + 1 + i),
            reference,
            slots,
            resampling,
            past,
        )
        length = 1 + sum(
            model.open(particle) for particle in reference
        )  # a closed particle was repeated while others moved
        reference = reference[:length]
        paths.append(reference)
        moved.append(passed[:length] != 0)
    return Chain(paths, moved)


def check_sweep(model: Any, slots: int, resampling: Resampling, past: str) -> None:
    """Raise what `sweep` raises of arguments that do not fit."""
    if past not in PASTS:
        raise ValueError(f"past must be one of {', '.join(PASTS)}, not {past!r}")
    check_conditional(slots, resampling)
    if past == "ancestor" and not isinstance(model, Spliceable):
        raise TypeError("ancestor sampling needs a model with log_splice and splice")
    if past == "backward" and (isinstance(model, Hosted) or not isinstance(model, Tractable)):
        raise TypeError("backward sampling needs a traced model with log_transition")
