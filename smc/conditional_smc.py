"""Conditional SMC: a filter in which one particle is given (Andrieu, Doucet and Holenstein 2010).

Slot 0 is kept for a *reference* path x'_0:T. The other slots follow the filter's law given that it
is there, so their ancestors are drawn from the resampling scheme's law *given* the reference's
ancestor: drawing all slots as usual and then overwriting one is not that law, and the kernel would
not be invariant.

The reference's ancestor is itself, or drawn anew (*ancestor sampling*, Lindsten, Jordan and Schon
2014), before the others and only where the population is resampled at all:

    P(A = i) proportional to W_t-1^i gamma_T(x_0:t-1^i, x'_t:T) / gamma_t-1(x_0:t-1^i)

so that its past is renewed although its remainder stays. A path drawn from the last population by
weight has the target as its law where the reference had it: that is particle Gibbs
(`motes.smc.particle_gibbs`).
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from ..aliases import Particles, Time
from .arrays import branch, float64, namespace, put, take
from .driver import State, Step, propagate, start
from .feynman_kac import FeynmanKac, Hosted
from .generations import Generations, check_paths, keep_all
from .keys import RunKeys, TracedKeys
from .resampling import CONDITIONAL, Resampling, of_living, pick
from .weights import normalise, reweighed


def conditional(
    model: FeynmanKac[Any],
    keys: RunKeys | TracedKeys,
    reference: Particles,
    slots: int,
    resampling: Resampling,
    ancestor_sampling: bool = False,
) -> Generations:
    """Run a filter given that slot 0 follows the reference.

    Args:
        model: traced, and then this may be traced too; or hosted. Ancestor sampling needs it to be
            `Spliceable`.
        keys: of the run.
        reference: its particles at generations 0 to T along a leading axis. A hosted one may be
            shorter than the run, and ends with a closed particle.
        slots: N, at least 2.
        resampling: its scheme must have a conditional form: see `motes.smc.CONDITIONAL`.
        ancestor_sampling: whether the reference's ancestor is drawn anew.

    Raises:
        ValueError: N is less than 2, the scheme has no conditional form, a hosted reference is
            still open at its end, or the population is rejuvenated.
        FloatingPointError: a potential or a splice of a hosted model is NaN, or plus
            infinity, or no past fits the reference. In a trace the weights become NaN
            instead.

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
        >>> kept = conditional(model, keys, jax.numpy.zeros(4), 10, smc.Resampling("killing"))
        >>> bool((kept.particles[:, 0] == 0).all())
        True
    """
    check_conditional(slots, resampling)
    if isinstance(model, Hosted) and model.open(reference[-1]):
        raise ValueError(f"the reference's last particle must be closed, not {reference[-1]!r}")
    state = start(model, keys, slots)
    state = state._replace(particles=put(state.particles, 0, at(reference, 0)))

    def step(state: State, reference: Particles) -> tuple[Step, Any]:
        return advance_given(reference, model, state, keys, resampling, ancestor_sampling)

    length = None if isinstance(model, Hosted) else len(jax.tree.leaves(reference)[0]) - 1
    return keep_all(model, state, reference, step, length)


def at(reference: Particles, t: Time) -> Any:
    """Give the reference's particle at generation t; a hosted one stays closed where it ended."""
    if isinstance(reference, np.ndarray) and reference.dtype == object:
        return reference[min(t, len(reference) - 1)]
    return take(reference, t)


def advance_given(
    reference: Particles,
    model: Any,
    state: State,
    keys: RunKeys | TracedKeys,
    resampling: Resampling,
    ancestor_sampling: bool,
) -> tuple[Step, Any]:
    """Take one step given the reference; also return the reference after it.

    The reference is spliced where it has a new ancestor.
    """
    t = state.t + 1

    def ancestor() -> tuple[Any, Any]:
        if not ancestor_sampling:
            return np.int32(0), 0.0
        fits = of_living(
            lambda particles: model.log_splice(t, particles, reference),
            state.particles,
            state.log_weights,
        )
        fits, total = normalise(
            reweighed(state.log_weights, fits), source=f"log_splice at step {t}"
        )
        if isinstance(fits, np.ndarray) and total == -np.inf:
            raise FloatingPointError(
                f"log_splice at step {t} is minus infinity for all, the reference's own past "
                "among them"
            )
        with float64():
            return pick(keys.ancestor(t), fits), namespace(fits).where(
                namespace(fits).isfinite(total), 0.0, np.nan
            )

    selection = resampling.select(keys, t, state.particles, state.log_weights, ancestor)
    if ancestor_sampling:
        new = selection.ancestors[0]
        reference = branch(
            new != 0,
            lambda: model.splice(t, take(state.particles, new), reference),
            lambda: reference,
        )
    return propagate(model, state, keys, selection, at(reference, t)), reference


def check_conditional(slots: int, resampling: Resampling) -> None:
    """Raise what `conditional` raises of these arguments."""
    if slots < 2:
        raise ValueError(f"slots must be at least 2, not {slots}: one of them is the reference")
    if resampling.scheme not in CONDITIONAL:
        raise ValueError(
            f"resampling must have a conditional form, as {', '.join(CONDITIONAL)} do, not "
            f"{resampling.scheme!r}"
        )
    if resampling.living is not None:
        raise ValueError("living must be None: a slot that may be left empty cannot be a reference")
    check_paths(resampling)
