from __future__ import annotations

from math import inf, isnan, nan

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from motes.smc import normalise
from motes.smc.psis import pareto_smooth


@pytest.mark.parametrize("shape", [0.3, 0.7, 1.2])
def test_k_hat_of_pareto_weights(shape: float) -> None:
    # w = U^-k is Pareto with shape k. The fit's error is about (1 + k) / sqrt(M), 0.13 at most for
    # M = 3 sqrt(4000) = 189; its prior draws it towards 1/2 by 10 / (M + 10) of the distance, 0.035
    # at most. Over 20 seeds the mean is within 0.035 and four errors of 0.13 / sqrt(20).
    weights = [
        pareto_smooth(shape * np.random.default_rng(seed).exponential(size=4000))
        for seed in range(20)
    ]
    k_hats = np.array([smoothed.k_hat for smoothed in weights])
    allowed = (1 + shape) / np.sqrt(189)
    prior = (0.5 - shape) * 10 / 199
    assert abs(k_hats.mean() - shape - prior) < 4 * allowed / np.sqrt(20)
    assert np.all(np.abs(k_hats - shape - prior) < 4 * allowed)


@settings(max_examples=30, deadline=None)
@given(shape=st.floats(0.1, 3), seed=st.integers(0, 2**32), shift=st.floats(-1e3, 1e3))
def test_smoothing_changes_the_tail_alone_and_keeps_the_order(
    shape: float, seed: int, shift: float
) -> None:
    log_weights = shape * np.random.default_rng(seed).exponential(size=100)
    smoothed, k_hat = pareto_smooth(log_weights)
    assert smoothed.dtype == np.float64 and np.exp(smoothed).sum() == pytest.approx(1, abs=1e-12)
    order = np.argsort(log_weights)
    assert np.all(np.diff(smoothed[order]) >= 0)
    body = np.sort(log_weights)[:80]
    np.testing.assert_allclose(np.diff(smoothed[order][:80]), np.diff(body), atol=1e-9)
    if k_hat < 1 / 3:
        np.testing.assert_allclose(smoothed, normalise(log_weights)[0], atol=1e-9)
    else:  # relative to the body no weight is above the largest seen
        assert smoothed.max() - smoothed[order[0]] <= log_weights.max() - body[0] + 1e-9
    again = pareto_smooth(log_weights + shift)
    assert again.k_hat == pytest.approx(k_hat, abs=1e-6)
    np.testing.assert_allclose(again.log_weights, smoothed, atol=1e-6)


def test_agrees_with_arviz() -> None:
    from arviz_stats.base import array_stats

    for seed, shape in enumerate(np.repeat([0.3, 0.7, 1.2], 5)):
        log_weights = shape * np.random.default_rng(seed).exponential(size=[30, 100][seed % 2])
        smoothed, k_hat = pareto_smooth(log_weights)
        theirs, their_k_hat = array_stats.psislw(-log_weights)
        assert k_hat == pytest.approx(float(their_k_hat), abs=1e-9)
        if k_hat >= 1 / 3:  # ArviZ smooths lighter tails too
            np.testing.assert_allclose(smoothed, theirs, atol=1e-9)


def test_the_dead_stay_dead_and_out_of_the_fit() -> None:
    log_weights = np.full(300, -inf)
    living = np.random.default_rng(0).permutation(300)[:100]
    log_weights[living] = np.random.default_rng(1).exponential(size=100)
    smoothed, k_hat = pareto_smooth(log_weights)
    alone = pareto_smooth(log_weights[living])
    assert k_hat == alone.k_hat and alone.k_hat > 1 / 3
    np.testing.assert_allclose(smoothed[living], alone.log_weights, atol=1e-12)
    assert np.isneginf(smoothed).sum() == 200


TIED = np.round(np.random.default_rng(2).normal(size=100))


@pytest.mark.parametrize(
    "log_weights",
    [
        np.empty(0),
        np.zeros(1),
        np.full(40, -inf),
        np.random.default_rng(0).normal(size=24),
        np.append(np.random.default_rng(0).normal(size=24), np.full(100, -inf)),  # 24 alive
        np.zeros(100),
        # the tail's are equal
        np.append(np.random.default_rng(0).normal(size=80), np.full(20, 5.0)),
        np.append(np.zeros(99), 50.0),  # all but one of the tail's are tied with those below
        TIED,
    ],
)
def test_undefined_without_a_tail(log_weights: np.ndarray) -> None:
    smoothed, k_hat = pareto_smooth(log_weights)
    assert isnan(k_hat)
    assert np.array_equal(smoothed, normalise(log_weights)[0])


def test_25_living_draws_suffice() -> None:
    assert np.isfinite(pareto_smooth(np.random.default_rng(0).normal(size=25)).k_hat)


def test_a_tail_beyond_float64_is_hopeless() -> None:
    log_weights = 3000 * np.random.default_rng(0).normal(size=100)
    smoothed, k_hat = pareto_smooth(log_weights)
    assert k_hat == inf and np.array_equal(smoothed, normalise(log_weights)[0])
    assert 10 < pareto_smooth(0.1 * log_weights).k_hat < inf


@pytest.mark.parametrize("bad", [nan, inf])
def test_faulty_weights_are_refused(bad: float) -> None:
    with pytest.raises(FloatingPointError, match="slot 3"):
        pareto_smooth(np.array([0.0, -inf, 1.0, bad] + [0.0] * 40))


def test_the_user_s_precision_is_left_alone() -> None:
    pareto_smooth(np.random.default_rng(0).normal(size=100))
    assert not jax.config.jax_enable_x64
