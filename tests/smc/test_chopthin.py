"""Chopthin against its definition: exact means over its uniform, bounds, and a second solution."""

from __future__ import annotations

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from piecewise import pieces
from scipy.optimize import brentq

from motes.smc import CONDITIONAL, Resampling, TracedKeys
from motes.smc.conditional_smc import check_conditional
from motes.smc.resampling import chopthin as face
from motes.smc.resampling.chopthin import RATIO, chopped_and_thinned

WEIGHTS = {
    "equal": np.full(4, 0.25),
    "all in between": np.array([0.2, 0.3, 0.25, 0.25]),
    "one heavy": np.array([0.9, 0.05, 0.03, 0.02]),
    "dead and light": np.array([0.6, 0.0, 1e-6, 0.4 - 1e-6, 0.0]),
    "one survivor": np.array([0.0, 0.0, 1.0, 0.0]),
    "one particle": np.array([1.0]),
    "far apart": np.array([1e-300, 1.0 - 1e-9, 1e-9, 0.0]),
    "two heavy": np.array([0.45, 0.4, 0.05, 0.05, 0.03, 0.02]),
}


@cache
def placing(ratio=RATIO):
    """Chopthin as a compiled function of uniforms of shape (points,) and weights of shape (N,)."""
    return jax.jit(
        jax.vmap(lambda uniform, weights: chopped_and_thinned(uniform, weights, ratio), (0, None))
    )


def outcomes(weights, uniforms, ratio=RATIO):
    """Ancestors and what they spend, one row for each uniform."""
    with jax.enable_x64(True):
        placed = placing(ratio)(jnp.asarray(uniforms), jnp.asarray(weights))
    return np.asarray(placed[0]), np.asarray(placed[1])


def offspring(weights, ratio):
    """The expected counts by their definition, particle by particle, the threshold by a solver."""
    living = weights[weights > 0]

    def count(weight, threshold):
        if weight < threshold:
            return weight / threshold
        if weight < ratio * threshold / 2:
            return 1.0
        return 2 * weight / (ratio * threshold)

    def excess(log_threshold):
        return sum(count(w, np.exp(log_threshold)) for w in living) - len(weights)

    mean = np.log(weights.mean())
    ends = mean - np.log(ratio / 2), mean
    found = next((end for end in ends if abs(excess(end)) < 1e-12), None)
    threshold = np.exp(float(brentq(excess, *ends, xtol=1e-15)) if found is None else found)
    return np.array([count(w, threshold) if w > 0 else 0.0 for w in weights])


def random_weights(size, scale, seed=0):
    logs = np.random.default_rng(seed).normal(size=size) * scale
    weights = np.exp(logs - logs.max())
    return weights / weights.sum()


@pytest.mark.long(quick=2)
@pytest.mark.parametrize("name", WEIGHTS)
def test_everyone_passes_on_its_weight(name):
    """The mean over the uniform, which is exact: outcomes are constant between its jumps."""
    weights = WEIGHTS[name]
    lengths, ancestors = pieces(lambda uniforms: outcomes(weights, uniforms)[0])
    middles = np.cumsum(lengths) - lengths / 2
    placed, spent = outcomes(weights, middles)
    long = lengths > 1e-12  # shorter ones have no middle
    assert np.array_equal(placed[long], ancestors[long])
    passed_on = np.zeros(len(weights))
    for length, row, shares in zip(lengths, placed, spent, strict=True):
        passed_on += length * np.bincount(row, weights[row] / shares, len(weights))
    assert passed_on == pytest.approx(weights, rel=1e-9, abs=1e-14)
    assert not np.isin(placed, np.flatnonzero(weights == 0)).any()


@pytest.mark.parametrize("ratio", [4, RATIO, 50])
def test_counts_are_those_of_the_definition_and_weights_are_bounded(ratio):
    for scale in (0.1, 1, 3, 30):
        weights = random_weights(12, scale)
        expected = offspring(weights, ratio)
        assert expected.sum() == pytest.approx(12)
        ancestors, spent = outcomes(weights, np.arange(16) / 16, ratio)
        for row, shares in zip(ancestors, spent, strict=True):
            counts = np.bincount(row, minlength=12)
            assert np.all(np.abs(counts - expected) < 1 + 1e-9)
            kept = expected >= 1 - 1e-12
            assert np.all(counts[kept] >= 1)
            left = weights[row] / shares
            assert left.max() <= ratio * left.min() * (1 + 1e-9)
            # what is heavy enough to be kept passes on its weight exactly
            passed_on = np.bincount(row, left, 12)
            assert passed_on[kept] == pytest.approx(weights[kept])


@pytest.mark.parametrize("scale", [0.3, 2, 20])
def test_half_of_the_effective_sample_size_is_left(scale):
    weights = random_weights(500, scale, seed=1)
    ancestors, spent = outcomes(weights, np.arange(16) / 16)
    left = np.take_along_axis(np.tile(weights, (16, 1)), ancestors, 1) / spent
    assert np.all(left.sum(axis=1) ** 2 / (left**2).sum(axis=1) >= 250)


@pytest.mark.slow
def test_more_different_particles_are_left_than_by_equal_weights():
    weights = random_weights(500, 2, seed=2)
    keys = TracedKeys(jax.random.key(0))
    log_weights, particles = np.log(weights), np.arange(500)
    distinct = {}
    for scheme in ("systematic", "chopthin"):
        with jax.enable_x64(True):
            chosen = Resampling(scheme).select(
                keys, 2, jnp.asarray(particles), jnp.asarray(log_weights)
            )
        assert bool(chosen.resampled)
        distinct[scheme] = len(np.unique(np.asarray(chosen.particles)))
    assert distinct["chopthin"] > 1.2 * distinct["systematic"]


def test_what_it_refuses():
    with pytest.raises(ValueError, match="ratio must be at least 4, not 3"):
        face(jax.random.key(0), np.full(4, 0.25), ratio=3)
    assert "chopthin" not in CONDITIONAL
    with pytest.raises(ValueError, match="must have a conditional form"):
        check_conditional(4, Resampling("chopthin"))
