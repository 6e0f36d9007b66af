"""What a model must say for sequential Monte Carlo to sample it.

A Feynman-Kac model is a Markov chain of particles, x_0, x_1, ..., and a potential G_t >= 0 that
weighs every move (Del Moral 2004; Chopin and Papaspiliopoulos 2020, chapter 5). After t moves its
unnormalised distribution is

    gamma_t(x_0:t) = M_0(x_0) prod_s<=t M_s(x_s | x_s-1) G_s(x_s-1, x_s),    Z_t = its total mass.

Potentials begin with the first move: a weight that x_0 should have belongs in G_1, which sees x_0.

A model is *traced* or *hosted*. A traced one consists of JAX functions on a whole population at
once, a pytree of arrays with a leading axis of N slots; the engine compiles it. It draws a
generation from one key: entry i of a batched draw is slot i's own. A hosted one holds Python
objects, and its functions do as they please, such as asking a language model for the whole batch.
It is asked only about particles that are open and alive, each with a key of its own, and is over
when none is left: lifetimes are random, a closed particle is absorbing and its later potentials are
1.

Three more things a model may know: its transition's density (`Tractable`), how a path's remainder
fits another past (`Spliceable`), and how to look at the weights before they are spent
(`motes.smc.Resampling.look_ahead`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, runtime_checkable

import jax

from ..aliases import Array, Particle, Particles, PRNGKey, Time

P = TypeVar("P")


class FeynmanKac(Protocol[P]):
    """A Feynman-Kac model over populations of type P.

    Example:
        >>> import jax
        >>> from motes import smc
        >>> class Walk:
        ...     def initial(self, key, slots):
        ...         return jax.random.normal(key, (slots,))
        ...     def move(self, t, key, x):
        ...         return x + jax.random.normal(key, x.shape)
        ...     def log_potential(self, t, before, after):
        ...         return -0.5 * after**2
        >>> smc.run(Walk(), seed=0, slots=100, steps=3).state.particles.shape
        (100,)
    """

    def initial(self, key: PRNGKey, slots: int, /) -> P:
        """Draw x_0 for every slot.

        Args:
            key: a JAX random key; a hosted model receives one for each slot, shape (slots,).
            slots: N.
        """
        ...

    def move(self, t: Time, key: PRNGKey, particles: P, /) -> P:
        """Draw x_t given x_t-1 for each particle, in one batch.

        Args:
            t: the move's number; the first is 1. An int, or a traced integer.
            key: as for `initial`.
            particles: N of them, or the K that are open and alive in a hosted model; one may occur
                several times.
        """
        ...

    def log_potential(self, t: Time, before: P, after: P, /) -> Array:
        """Compute log G_t(x_t-1, x_t) of each move, in nats, one per particle.

        Minus infinity is allowed.
        """
        ...


@runtime_checkable
class Hosted(Protocol):
    """A Feynman-Kac model whose particles are Python objects: it also says which can move.

    Example:
        >>> import jax
        >>> from motes import smc
        >>> class Words:
        ...     def initial(self, keys, slots):
        ...         return [""] * slots
        ...     def open(self, word):
        ...         return not word.endswith(".")
        ...     def move(self, t, keys, words):
        ...         drawn = [float(jax.random.uniform(key)) for key in keys]
        ...         return [word + ("." if u < 0.5 else "a") for word, u in zip(words, drawn)]
        ...     def log_potential(self, t, before, after):
        ...         return [-1.0 * len(word) for word in after]
        >>> result = smc.run(Words(), seed=0, slots=4)
        >>> all(word.endswith(".") for word in result.state.particles)
        True
    """

    def open(self, particle: Particle, /) -> bool:
        """Say whether the particle can move."""
        ...


@runtime_checkable
class Tractable(Protocol):
    """A Feynman-Kac model whose transition density is known: what backward sampling needs.

    Example:
        >>> import jax
        >>> from motes import smc
        >>> model = smc.Model(
        ...     initial=lambda key, slots: jax.random.normal(key, (slots,)),
        ...     move=lambda t, key, x: x + jax.random.normal(key, x.shape),
        ...     log_potential=lambda t, before, after: -0.5 * after**2,
        ... )
        >>> isinstance(model, Tractable)
        True
    """

    def log_transition(self, t: Time, before: Particles, after: Particles, /) -> Array:
        """Compute log M_t(x_t | x_t-1) of each pair, in nats, shape (N,)."""
        ...


@runtime_checkable
class Spliceable(Protocol):
    """A Feynman-Kac model whose paths can be cut and joined: what ancestor sampling needs.

    Example:
        >>> import jax
        >>> from motes import smc
        >>> model = smc.Model(
        ...     initial=lambda key, slots: jax.random.normal(key, (slots,)),
        ...     move=lambda t, key, x: x + jax.random.normal(key, x.shape),
        ...     log_potential=lambda t, before, after: -0.5 * after**2,
        ... )
        >>> isinstance(model, Spliceable)
        True
    """

    def log_splice(self, t: Time, particles: Particles, reference: Particles, /) -> Array:
        """Compute how well each past fits the reference's remainder, in nats, shape (N,).

            log gamma_T(x_0:t-1, x'_t:T) - log gamma_t-1(x_0:t-1), up to a constant

        (Lindsten, Jordan and Schon 2014, equation 15.) The population's weights are added by the
        engine.

        Args:
            t: the generation at which the remainder begins.
            particles: N at generation t - 1; of a hosted model, those that are alive, closed ones
                among them.
            reference: the reference's particles at generations 0 to T along a leading axis.
        """
        ...

    def splice(self, t: Time, particle: Particle, reference: Particles, /) -> Any:
        """Splice the reference: its generations from t on, as they are after this particle.

        Where a particle is a state of a Markov chain that is the reference itself; where it holds
        its own past, what it holds is computed again. Generations before t are not read; where t
        lies past the reference's end, its last particle stands for it, closed.
        """
        ...


@dataclass(frozen=True, eq=False)
class Model:
    """A traced Feynman-Kac model given by functions on populations.

    See `FeynmanKac` for what they take.

    Attributes:
        initial: (key, slots) -> particles.
        move: (t, key, particles) -> particles.
        log_potential: (t, before, after) -> log G_t, shape (N,).
        density: (t, before, after) -> log M_t(after | before), shape (N,); None where it is
            unknown.

    Example:
        >>> import jax
        >>> from motes.smc import run
        >>> model = Model(
        ...     initial=lambda key, slots: jax.random.normal(key, (slots,)),
        ...     move=lambda t, key, x: x + jax.random.normal(key, x.shape),
        ...     log_potential=lambda t, before, after: -0.5 * after**2,
        ...     density=lambda t, before, after: -0.5 * (after - before) ** 2,
        ... )
        >>> run(model, seed=0, slots=100, steps=3).state.particles.shape
        (100,)
    """

    initial: Callable[[Any, int], Any]
    move: Callable[[Any, Any, Any], Any]
    log_potential: Callable[[Any, Any, Any], Array]
    density: Callable[[Any, Any, Any], Array] | None = None

    def log_transition(self, t: Time, before: Particles, after: Particles) -> Array:
        """Compute log M_t(x_t | x_t-1), shape (N,).

        Raises:
            ValueError: the model has no density.
        """
        if self.density is None:
            raise ValueError(
                "the model's density is not given: backward and ancestor sampling need log "
                "M_t(x_t | x_t-1)"
            )
        return self.density(t, before, after)

    def log_splice(self, t: Time, particles: Particles, reference: Particles) -> Array:
        """Compute log M_t(x'_t | x_t-1) + log G_t(x_t-1, x'_t).

        What comes later does not depend on x_t-1.
        """
        slots = len(jax.tree.leaves(particles)[0])
        after = jax.tree.map(
            lambda leaf: jax.numpy.broadcast_to(leaf[t], (slots, *leaf.shape[1:])), reference
        )
        return self.log_transition(t, particles, after) + self.log_potential(t, particles, after)

    def splice(self, t: Time, particle: Particle, reference: Particles) -> Any:
        """Return the reference: a state of a Markov chain does not hold its past."""
        return reference


def each(
    initial: Callable[[Any], Any],
    move: Callable[[Any, Any, Any], Any],
    log_potential: Callable[[Any, Any, Any], Any],
    density: Callable[[Any, Any, Any], Any] | None = None,
) -> Model:
    """Make a model of functions that take one particle.

    They are `initial(key)`, `move(t, key, x)` and `log_potential(t, before, after)`.

    Every slot has a key of its own. One draw for the whole population, as `Model` allows, is
    several times faster.

    Example:
        >>> import jax
        >>> from motes import smc
        >>> walk = each(
        ...     initial=lambda key: jax.random.normal(key),
        ...     move=lambda t, key, x: x + jax.random.normal(key),
        ...     log_potential=lambda t, before, after: -0.5 * after**2,
        ... )
        >>> smc.run(walk, seed=0, slots=100, steps=3).state.particles.shape
        (100,)
    """

    def moved(t: Time, key: PRNGKey, particles: Particles) -> Any:
        keys = jax.random.split(key, len(jax.tree.leaves(particles)[0]))
        return jax.vmap(move, (None, 0, 0))(t, keys, particles)

    return Model(
        lambda key, slots: jax.vmap(initial)(jax.random.split(key, slots)),
        moved,
        jax.vmap(log_potential, (None, 0, 0)),
        density and jax.vmap(density, (None, 0, 0)),
    )
