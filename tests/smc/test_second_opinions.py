"""The engine beside cuthbert's filter, and its single-run errors beside the spread of 1,000 runs of
a linear-Gaussian model."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cuthbert.smc.particle_filter import build_filter
from cuthbertlib.resampling import systematic
from scipy.stats import norm

from motes.smc import (
    HISTORY,
    History,
    Resampling,
    filter_variance,
    islands,
    log_evidence_variance,
    scan,
)


@pytest.mark.slow
def test_cuthberts_filter_has_the_same_evidence(linear_gaussian):
    """Means and spreads of log Z-hat over 300 runs of 100 particles: a z of 5 and an F ratio that
    equal filters pass
    but once in a million."""
    model, y = linear_gaussian.model(), jnp.asarray(linear_gaussian.y)
    a, q, r = linear_gaussian.a, linear_gaussian.q, linear_gaussian.r
    theirs = build_filter(
        init_sample=lambda key: jax.random.normal(key, ()),
        propagate_sample=lambda key, state, model_inputs: (
            a * state + jnp.sqrt(q) * jax.random.normal(key, ())
        ),
        log_potential=lambda state_prev, state, model_inputs: (
            -0.5 * ((model_inputs - state) ** 2 / r + jnp.log(2 * jnp.pi * r))
        ),
        n_filter_particles=100,
        resampling_fn=systematic.resampling,
    )

    @jax.jit
    def cuthbert(key):
        def step(state, at):
            return theirs.filter_combine(state, theirs.filter_prepare(at[0], key=at[1])), None

        state = theirs.init_prepare(key=key)._replace(model_inputs=y[0])
        return jax.lax.scan(step, state, (y, jax.random.split(key, len(y))))[
            0
        ].log_normalizing_constant

    keys = jax.random.split(jax.random.key(11), 300)
    other = np.array([float(cuthbert(key)) for key in keys])
    own = np.asarray(
        jax.jit(
            jax.vmap(
                lambda key: (
                    scan(model, key, 100, 20, Resampling("systematic", 1)).state.log_evidence
                )
            )
        )(keys)
    )
    assert abs(own.mean() - other.mean()) <= 5 * np.sqrt((own.var() + other.var()) / 300)
    # log of a ratio of two sample variances: standard deviation sqrt((k - 1) (1/n + 1/n)), kurtosis
    # k below 5 here
    assert abs(np.log(own.var() / other.var())) <= 5 * np.sqrt(4 * 2 / 300)


@pytest.mark.statistics
def test_errors_of_one_run_are_those_between_runs(linear_gaussian):
    """1,000 runs of 2,000 particles, multinomial at every step. The mean of the single-run
    variances lies in a 99.9% interval for the variance between runs: chi-squared with a kurtosis
    correction, by the delta method on its log. Two checks: false alarm 2e-3.
    """
    short = type(linear_gaussian)(linear_gaussian.y[:6])
    runs, _ = islands(short.model(), 8, 1000, 2000, 6, Resampling("multinomial", 1), HISTORY)
    single = {"mean": [], "log-evidence": []}
    for run in runs:
        history, final = History.of(run.collected, 2000), run.state.log_weights
        single["mean"].append(
            filter_variance(
                history, final, np.asarray(run.state.particles, np.float64), since=0
            ).variance
        )
        single["log-evidence"].append(log_evidence_variance(history, final, since=0).variance)
    between = {
        "mean": np.array(
            [
                np.exp(run.state.log_weights) @ np.asarray(run.state.particles, np.float64)
                for run in runs
            ]
        ),
        "log-evidence": np.array([run.state.log_evidence for run in runs]),
    }
    for name, values in between.items():
        centred = values - values.mean()
        kurtosis = (centred**4).mean() / centred.var() ** 2
        spread = np.sqrt(
            (kurtosis - 1) / len(values)
            + np.var(single[name]) / np.mean(single[name]) ** 2 / len(values)
        )
        assert (
            abs(np.log(np.mean(single[name]) / values.var(ddof=1))) <= norm.ppf(0.9995) * spread
        ), name
