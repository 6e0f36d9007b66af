"""Monte Carlo error from one run: the variance of a filter's estimates, read off its genealogy.

A filter's particles are dependent, but those that descend from different particles of the first
generation (their *eves*, E_i) met only through resampling. With N particles, k resampling events
since the eves, normalised weights W_i and c = (N / (N - 1))^(k + 1), the estimate f-bar = sum_i W_i
f_i of an expectation and the evidence Z-hat have

    Var(f-bar)          ~  c sum_e ( sum_{i: E_i = e} W_i (f_i - f-bar) )^2
    Var(Z-hat) / Z^2    ~  V = 1 - c sum_{i, j: E_i != E_j} W_i W_j

The first sum is Chan and Lai's (2013, *A general theory of particle filters in hidden Markov models
and some applications*); the factor, and V, are Lee and Whiteley's (2018, *Variance estimation in
the particle filter*). The factor tends to 1, and makes up for the eves that resampling lost where N
is small. Without resampling both are importance sampling's delta method with Bessel's correction. V
is, to first order, the variance of log Z-hat, which is biased down by about half of it. E[Z-hat^2
V] = Var(Z-hat) exactly, at every N and with adaptive resampling.

All this is for multinomial resampling. For the other schemes the first is approximate, usually too
large, and V is useless: its factor takes out the noise of multinomial resampling, of which they
have little, so that V is far too small and often negative. Replicate runs tell the variance there.
Both are wrong for waste-free populations, whose particles are dependent before they are resampled.

Both are useless once all weight descends from one eve, and unreliable when it descends from a few:
the relative error is about sqrt(2 / (eves - 1)), so an `Estimate` says how many there are. Long
runs can look back over a few generations only: with the ancestors `lag` generations back for eves
(Olsson and Douc 2019, *Numerically stable online estimation of variance in particle filters*) more
of them are left, and what is lost is the error made before, which a model that forgets has
forgotten. That is for functions of the present state. A function of the whole path, such as the
answer at the end of a chain of thought, forgets nothing, and neither does Z-hat, so there is no lag
for it.
"""

from __future__ import annotations

from math import nan, sqrt
from typing import NamedTuple

import numpy as np

from . import genealogy
from .history import History

_ROUNDING = 1e-12  # what V can be below an exact 0


class Estimate(NamedTuple):
    """An estimated variance and what it rests on.

    Attributes:
        variance: float64; shape () for one function, (d,) for d of them.
        eves: how many eves the particles of positive weight descend from.

    Example:
        >>> import jax
        >>> from motes import smc
        >>> model = smc.Model(
        ...     initial=lambda key, slots: jax.random.normal(key, (slots,)),
        ...     move=lambda t, key, x: x + jax.random.normal(key, x.shape),
        ...     log_potential=lambda t, before, after: -0.5 * after**2,
        ...     density=lambda t, before, after: -0.5 * (after - before) ** 2,
        ... )
        >>> result = smc.run(model, seed=0, slots=100, steps=3, collect=smc.HISTORY)
        >>> history = smc.History.of(result.collected, 100)
        >>> smc.log_evidence_variance(history, result.state.log_weights)._fields
        ('variance', 'eves')
    """

    variance: np.ndarray
    eves: int


def mean_variance(
    eves: np.ndarray, log_weights: np.ndarray, values: np.ndarray, events: int
) -> Estimate:
    """Estimate the variance of sum_i W_i f_i, in the units of f squared.

    NaN with fewer than two eves.

    Args:
        eves: E_i, each below N, shape (N,).
        log_weights: final and normalised, shape (N,).
        values: f_i, shape (N,), or (N, d) for d functions; those of dead particles do not matter.
        events: k, how often the population was resampled since the generation of the eves.
    """
    living = np.exp(log_weights) > 0
    weights, values = np.exp(log_weights)[living], np.asarray(values, np.float64)[living]
    alive, slots = len(np.unique(eves[living])), len(log_weights)
    if alive < 2:
        return Estimate(np.full(values.shape[1:], nan), alive)
    by_eve = np.zeros((slots, *values.shape[1:]))
    np.add.at(by_eve, eves[living], ((values - weights @ values).T * weights).T)
    return Estimate(_factor(slots, events) * np.square(by_eve).sum(axis=0), alive)


def relative_variance(eves: np.ndarray, log_weights: np.ndarray, events: int) -> Estimate:
    """Estimate V, the variance of Z-hat over Z squared, to first order that of log Z-hat.

    It is returned as it comes out, since exp(2 log Z-hat) V is unbiased only so: 0 for constant
    potentials without resampling, sometimes negative where the variance is small, and 1, which says
    nothing, with fewer than two eves. NaN with one particle, which shows no variance.

    Args:
        eves: E_i, each below N, shape (N,).
        log_weights: final and normalised, shape (N,).
        events: k, how often the population was resampled since the generation of the eves.
    """
    weights, slots = np.exp(log_weights), len(log_weights)
    alive = len(np.unique(eves[weights > 0]))
    if slots < 2:
        return Estimate(np.array(nan), alive)
    by_eve = np.bincount(eves, weights=weights, minlength=slots)
    return Estimate(
        np.array(1 - _factor(slots, events) * (by_eve.sum() ** 2 - by_eve @ by_eve)), alive
    )


def eves(history: History, *, since: int = 1) -> np.ndarray:
    """Give the slot at generation `since` from which each final slot descends; int64, shape (N,).

    Args:
        history: of N particles.
        since: 1, after the first step, where all particles start alike, as those of a language
            model do; 0 where the model draws them at random (see `motes.smc.genealogy`).
    """
    return genealogy.eves(history.ancestors, since=since)


def living_eves(history: History, log_weights: np.ndarray, *, since: int = 1) -> int:
    """Count the eves that the particles of positive weight descend from.

    Args:
        history: of N particles.
        log_weights: final, shape (N,).
        since: as in `eves`.

    Example:
        >>> import jax
        >>> from motes import smc
        >>> model = smc.Model(
        ...     initial=lambda key, slots: jax.random.normal(key, (slots,)),
        ...     move=lambda t, key, x: x + jax.random.normal(key, x.shape),
        ...     log_potential=lambda t, before, after: -0.5 * after**2,
        ...     density=lambda t, before, after: -0.5 * (after - before) ** 2,
        ... )
        >>> result = smc.run(model, seed=0, slots=100, steps=3, collect=smc.HISTORY)
        >>> history = smc.History.of(result.collected, 100)
        >>> 1 <= living_eves(history, result.state.log_weights) <= 100
        True
    """
    return len(np.unique(eves(history, since=since)[np.exp(log_weights) > 0]))


def filter_variance(
    history: History,
    log_weights: np.ndarray,
    values: np.ndarray,
    *,
    since: int = 1,
    lag: int | None = None,
) -> Estimate:
    """Estimate the variance of sum_i W_i f_i, in the units of f squared; NaN where undefined.

    Args:
        history: of N particles.
        log_weights: final and normalised, shape (N,).
        values: f_i, shape (N,), or (N, d) for d functions.
        since: as in `eves`.
        lag: how many generations to look back, for functions of the present state; None for all.

    Raises:
        ValueError: the lag is negative.

    Example:
        >>> import jax
        >>> from motes import smc
        >>> model = smc.Model(
        ...     initial=lambda key, slots: jax.random.normal(key, (slots,)),
        ...     move=lambda t, key, x: x + jax.random.normal(key, x.shape),
        ...     log_potential=lambda t, before, after: -0.5 * after**2,
        ...     density=lambda t, before, after: -0.5 * (after - before) ** 2,
        ... )
        >>> result = smc.run(model, seed=0, slots=100, steps=3, collect=smc.HISTORY)
        >>> history = smc.History.of(result.collected, 100)
        >>> values = jax.numpy.asarray(result.state.particles)
        >>> filter_variance(history, result.state.log_weights, values)._fields
        ('variance', 'eves')
    """
    if lag is not None:
        if lag < 0:
            raise ValueError(f"lag must be 0 or more generations, not {lag}")
        since = max(since, len(history.resampled) - lag)
    return mean_variance(eves(history, since=since), log_weights, values, _events(history, since))


def standard_error(
    history: History,
    log_weights: np.ndarray,
    values: np.ndarray,
    *,
    since: int = 1,
    lag: int | None = None,
) -> float:
    """Estimate the standard error of sum_i W_i f_i, in the units of f; NaN where it is undefined.

    Args:
        history, log_weights, since, lag: as in `filter_variance`, which also raises what this
            raises.
        values: f_i, shape (N,).

    Example:
        >>> import jax
        >>> from motes import smc
        >>> model = smc.Model(
        ...     initial=lambda key, slots: jax.random.normal(key, (slots,)),
        ...     move=lambda t, key, x: x + jax.random.normal(key, x.shape),
        ...     log_potential=lambda t, before, after: -0.5 * after**2,
        ...     density=lambda t, before, after: -0.5 * (after - before) ** 2,
        ... )
        >>> result = smc.run(model, seed=0, slots=100, steps=3, collect=smc.HISTORY)
        >>> history = smc.History.of(result.collected, 100)
        >>> values = jax.numpy.asarray(result.state.particles)
        >>> bool(standard_error(history, result.state.log_weights, values) < 1.0)
        True
    """
    return sqrt(float(filter_variance(history, log_weights, values, since=since, lag=lag).variance))


def log_evidence_variance(history: History, log_weights: np.ndarray, *, since: int = 1) -> Estimate:
    """Estimate V, about the variance of log Z-hat, in nats squared; see `relative_variance`.

    Args:
        history: of N particles.
        log_weights: final and normalised, shape (N,).
        since: as in `eves`.

    Example:
        >>> import jax
        >>> from motes import smc
        >>> model = smc.Model(
        ...     initial=lambda key, slots: jax.random.normal(key, (slots,)),
        ...     move=lambda t, key, x: x + jax.random.normal(key, x.shape),
        ...     log_potential=lambda t, before, after: -0.5 * after**2,
        ...     density=lambda t, before, after: -0.5 * (after - before) ** 2,
        ... )
        >>> result = smc.run(model, seed=0, slots=100, steps=3, collect=smc.HISTORY)
        >>> history = smc.History.of(result.collected, 100)
        >>> log_evidence_variance(history, result.state.log_weights)._fields
        ('variance', 'eves')
    """
    return relative_variance(eves(history, since=since), log_weights, _events(history, since))


def log_evidence_error(history: History, log_weights: np.ndarray, *, since: int = 1) -> float:
    """Estimate the standard error of log Z-hat, in nats.

    NaN where the run cannot tell it: with fewer than two eves, and where V is negative, as
    it often is after resampling that was not multinomial (where a number means nothing either), and
    sometimes where the variance is small.

    Args:
        history, log_weights, since: as in `log_evidence_variance`.

    Example:
        >>> import jax
        >>> from motes import smc
        >>> model = smc.Model(
        ...     initial=lambda key, slots: jax.random.normal(key, (slots,)),
        ...     move=lambda t, key, x: x + jax.random.normal(key, x.shape),
        ...     log_potential=lambda t, before, after: -0.5 * after**2,
        ...     density=lambda t, before, after: -0.5 * (after - before) ** 2,
        ... )
        >>> result = smc.run(model, seed=0, slots=100, steps=3, collect=smc.HISTORY)
        >>> history = smc.History.of(result.collected, 100)
        >>> bool(log_evidence_error(history, result.state.log_weights) < 1.0)
        True
    """
    estimate = log_evidence_variance(history, log_weights, since=since)
    variance = float(estimate.variance)
    return sqrt(max(variance, 0.0)) if estimate.eves > 1 and variance > -_ROUNDING else nan


def _events(history: History, since: int) -> int:
    return int(history.resampled[since:].sum())


def _factor(slots: int, events: int) -> float:
    return (slots / (slots - 1)) ** (events + 1)
