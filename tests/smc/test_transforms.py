"""Guided and twisted filters have the target of the model they come from, and no variance where the
twist is exact."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motes.smc import Model, Resampling, guided, run, scan, twisted


def log(x):
    with np.errstate(divide="ignore"):
        return np.log(x)


def exactly_twisted(hmm):
    """The model under its exact twist and twisted kernels, x_0 too: the ratio of the initial
    kernels belongs to step 1."""
    psi, steps = hmm.twists, hmm.steps
    kernels = np.array([hmm.transition * hmm.potentials[t] * psi[t + 1] for t in range(steps)])
    log_kernels = jnp.asarray(log(kernels / kernels.sum(axis=2, keepdims=True)))
    first = hmm.initial * psi[0]
    log_first, log_ratio_first = (
        jnp.asarray(log(first / first.sum())),
        jnp.asarray(log(first.sum() / psi[0])),
    )
    log_transition, log_psi = jnp.asarray(log(hmm.transition)), jnp.asarray(log(psi))

    def log_ratio(t, before, after):
        ratio = log_transition[before, after] - log_kernels[t - 1, before, after]
        return ratio + jnp.where(t == 1, log_ratio_first[before], 0.0)

    return guided(
        twisted(hmm.model(), lambda t, x: log_psi[t, x], steps),
        lambda t, key, x: jax.random.categorical(key, log_kernels[t - 1, x]).astype(jnp.int32),
        log_ratio,
        lambda key, slots: jax.random.categorical(key, log_first, shape=(slots,)).astype(jnp.int32),
    )


@pytest.mark.long(quick=1)
@pytest.mark.parametrize("which", ["hmm", "random_hmm"])
def test_exact_twist_and_kernel_have_no_variance(which, request):
    """The exact evidence with one particle, at every seed; equal weights with several. Sums of
    float32 potentials."""
    hmm = request.getfixturevalue(which)
    model = exactly_twisted(hmm)
    for seed in range(10):
        one = run(model, seed, 1, hmm.steps)
        assert float(one.state.log_evidence) == pytest.approx(np.log(hmm.evidence), abs=2e-6)
        several = run(model, seed, 7, hmm.steps)
        assert float(several.state.log_evidence) == pytest.approx(np.log(hmm.evidence), abs=2e-6)
        assert np.asarray(several.state.log_weights) == pytest.approx(-np.log(7), abs=2e-6)


def evidences(model, steps, slots=6, seeds=20_000, scheme="multinomial"):
    one = jax.jit(
        jax.vmap(
            lambda key: scan(model, key, slots, steps, Resampling(scheme, 1)).state.log_evidence
        )
    )
    return np.exp(np.asarray(one(jax.random.split(jax.random.key(1), seeds))))


@pytest.mark.slow
def test_exact_twist_alone_has_the_right_mean(random_hmm):
    """Within 5 standard errors (false alarm 6e-7)."""
    log_psi = jnp.asarray(log(random_hmm.twists))
    estimates = evidences(
        twisted(random_hmm.model(), lambda t, x: log_psi[t, x], random_hmm.steps), random_hmm.steps
    )
    assert abs(estimates.mean() - random_hmm.evidence) <= 5 * estimates.std() / np.sqrt(
        len(estimates)
    )


def test_any_twist_has_the_right_mean(random_hmm):
    log_psi = jnp.asarray(np.random.default_rng(0).normal(size=(5, 3)))
    estimates = evidences(
        twisted(random_hmm.model(), lambda t, x: log_psi[t, x], random_hmm.steps), random_hmm.steps
    )
    assert abs(estimates.mean() - random_hmm.evidence) <= 5 * estimates.std() / np.sqrt(
        len(estimates)
    )


def test_a_twist_left_in_at_the_end_would_be_seen(random_hmm):
    """A planted fault: psi_T other than 1."""
    log_psi = jnp.asarray(np.random.default_rng(0).normal(size=(6, 3)))
    estimates = evidences(
        twisted(random_hmm.model(), lambda t, x: log_psi[t, x], random_hmm.steps + 1),
        random_hmm.steps,
    )
    assert abs(estimates.mean() - random_hmm.evidence) > 10 * estimates.std() / np.sqrt(
        len(estimates)
    )


def test_guided_filter_has_the_right_mean(random_hmm):
    log_q = jnp.asarray(log(np.random.default_rng(2).dirichlet(np.ones(3), size=3)))
    log_transition = jnp.asarray(log(random_hmm.transition))
    model = guided(
        random_hmm.model(),
        lambda t, key, x: jax.random.categorical(key, log_q[x]).astype(jnp.int32),
        lambda t, before, after: log_transition[before, after] - log_q[before, after],
    )
    estimates = evidences(model, random_hmm.steps)
    assert abs(estimates.mean() - random_hmm.evidence) <= 5 * estimates.std() / np.sqrt(
        len(estimates)
    )


@pytest.mark.slow
def test_locally_optimal_proposal_of_a_linear_gaussian_model(linear_gaussian):
    """x_t drawn given x_t-1 and y_t: the evidence agrees with Kalman's, and varies less than the
    bootstrap filter's."""
    a, q, r = linear_gaussian.a, linear_gaussian.q, linear_gaussian.r
    y = jnp.asarray(np.concatenate([[0.0], linear_gaussian.y]))
    gain, plain = q / (q + r), linear_gaussian.model()
    variance = (1 - gain) * q

    def log_ratio(t, before, after):
        centre = a * before + gain * (y[t] - a * before)
        log_q = -0.5 * ((after - centre) ** 2 / variance + np.log(2 * np.pi * variance))
        return plain.log_transition(t, before, after) - log_q

    def move(t, key, x):
        return a * x + gain * (y[t] - a * x) + np.sqrt(variance) * jax.random.normal(key, x.shape)

    log_evidence = linear_gaussian.kalman()[2]
    scale = {
        name: evidences(model, 20, 100, 400, "systematic") / np.exp(log_evidence)
        for name, model in (("plain", plain), ("guided", guided(plain, move, log_ratio)))
    }
    for estimates in scale.values():
        assert abs(estimates.mean() - 1) <= 5 * estimates.std() / 20
    assert scale["guided"].var() < 0.6 * scale["plain"].var()


def test_a_dead_twist_stays_dead():
    """psi = 0 kills a particle once, and 0 / 0 is not asked for afterwards."""
    model = Model(
        lambda key, slots: jnp.arange(slots),
        lambda t, key, x: x,
        lambda t, before, after: jnp.zeros(after.shape),
    )
    finished = run(
        twisted(model, lambda t, x: jnp.where(x < 3, -jnp.inf, 0.0), 4),
        0,
        8,
        4,
        Resampling(ess_threshold=0),
    )
    assert np.array_equal(np.asarray(finished.state.log_weights) == -np.inf, np.arange(8) < 3)
