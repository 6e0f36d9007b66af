from __future__ import annotations

import jax
import numpy as np
import pytest

from motes.smc import Resampling, TracedKeys, combine, islands, mean, run


def test_weights_by_hand():
    with np.errstate(divide="ignore"):
        together = combine(np.log([[0.5, 0.5], [0.25, 0.75], [1.0, 0.0]]), np.log([1.0, 3.0, 0.0]))
        assert np.exp(together.log_weights) == pytest.approx(
            np.array([[0.125, 0.125], [0.1875, 0.5625], [0, 0]]), abs=1e-15
        )
    assert together.log_evidence == pytest.approx(np.log(4 / 3), abs=1e-15)
    assert together.log_evidence_error == pytest.approx(
        np.std([1, 3, 0], ddof=1) / np.sqrt(3) / (4 / 3), rel=1e-12
    )


def test_all_dead():
    together = combine(np.full((2, 3), -np.inf), np.full(2, -np.inf))
    assert together.log_evidence == -np.inf and np.all(together.log_weights == -np.inf)
    assert np.isnan(together.log_evidence_error)


def test_one_island_is_the_run_itself():
    together = combine(np.log([[0.2, 0.8]]), np.array([-3.0]))
    assert np.exp(together.log_weights) == pytest.approx(np.array([[0.2, 0.8]]), rel=1e-12)
    assert together.log_evidence == -3 and np.isnan(together.log_evidence_error)


def test_islands_agree_with_the_exact_filter(linear_gaussian):
    """200 islands of 20: the mean within 5 standard errors of Kalman's, and better than islands
    weighed equally."""
    means, _, log_evidence = linear_gaussian.kalman()
    runs, together = islands(
        linear_gaussian.model(), 3, 200, 20, 20, Resampling(), {"mean": mean(lambda x: x)}
    )
    assert abs(together.log_evidence - log_evidence) <= 5 * together.log_evidence_error
    x = np.stack([np.asarray(one.state.particles) for one in runs])
    by_island = np.array(
        [np.exp(one.state.log_weights) @ values for one, values in zip(runs, x, strict=True)]
    )
    shares = np.exp(together.log_weights).sum(axis=1)
    estimate = float((np.exp(together.log_weights) * x).sum())
    assert estimate == pytest.approx(float(shares @ by_island), rel=1e-12)
    error = np.sqrt(np.sum(shares**2 * (by_island - estimate) ** 2))
    assert abs(estimate - means[-1]) <= 5 * error


@pytest.mark.slow
def test_an_island_is_a_run_of_its_own(linear_gaussian):
    model = linear_gaussian.model()
    runs, _ = islands(model, 3, 3, 20, 20)
    alone = run(model, TracedKeys(jax.random.key(3)).island(1).key, 20, 20)
    assert float(runs[1].state.log_evidence) == pytest.approx(
        float(alone.state.log_evidence), abs=1e-4
    )  # float32, vectorised


def test_faults_are_errors(linear_gaussian):
    from dataclasses import replace

    broken = replace(linear_gaussian.model(), log_potential=lambda t, before, after: after * np.nan)
    with pytest.raises(FloatingPointError, match="log_potential at step 1"):
        islands(broken, 0, 2, 5, 3)
    with pytest.raises(ValueError, match="steps must be given"):
        islands(linear_gaussian.model(), 0, 2, 5)
