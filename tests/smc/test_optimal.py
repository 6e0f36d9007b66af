"""Optimal resampling without replacement: E[new weight of i] = w_i, nobody twice."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from piecewise import pieces
from scipy.optimize import brentq

from motes.smc.resampling import optimal
from motes.smc.resampling.without_replacement import keep_optimally

WEIGHTS = {
    "even": (np.full(6, 2.0), 4),
    "uneven": (np.array([0.3, 5.0, 1.0, 0.7, 2.0]), 3),
    "one heavy": (np.array([0.1, 100.0, 0.1, 0.1]), 2),
    "with the dead": (np.array([0.0, 3.0, 0.0, 1.0, 1.5, 0.5]), 3),
    "a tie at c w = 1": (np.array([1.0, 0.5, 0.5]), 2),
    "as many living as kept": (np.array([0.1, 0.0, 0.7, 0.3]), 3),
    "fewer living": (np.array([0.0, 0.4, 0.0, 0.6]), 3),
    "one kept": (np.array([0.2, 0.5, 0.3]), 1),
    "all kept": (np.array([0.2, 0.5, 0.3]), 3),
    "one candidate": (np.array([0.4]), 1),
    "far apart": (np.array([1e-300, 1.0, 1e-9, 1e-9]), 3),
}


@cache
def keeping(keep):
    return jax.jit(jax.vmap(partial(keep_optimally, keep=keep), (0, None)))


def outcome(uniforms, weights, keep):
    """The candidates' new weights, shape (uniforms, M), zero for those not kept."""
    with np.errstate(divide="ignore"), jax.enable_x64(True):
        indices, logs = map(np.asarray, keeping(keep)(uniforms, np.log(weights)))
    assert indices.shape == logs.shape == (len(uniforms), keep)
    assert indices.dtype == np.int32
    assert all(len(set(row)) == keep for row in indices)
    new = np.zeros((len(uniforms), len(weights)))
    np.put_along_axis(new, indices, np.exp(logs), axis=1)
    return new


def check(weights, keep):
    """The contract: unbiased, as many kept as there may be, the heavy with their own weight and the
    light with a common one, 1 / c."""
    lengths, values = pieces(lambda uniforms: outcome(uniforms, weights, keep))
    np.testing.assert_allclose(lengths @ values, weights, rtol=1e-12, atol=1e-13 * weights.sum())
    living = np.count_nonzero(weights)
    solid = values[lengths > 1e-12]
    assert np.all(np.count_nonzero(solid, axis=1) == min(living, keep))
    if living <= keep:
        np.testing.assert_allclose(solid, np.tile(weights, (len(solid), 1)), rtol=1e-14)
        return
    upper = keep / weights[weights > 0].min()
    c = brentq(
        lambda c: np.minimum(1, c * weights).sum() - keep,
        0,
        upper,
        xtol=1e-300,
        rtol=1e-14,
        maxiter=5000,
    )
    kept = solid > 0
    np.testing.assert_allclose(
        solid[kept], np.tile(np.maximum(weights, 1 / c), (len(solid), 1))[kept], rtol=1e-9
    )
    np.testing.assert_allclose(lengths @ (values > 0), np.minimum(1, c * weights), atol=1e-9)


@pytest.mark.long(quick=2)
@pytest.mark.parametrize(("weights", "keep"), WEIGHTS.values(), ids=WEIGHTS)
def test_contract(weights, keep):
    check(weights, keep)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    raw=st.lists(st.integers(0, 50), min_size=6, max_size=6).filter(any),
    scale=st.sampled_from([1.0, 1e-3, 1e5]),
)
def test_contract_for_any_weights(raw, scale):
    check(np.array(raw) * scale, 3)


def test_draws_from_keys():
    """4,000 runs: each mean within 5 standard errors, a false alarm with probability 3e-6."""
    weights, keep, runs = WEIGHTS["uneven"][0], 3, 4000
    resample = jax.jit(jax.vmap(partial(optimal, keep=keep), (0, None)))
    with jax.enable_x64(True):
        indices, logs = resample(jax.random.split(jax.random.key(0), runs), np.log(weights))
    new = np.zeros((runs, len(weights)))
    np.put_along_axis(new, np.asarray(indices), np.exp(logs), axis=1)
    assert np.all(np.abs(new.mean(axis=0) - weights) <= 5 * new.std(axis=0) / np.sqrt(runs) + 1e-12)


def test_the_kept_are_in_order_and_the_heavy_unchanged():
    logs = np.log(np.array([0.1, 9.0, 0.2, 0.1, 7.0, 0.3]))
    resample = jax.jit(partial(optimal, keep=3))
    for seed in range(20):
        with jax.enable_x64(True):
            indices, new = map(np.asarray, resample(jax.random.key(seed), logs))
        assert list(indices) == sorted(indices)
        assert {1, 4} < set(indices)
        np.testing.assert_array_equal(new[(indices == 1) | (indices == 4)], logs[[1, 4]])
        np.testing.assert_allclose(new[(indices != 1) & (indices != 4)], np.log(0.7), rtol=1e-14)


@pytest.mark.slow
def test_the_scale_is_kept():
    logs = np.log(WEIGHTS["uneven"][0])
    with jax.enable_x64(True):
        indices, new = optimal(jax.random.key(3), logs, 3)
    for shift in (1000.0, -1000.0):
        with jax.enable_x64(True):
            shifted_indices, shifted = optimal(jax.random.key(3), logs + shift, 3)
        np.testing.assert_array_equal(indices, shifted_indices)
        np.testing.assert_allclose(np.asarray(shifted) - shift, new, atol=1e-11)


@pytest.mark.slow
def test_all_dead():
    indices, logs = map(np.asarray, optimal(jax.random.key(0), np.full(5, -np.inf), 3))
    assert len(set(indices)) == 3
    assert np.all(logs == -np.inf)


@pytest.mark.slow
@pytest.mark.parametrize("keep", [300, 30_000])
def test_many(keep):
    """Nobody twice and nobody dead among 40,000, half of them dead, many of them equal."""
    weights = np.round(np.random.default_rng(0).exponential(size=40_000), 1)
    weights[::2] = 0
    resample = jax.jit(partial(optimal, keep=keep))
    with np.errstate(divide="ignore"):
        logs = np.log(weights)
    for seed in range(5):
        with jax.enable_x64(True):
            indices, new = map(np.asarray, resample(jax.random.key(seed), logs))
        assert len(set(indices)) == keep
        kept = new > -np.inf
        assert kept.sum() == min(keep, np.count_nonzero(weights))
        assert weights[indices[kept]].all()
        # systematic sampling: even the sum is kept
        assert abs(np.exp(new).sum() / weights.sum() - 1) < 1e-9


@pytest.mark.parametrize("keep", [0, 6])
def test_keep_out_of_range(keep):
    with pytest.raises(
        ValueError, match=f"keep must be from 1 to the number of candidates, 5, not {keep}"
    ):
        optimal(jax.random.key(0), np.zeros(5), keep)


@pytest.mark.slow
def test_the_same_bits_whatever_the_users_setting():
    logs = np.random.default_rng(0).normal(size=200).astype(np.float32)
    before, results = jax.config.jax_enable_x64, []
    for setting in (False, True):
        with jax.enable_x64(setting):
            results.append(jax.jit(partial(optimal, keep=50))(jax.random.key(0), logs))
            assert jax.config.jax_enable_x64 == setting
    assert jax.config.jax_enable_x64 == before
    for indices, new in results:
        assert (indices.dtype, new.dtype) == (jnp.int32, jnp.float32)
        np.testing.assert_array_equal(indices, results[0][0])
        np.testing.assert_array_equal(new, results[0][1])
