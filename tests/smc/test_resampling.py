"""Every scheme is held to one contract: E[offspring of i] = N W_i, and what is dead stays dead."""

import jax
import numpy as np
import pytest
from blackjax.smc import resampling as blackjax_resampling

from motes.smc import SCHEMES, Resampling
from motes.smc.resampling import draw_ancestors, scheme

WEIGHTS = {
    "even": np.full(6, 1 / 6),
    "uneven": np.array([0.05, 0.4, 0.3, 0.25]),
    "with the dead": np.array([0.0, 0.55, 0.0, 0.3, 0.15, 0.0]),
    "one survivor": np.array([0.0, 0.0, 1.0, 0.0]),
    "one particle": np.array([1.0]),
    "far apart": np.array([1e-300, 1.0 - 1e-9, 1e-9, 0.0]),
}
RUNS = 1500
LIMIT = 5.0  # standard errors; 4 schemes times 21 particles: a right scheme fails with probability 5e-5


def keys(runs: int) -> np.ndarray:
    return np.asarray(jax.random.key_data(jax.random.split(jax.random.key(1), runs)))


@pytest.mark.parametrize("weights", WEIGHTS.values(), ids=WEIGHTS)
@pytest.mark.parametrize("name", SCHEMES)
def test_expected_offspring(name, weights):
    size = len(weights)
    counts = np.array([np.bincount(draw_ancestors(scheme(name), key, weights), minlength=size) for key in keys(RUNS)])
    assert counts.shape == (RUNS, size)
    assert np.all(counts.sum(axis=1) == size)
    assert not counts[:, weights == 0].any()
    # at least Poisson's own error for N W_i expected offspring: the sample variance of a rare event may be zero
    errors = np.sqrt(np.maximum(counts.var(axis=0), np.minimum(size * weights, 1 / RUNS)) / RUNS)
    assert np.all(np.abs(counts.mean(axis=0) - size * weights) <= LIMIT * errors + 1e-12)


@pytest.mark.parametrize("name", ["systematic", "stratified", "residual"])
def test_low_variance_schemes_keep_to_their_bounds(name):
    """Offspring of i: N W_i up to less than 1 for systematic, less than 2 for stratified, at least its floor for residual."""
    weights = WEIGHTS["uneven"]
    expected = len(weights) * weights
    for key in keys(300):
        counts = np.bincount(draw_ancestors(scheme(name), key, weights), minlength=len(weights))
        if name == "residual":
            assert np.all(counts >= np.floor(expected))
        else:
            assert np.all(np.abs(counts - expected) < (1 if name == "systematic" else 2))


def test_the_dead_stay_dead_where_float32_raises_them():
    """A float32 uniform is 0 once in 2**23 draws; multinomial takes its logarithm, and what follows it in the cumulative sum is past
    the last weight. With 200,000 particles some key in 200 meets one (probability 0.99)."""
    weights = np.repeat([1e-5, 0.0], 100_000)

    @jax.jit
    def in_float32(key):
        return blackjax_resampling.multinomial(jax.random.wrap_key_data(key), weights.astype(np.float32), len(weights))

    hard = next(key for key in keys(200) if not weights[np.asarray(in_float32(key))].all())
    assert weights[draw_ancestors(scheme("multinomial"), hard, weights)].all()


@pytest.mark.parametrize("uniform", ["below the first sum", "past the last sum"])
def test_the_dead_stay_dead_whatever_the_cumulative_sum(uniform):
    """A uniform number of 0 falls on the first particle, and one past a last sum of less than 1 on the last."""
    weights = np.array([0.0, 0.5, 0.0, 0.5, 0.0])

    def extreme(key, packed):
        return np.full(len(packed), 0 if uniform.startswith("below") else len(packed) - 1)

    assert set(draw_ancestors(extreme, keys(1)[0], weights)) == ({1} if uniform.startswith("below") else {3})


def test_sums_are_float64():
    seen = []
    original = blackjax_resampling.systematic

    def spy(key, weights, size):
        seen.append(weights.dtype)
        return original(key, weights, size)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blackjax_resampling, "systematic", spy)
        scheme.__wrapped__("systematic")(keys(1)[0], np.full(17, 1 / 17))
    assert [str(dtype) for dtype in seen] == ["float64"]
    assert not jax.config.jax_enable_x64  # the user's setting is left alone


@pytest.mark.parametrize("name", SCHEMES)
def test_one_compilation_serves_all_weights(name):
    draw, key = scheme(name), keys(1)[0]
    compiled = draw.__closure__[0].cell_contents
    sizes = []
    for living in range(1, 8):
        draw_ancestors(draw, key, np.where(np.arange(13) < living, 1 / living, 0.0))
        sizes.append(compiled._cache_size())
    assert len(set(sizes)) == 1


def test_when_resampling_is_due():
    even, uneven = np.log(np.full(4, 0.25)), np.log(np.array([0.97, 0.01, 0.01, 0.01]))
    assert [Resampling(ess_threshold=kappa).due(even) for kappa in (0, 0.5, 1)] == [False, False, True]
    assert [Resampling(ess_threshold=kappa).due(uneven) for kappa in (0, 0.5, 1)] == [False, True, True]


def test_unknown_scheme_lists_the_known():
    with pytest.raises(ValueError, match="resampling must be one of systematic, stratified, residual, multinomial, not 'sistematic'"):
        Resampling("sistematic")


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan"), "0.5", None, True])
def test_threshold_out_of_range(threshold):
    with pytest.raises(ValueError, match=r"ess_threshold must be a number in \[0, 1\]"):
        Resampling(ess_threshold=threshold)
