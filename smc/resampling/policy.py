"""When to resample, by which weights, and how.

Populations are resampled when their weights have become too uneven: ESS < kappa N (Liu and Chen
1995), or entropy below kappa log N. A particle is selected with probability proportional to its
weight W, or to W times a *look-ahead* eta > 0 (the auxiliary particle filter: Pitt and Shephard
1999), so with probabilities rho. What it has not spent it keeps:

    slot i gets  W_{A_i} / (N rho_{A_i}),

which sums to 1 only in expectation; the sum belongs to the evidence. Without look-ahead it is 1/N
for everyone, but for chopthin, which leaves weights that differ by a bounded factor.

Copies may be told apart again by an MCMC kernel that leaves gamma_t-1 invariant (*resample-move*:
Gilks and Berzuini 2001).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import log
from typing import Any, NamedTuple

import numpy as np

from ... import checks
from ...aliases import Array, Particles, Time
from ..arrays import branch, float64, namespace, objects, take
from ..keys import RunKeys, TracedKeys
from ..weights import entropy, ess, normalise, reweighed
from .chopthin import NAME as CHOPTHIN
from .drawing import draw_ancestors, draw_chopthin, draw_slots
from .schemes import SCHEMES

LookAhead = Callable[[Any, Any], Array]
Annealing = Callable[[Any, Array], Any]
Living = Callable[[int, np.ndarray], int]
Rejuvenation = Callable[[Any, Any, Any], Any]


class Selection(NamedTuple):
    """A population before its next move.

    Attributes:
        particles: N particles.
        log_weights: float64, shape (N,); they sum to 1 in expectation.
        ancestors: where each came from, shape (N,).
        resampled: whether they were drawn anew.

    Example:
        >>> import jax
        >>> from motes import smc
        >>> model = smc.Model(
        ...     initial=lambda key, slots: jax.random.normal(key, (slots,)),
        ...     move=lambda t, key, x: x + jax.random.normal(key, x.shape),
        ...     log_potential=lambda t, before, after: -0.5 * after**2,
        ... )
        >>> import numpy as np
        >>> selection = Selection(np.zeros(2), np.log([0.5, 0.5]), np.array([0, 0]), True)
        >>> selection.ancestors
        array([0, 0])
    """

    particles: Any
    log_weights: Array
    ancestors: Array
    resampled: Any


@dataclass(frozen=True)
class Resampling:
    """When to resample, and how.

    Attributes:
        scheme: one of `SCHEMES`, whose offspring weigh the same; or "chopthin", whose weights
            differ by a factor of at most 3 + sqrt(8), and which leaves more different particles.
        ess_threshold: kappa in [0, 1]: resample when ESS < kappa N. At 0 never (sequential
            importance sampling), at 1 before every step but the first, where weights are equal.
        entropy_threshold: the same for the entropy of the weights relative to log N; where given it
            decides alone.
        look_ahead: (t, particles) -> log eta, shape (N,): how promising the particles are for move
            t beyond what their weights say; None for equally. Finite for the living: who has eta =
            0 could not be selected. The trigger sees the weights it multiplies, and may fire before
            the first move too.
        annealing: (t, log-weights) -> b in (0, 1]: those to be moved by move t are selected in
            proportion to W^b, and carry the weight W^(1 - b) that is left; None for b = 1. It may
            look at the population.
        living: (t, log-weights) -> n, from 1 to N: how many offspring move t is to have, where that
            is not N; the other slots are then empty, of weight zero. It may look at the population,
            but not at anything that is drawn later. For hosted populations; None for N.
        rejuvenate: (t, key, particles) -> particles, moved by a kernel that leaves gamma_t-1
            invariant; applied before every move but the first, resampled or not: to move particles
            only where their weights asked for resampling would bias the evidence. A hosted one is
            given the living, with a key for each, and must leave closed particles closed and open
            ones open: it is not asked any more once none is open. Ancestors do not tell of this
            move, so whoever traces paths through them (`motes.smc.generations`, conditional SMC)
            refuses it.

    Raises:
        TypeError, ValueError: the scheme is unknown, or a threshold lies outside [0, 1].

    Example:
        >>> rule = Resampling("systematic", ess_threshold=0.5)
        >>> rule.scheme
        'systematic'
    """

    scheme: str = "systematic"
    ess_threshold: float = 0.5
    entropy_threshold: float | None = None
    look_ahead: LookAhead | None = None
    annealing: Annealing | None = None
    rejuvenate: Rejuvenation | None = None
    living: Living | None = None

    def __post_init__(self) -> None:
        entropy_threshold = self.entropy_threshold
        if entropy_threshold is not None:
            entropy_threshold = checks.fraction("entropy_threshold", entropy_threshold)
        checks.settle(
            self,
            scheme=checks.choice("resampling", self.scheme, (*SCHEMES, CHOPTHIN)),
            ess_threshold=checks.fraction("ess_threshold", self.ess_threshold),
            entropy_threshold=entropy_threshold,
        )

    def due(self, log_weights: Array) -> Any:
        """Say whether a population with these log-weights, shape (N,), is to be resampled."""
        threshold, evenness, most = self.ess_threshold, ess, len(log_weights)
        if self.entropy_threshold is not None:
            threshold, evenness, most = self.entropy_threshold, entropy, log(len(log_weights))
        # equal weights have ESS = N, which is not below N, and yet kappa = 1 means every step
        return threshold == 1 or (threshold > 0 and evenness(log_weights) < threshold * most)

    def select(
        self,
        keys: RunKeys | TracedKeys,
        t: Time,
        particles: Particles,
        log_weights: Array,
        ancestor: Callable[[], tuple[Any, Any]] | None = None,
    ) -> Selection:
        """Resample if it is due.

        Args:
            keys: of the run.
            t: the move that follows.
            particles: N of them.
            log_weights: normalised, shape (N,).
            ancestor: where slot 0 is kept for a reference, draws its ancestor, given which the
                others then follow the scheme's law; asked only where resampling is due. Returns the
                ancestor, and NaN where its law is at fault, else 0.

        Returns:
            The population; a particle whose weight is zero in float64 is never chosen, but for a
            reference. In a trace, which cannot raise, its weights are NaN where the
            look-ahead or the ancestor's weights were at fault.

        Raises:
            FloatingPointError: the look-ahead is NaN, or infinite, for a living particle.
        """
        slots, xp = len(log_weights), namespace(log_weights)
        log_rho: Array = log_weights
        fault: Any = 0.0
        if self.look_ahead is not None:
            log_rho, fault = self._looked_ahead(t, particles, log_weights)
        with float64():
            due = self.due(log_rho)
        if ancestor is None and self.look_ahead is None:
            due = due & (
                t > 1
            )  # the weights before the first move are equal: resampling them would only add noise

        def drawn() -> Selection:
            first, first_fault = (None, 0.0) if ancestor is None else ancestor()
            with float64():
                selected = log_rho
                if self.annealing is not None:
                    selected, _ = normalise(self.annealing(t, log_rho) * log_rho)
                if self.scheme == CHOPTHIN:
                    ancestors, spent = draw_chopthin(keys.resampling(t), xp.exp(selected))
                    left = log_weights[ancestors] - xp.log(spent)
                else:
                    ancestors = draw_ancestors(
                        self.scheme, keys.resampling(t), xp.exp(selected), first
                    )
                    left = reweighed(log_weights, -selected)[ancestors] - log(slots)
                left = left + fault + first_fault
                if self.living is not None:
                    left = self._thinned(keys, t, log_weights, left)
            return Selection(take(particles, ancestors), left, ancestors, xp.asarray(True))

        def kept() -> Selection:
            with float64():
                return Selection(
                    particles,
                    log_weights + fault,
                    xp.arange(slots, dtype=np.int32),
                    xp.asarray(False),
                )

        selection = branch(due, drawn, kept)
        if self.rejuvenate is None:
            return selection
        moved = branch(
            t > 1, lambda: self._rejuvenated(keys, t, selection), lambda: selection.particles
        )
        return selection._replace(particles=moved)

    def _thinned(self, keys: Any, t: Time, before: Array, left: Array) -> Array:
        """Return the weights of offspring of which only some are kept, n of N at random.

        Every slot is kept with probability n / N, whatever it holds, and weighs N / n times as
        much.
        """
        if self.living is None or not isinstance(before, np.ndarray):
            raise TypeError("living is for hosted populations: those of a trace have one size")
        slots = len(before)
        count = checks.count("the number of living particles", self.living(t, before), most=slots)
        kept = np.full(slots, -np.inf)
        kept[draw_slots(keys.resampling(t), slots, count)] = log(slots / count)
        return left + kept

    def _rejuvenated(self, keys: Any, t: Time, selection: Selection) -> Any:
        assert self.rejuvenate is not None
        slots = len(selection.log_weights)
        if not isinstance(selection.log_weights, np.ndarray):
            return self.rejuvenate(t, keys.rejuvenation(t), selection.particles)
        living = np.flatnonzero(selection.log_weights > -np.inf)
        particles = selection.particles.copy()
        if len(living):
            particles[living] = objects(
                self.rejuvenate(t, keys.rejuvenation(t, slots, living), particles[living])
            )
        return particles

    def _looked_ahead(self, t: Time, particles: Particles, log_weights: Array) -> tuple[Array, Any]:
        """Temper the normalised log-weights by eta; NaN where eta is at fault.

        Also returns 0, or NaN where eta is at fault.
        """
        assert self.look_ahead is not None
        log_rho = reweighed(
            log_weights, of_living(partial(self.look_ahead, t), particles, log_weights)
        )
        with float64():
            lost = (log_weights > -np.inf) & (log_rho == -np.inf)
            if isinstance(log_weights, np.ndarray) and lost.any():
                raise FloatingPointError(
                    f"look_ahead at step {t} is minus infinity at slot {int(lost.argmax())}, "
                    "which is alive"
                )
            log_rho, total = normalise(log_rho, source=f"look_ahead at step {t}")
            xp = namespace(log_weights)
            return log_rho, xp.where(lost.any() | xp.isnan(total) | (total == np.inf), np.nan, 0.0)


def of_living(function: Callable[[Any], Array], particles: Particles, log_weights: Array) -> Array:
    """Ask a model's function about the particles, shape (N,).

    A hosted one is asked about the living only.
    """
    if not isinstance(log_weights, np.ndarray):
        return function(particles)
    living, values = np.flatnonzero(log_weights > -np.inf), np.full(len(log_weights), -np.inf)
    if len(living):
        values[living] = function(particles[living])
    return values
