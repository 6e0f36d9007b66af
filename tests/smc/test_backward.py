"""Backward sampling against the Rauch-Tung-Striebel smoother, and against its own definition."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motes.smc import Resampling, TracedKeys, backward_sample, generations
from motes.smc.backward import backward_slots


@pytest.mark.statistics
def test_smoother_of_a_linear_gaussian_model(linear_gaussian):
    """Means, variances and covariances of neighbours, 40 filters of 500 particles, 500 draws from
    each: within 5 standard
    errors over filters (62 comparisons: false alarm 4e-5)."""
    model = linear_gaussian.model()

    @jax.jit
    @jax.vmap
    def moments(key):
        keys = TracedKeys(key)
        kept = generations(model, keys, 500, 20, Resampling("systematic", 1))
        x, _ = backward_sample(model, keys.choice(0), kept, 500)
        return x.mean(axis=1), (x**2).mean(axis=1), (x[1:] * x[:-1]).mean(axis=1)

    means, variances, covariances = linear_gaussian.smoother()
    exact = (means, variances + means**2, covariances + means[1:] * means[:-1])
    for estimates, truth in zip(
        moments(jax.random.split(jax.random.key(0), 40)), exact, strict=True
    ):
        estimates = np.asarray(estimates, np.float64)
        errors = estimates.std(axis=0, ddof=1) / np.sqrt(len(estimates))
        assert np.all(np.abs(estimates.mean(axis=0) - truth) <= 5 * errors + 1e-3 * np.abs(truth))


def exact_law(model, kept, states):
    """P(slots) of one backward pass, from its definition; all N ** (T + 1) of them."""
    particles, log_weights, ancestors = (np.asarray(x) for x in kept[:3])
    steps = len(ancestors)
    law = {(i,): p for i, p in enumerate(np.exp(log_weights[-1]))}
    for t in range(steps, 0, -1):
        longer = {}
        for tail, p in law.items():
            x = particles[t, tail[0]]
            weights = (
                np.exp(log_weights[t - 1])
                * states.transition[particles[t - 1], x]
                * states.potentials[t - 1, particles[t - 1], x]
            )
            for i, q in enumerate(weights / weights.sum()):
                longer[i, *tail] = longer.get((i, *tail), 0) + p * q
        law = longer
    return law


@pytest.mark.slow
def test_law_of_a_backward_pass(hmm):
    """20,000 passes through one set of generations, 81 outcomes pooled where rare; a chi-squared
    statistic below its
    1 - 1e-6 quantile. (Passes are independent given the generations.)"""
    from scipy.stats import chi2

    model = hmm.model()
    kept = generations(
        model, TracedKeys(jax.random.key(4)), 3, hmm.steps, Resampling("multinomial", 0.8)
    )
    passes = jax.jit(jax.vmap(lambda key: backward_slots(model, key, kept)))
    drawn = np.asarray(passes(jax.random.split(jax.random.key(1), 20_000)))
    law = exact_law(model, kept, hmm)
    counts = dict.fromkeys(law, 0)
    for slots in map(tuple, drawn):
        counts[slots] += 1
    assert all(counts[slots] == 0 for slots, p in law.items() if p == 0)
    common = [slots for slots, p in law.items() if 20_000 * p >= 10]
    expected = np.array([20_000 * law[slots] for slots in common])
    observed = np.array([counts[slots] for slots in common])
    rare = 20_000 - expected.sum(), 20_000 - observed.sum()
    statistic = ((observed - expected) ** 2 / expected).sum() + (rare[1] - rare[0]) ** 2 / max(
        rare[0], 1
    )
    assert statistic < chi2.ppf(1 - 1e-6, len(common))


@pytest.mark.slow
def test_paths_are_made_of_the_kept_particles(linear_gaussian):
    model, keys = linear_gaussian.model(), TracedKeys(jax.random.key(0))
    kept = generations(model, keys, 16, 20)
    x, slots = backward_sample(model, jax.random.key(1), kept, 5)
    assert x.shape == slots.shape == (21, 5)
    assert np.array_equal(x, np.take_along_axis(np.asarray(kept.particles), np.asarray(slots), 1))


@pytest.mark.slow
def test_a_model_without_a_density_is_told(linear_gaussian):
    from dataclasses import replace

    model = replace(linear_gaussian.model(), density=None)
    kept = generations(model, TracedKeys(jax.random.key(0)), 8, 5)
    with pytest.raises(ValueError, match="density is not given"):
        backward_sample(model, jax.random.key(1), kept, 2)


@pytest.mark.slow
def test_dead_particles_are_no_ones_past(hmm):
    model = hmm.model()
    kept = generations(
        model, TracedKeys(jax.random.key(7)), 30, hmm.steps, Resampling(ess_threshold=0)
    )
    _, slots = backward_sample(model, jax.random.key(1), kept, 200)
    weights = np.asarray(kept.log_weights)
    assert np.any(weights == -jnp.inf)
    for t, row in enumerate(np.asarray(slots)):
        assert np.all(weights[t, row] > -np.inf)
