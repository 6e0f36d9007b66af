"""Every scheme is held to one contract: E[offspring of i] = N W_i, and what is dead stays dead. The
expectation is integrated exactly."""

from functools import cache
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from blackjax.smc import resampling as blackjax_resampling
from hypothesis import given, settings
from hypothesis import strategies as st
from piecewise import LAST, pieces
from scipy.stats import chi2

from motes.smc.resampling import SCHEMES
from motes.smc.resampling.offspring import from_counts
from motes.smc.resampling.schemes import KillingNoise

WEIGHTS = {
    "even": np.full(6, 1 / 6),
    "uneven": np.array([0.05, 0.4, 0.3, 0.25]),
    "with the dead": np.array([0.0, 0.55, 0.0, 0.3, 0.15, 0.0]),
    "one survivor": np.array([0.0, 0.0, 1.0, 0.0]),
    "one particle": np.array([1.0]),
    "far apart": np.array([1e-300, 1.0 - 1e-9, 1e-9, 0.0]),
}
NAMES = list(SCHEMES)


def same_for_all(uniforms, size):
    return jnp.full(size, uniforms[0])


# How many uniforms to integrate over. In stratified, residual, multinomial and killing, a slot
# depends on its own uniforms only (checked below): for the law of each slot by itself, all may have
# the same.
NOISE = {
    "systematic": (lambda size: 1, lambda uniforms, size: uniforms[0]),
    "stratified": (lambda size: 1, same_for_all),
    "residual": (lambda size: 1, same_for_all),
    "multinomial": (lambda size: 1, same_for_all),
    "ssp": (lambda size: size, lambda uniforms, size: uniforms),
    "killing": (
        lambda size: 2,
        lambda uniforms, size: KillingNoise(
            jnp.full(size, uniforms[0]), jnp.full(size, uniforms[1])
        ),
    ),
}


@cache
def placing(name):
    """The scheme as a compiled function of (uniforms of shape (points, dimensions), weights)."""
    build = NOISE[name][1]
    return jax.jit(
        jax.vmap(
            lambda uniforms, weights: SCHEMES[name].place(build(uniforms, len(weights)), weights),
            (0, None),
        )
    )


def law(function, dimensions, known=()):
    """Outcomes of a function of (points, dimensions) uniforms, constant on boxes, as pairs of
    probability and value: one uniform after the other is cut where the outcome jumps for some of
    the later ones, the corners of their cube among them.
    """
    later = dimensions - len(known) - 1
    corners = np.array(list(product([0.0, LAST], repeat=later))).reshape(2**later, later)
    others = np.concatenate([corners, np.random.default_rng(0).random((40 if later else 0, later))])

    def outcomes(uniforms):
        points = [
            np.concatenate([np.tile([*known, u], (len(others), 1)), others], axis=1)
            for u in uniforms
        ]
        return np.asarray(function(np.concatenate(points))).reshape(len(uniforms), len(others), -1)

    lengths, values = pieces(outcomes)
    starts = np.append(0.0, np.cumsum(lengths))
    distinct, which = np.unique(values, axis=0, return_inverse=True)
    for index in range(len(distinct)):
        mine = which.reshape(-1) == index
        probability, longest = lengths[mine].sum(), np.flatnonzero(mine)[np.argmax(lengths[mine])]
        if not later:
            yield probability, distinct[index][0]
        else:
            inside = (starts[longest] + starts[longest + 1]) / 2
            yield from (
                (probability * p, value) for p, value in law(function, dimensions, (*known, inside))
            )


def expected_offspring(name, weights):
    dimensions = NOISE[name][0](len(weights))
    function = placing(name)
    with jax.enable_x64(True):
        outcomes = list(law(lambda points: function(points, weights), dimensions))
    return sum(
        probability * np.bincount(ancestors, minlength=len(weights))
        for probability, ancestors in outcomes
    )


@cache
def drawing(name):
    """The scheme as a compiled function of (keys, weights)."""
    return jax.jit(jax.vmap(SCHEMES[name], (0, None)))


def draws(name, weights, runs, seed=1):
    """Ancestors of independent runs, shape (runs, N)."""
    with jax.enable_x64(True):
        return np.asarray(
            drawing(name)(jax.random.split(jax.random.key(seed), runs), jnp.asarray(weights))
        )


def counts(ancestors):
    return (ancestors[:, :, None] == np.arange(ancestors.shape[1])).sum(axis=1)


def test_the_schemes():
    assert NAMES == ["systematic", "stratified", "residual", "multinomial", "ssp", "killing"]
    assert [scheme.name for scheme in SCHEMES.values()] == NAMES


@pytest.mark.long(quick=9)
@pytest.mark.parametrize("weights", WEIGHTS.values(), ids=WEIGHTS)
@pytest.mark.parametrize("name", NAMES)
def test_expected_offspring(name, weights):
    np.testing.assert_allclose(
        expected_offspring(name, weights), len(weights) * weights, rtol=0, atol=1e-13
    )


@pytest.mark.long(quick=1)
@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=8, deadline=None, derandomize=True)
@given(
    raw=st.lists(st.integers(0, 1000), min_size=4, max_size=4).filter(any),
    order=st.permutations(range(4)),
)
def test_expected_offspring_do_not_depend_on_the_order(name, raw, order):
    weights = np.array(raw) / sum(raw)
    expected = expected_offspring(name, weights)
    np.testing.assert_allclose(
        expected_offspring(name, weights[order]), expected[order], rtol=0, atol=1e-13
    )


@pytest.mark.parametrize("name", ["stratified", "residual", "multinomial", "killing"])
def test_a_slot_depends_on_its_own_uniforms_only(name):
    rng = np.random.default_rng(2)
    with jax.enable_x64(True):
        for weights in (WEIGHTS["uneven"], WEIGHTS["far apart"], np.array([0.3, 0.0, 0.5, 0.2])):
            size = len(weights)
            uniforms = rng.random((NOISE[name][0](size), size))
            noise = KillingNoise(*uniforms) if name == "killing" else uniforms[0]
            by_slot = placing(name)(uniforms.T, weights)
            np.testing.assert_array_equal(
                jax.jit(SCHEMES[name].place)(noise, weights), np.diagonal(by_slot)
            )


@pytest.mark.long(quick=4)
@pytest.mark.parametrize("case", ["uneven", "far apart", "one particle"])
@pytest.mark.parametrize("name", NAMES)
def test_draws_from_keys(name, case):
    """The noise is what the integrals take it for."""
    weights = WEIGHTS[case]
    runs, size = 4000, len(weights)
    ancestors = draws(name, weights, runs)
    offspring = counts(ancestors)
    assert ancestors.dtype == np.int32
    assert ancestors.shape == (runs, size)
    assert ancestors.min() >= 0 and ancestors.max() < size
    assert not offspring[:, weights == 0].any()
    # 6 schemes times 9 particles, 5 standard errors: a false alarm with probability 3e-5. The error
    # is at least Poisson's own for N W_i expected offspring: the sample variance of a rare event
    # may be zero
    errors = np.sqrt(np.maximum(offspring.var(axis=0), np.minimum(size * weights, 1 / runs)) / runs)
    assert np.all(np.abs(offspring.mean(axis=0) - size * weights) <= 5 * errors + 1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_uniforms(name):
    noise = jax.tree.map(np.asarray, SCHEMES[name].noise(jax.random.key(3), 5000))
    for uniforms in jax.tree.leaves(noise):
        assert uniforms.dtype == np.float64
        assert np.all((uniforms >= 0) & (uniforms < 1))
        if uniforms.ndim:
            # 32 bits would repeat one with probability 0.003, 23 bits certainly
            assert len(np.unique(uniforms)) == 5000
            # mean and variance within 5 standard errors: a false alarm with probability 1e-6 for
            # each of the six
            assert abs(np.mean(uniforms) - 1 / 2) < 5 * np.sqrt(1 / 12 / 5000)
            assert abs(np.var(uniforms) - 1 / 12) < 5 * np.sqrt(1 / 180 / 5000)
    if name == "killing":
        assert abs(np.corrcoef(noise.keep, noise.draw)[0, 1]) < 5 / np.sqrt(5000)


@pytest.mark.long(quick=1)
@pytest.mark.parametrize("name", ["systematic", "ssp", "residual", "stratified"])
def test_low_variance_schemes_keep_to_their_bounds(name):
    """Offspring of i: N W_i rounded up or down for systematic and ssp, at least its floor for
    residual, less than 2 away for stratified."""
    for seed in range(5):
        weights = np.random.default_rng(seed).exponential(size=40) ** 2
        weights[::7] = 0
        weights /= weights.sum()
        offspring, expected = counts(draws(name, weights, 400, seed)), 40 * weights
        if name != "stratified":
            assert np.all(offspring >= np.floor(expected))
        if name in ("systematic", "ssp"):
            assert np.all(offspring <= np.ceil(expected))
        assert name == "residual" or np.all(np.abs(offspring - expected) < 2)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_dead_stay_dead_among_many(name):
    for weights in (np.tile([0.0, 1e-4], 10_000), np.tile([1e-4, 0.0], 10_000).astype(np.float32)):
        ancestors = draws(name, weights, 25)
        assert weights[ancestors].all()


@pytest.mark.long(quick=3)
@pytest.mark.parametrize("extreme", [0.0, LAST])
@pytest.mark.parametrize("name", NAMES)
def test_the_dead_stay_dead_at_extreme_uniforms(name, extreme):
    with jax.enable_x64(True):
        noise = jax.tree.map(
            lambda uniforms: jnp.full_like(uniforms, extreme),
            SCHEMES[name].noise(jax.random.key(0), 5),
        )
    for weights in (
        [0.0, 0.5, 0.0, 0.5, 0.0],
        [0.0, 1e-300, 1.0, 1e-17, 0.0],
        [0.0, 0.1, 0.2, 0.7, 0.0],
        [0.0, 0.0, 0.0, 0.0, 1.0],
    ):
        assert np.all(np.array(weights)[SCHEMES[name].place(noise, np.array(weights))] > 0)


@pytest.mark.parametrize("name", NAMES)
def test_all_dead(name):
    ancestors = draws(name, np.zeros(5), 20)
    assert ancestors.min() >= 0 and ancestors.max() < 5


@pytest.mark.long(quick=1)
@pytest.mark.parametrize("name", NAMES)
def test_the_same_bits_whatever_the_users_setting(name):
    weights = np.random.default_rng(0).exponential(size=40).astype(np.float32)
    weights /= weights.sum()
    keys = jax.random.split(jax.random.key(0), 3)

    def by_scan(keys, weights):
        return jax.lax.scan(
            lambda total, key: (total + weights.sum(), SCHEMES[name](key, weights)),
            jnp.float32(0),
            keys,
        )[1]

    def all_ways():
        return [
            jax.jit(jax.vmap(SCHEMES[name], (0, None)))(keys, weights),
            jax.jit(by_scan)(keys, weights),
        ]

    before = jax.config.jax_enable_x64
    results = []
    for setting in (False, True):
        with jax.enable_x64(setting):
            results += all_ways()
            assert jax.config.jax_enable_x64 == setting
            assert jnp.asarray(1.0).dtype == (jnp.float64 if setting else jnp.float32)
    assert jax.config.jax_enable_x64 == before
    for result in results:
        assert result.dtype == jnp.int32
        np.testing.assert_array_equal(result, results[0])


@pytest.mark.slow
def test_noise_may_cross_the_users_program():
    """A user may draw the noise in one compiled function and place in another, or place the same
    noise with other weights."""
    weights = np.array([0.1, 0.2, 0.3, 0.4], np.float32)
    for name in ("multinomial", "killing"):
        scheme = SCHEMES[name]
        noise = jax.jit(scheme.noise, static_argnums=1)(jax.random.key(5), 4)
        expected = scheme(jax.random.key(5), weights)
        for place in (scheme.place, jax.jit(scheme.place)):
            np.testing.assert_array_equal(place(noise, weights), expected, err_msg=name)


@pytest.mark.long(quick=1)
@pytest.mark.parametrize("name", ["systematic", "stratified"])
def test_agrees_with_blackjax_path_by_path(name):
    theirs = getattr(blackjax_resampling, name)
    with jax.enable_x64(True):
        for seed, size in enumerate([1, 7, 2000]):
            weights = np.random.default_rng(seed).exponential(size=size) ** 3
            weights /= weights.sum()
            key = jax.random.key(seed)
            # as they draw them
            uniforms = jax.random.uniform(key, () if name == "systematic" else (size,))
            np.testing.assert_array_equal(
                jax.jit(SCHEMES[name].place)(uniforms, weights), theirs(key, weights, size)
            )


@pytest.mark.long(quick=1)
@pytest.mark.parametrize("name", ["multinomial", "residual"])
def test_agrees_with_blackjax_in_law(name):
    """Their counts in 20,000 runs against our exact law: a chi-squared test, with a false alarm
    once in 10,000 for each of the three."""
    runs = 20_000
    for weights in ([0.2, 0.5, 0.3], [0.05, 0.9, 0.05], [0.0, 0.45, 0.55]):
        exact = np.zeros((4, 4, 4))
        for ancestors, probability in np.ndenumerate(slotwise_law(name, np.array(weights))):
            exact[tuple(np.bincount(ancestors, minlength=3))] += probability
        with jax.enable_x64(True):
            resample = jax.vmap(
                lambda key: getattr(blackjax_resampling, name)(key, jnp.array(weights), 3)
            )
            theirs = counts(
                np.asarray(jax.jit(resample)(jax.random.split(jax.random.key(11), runs)))
            )
        seen = np.zeros_like(exact)
        np.add.at(seen, tuple(theirs.T), 1)
        possible = exact > 1e-12
        assert not seen[~possible].any()
        assert np.sum((seen - runs * exact)[possible] ** 2 / (runs * exact[possible])) < chi2.isf(
            1e-4, possible.sum() - 1
        )


def slotwise_law(name, weights):
    """The joint law of independent slots, shape (N,) * N."""
    size = len(weights)
    with jax.enable_x64(True):
        outcomes = list(law(lambda points: placing(name)(points, weights), NOISE[name][0](size)))
    joint = np.ones(())
    for slot in range(size):
        joint = np.multiply.outer(
            joint, sum(p * np.eye(size)[ancestors[slot]] for p, ancestors in outcomes)
        )
    return joint


def test_residual_by_hand():
    """N W = (0.6, 1.5, 0.9): one certain copy of particle 1, two draws from (0.6, 0.5, 0.9) / 2."""
    expected = np.zeros((3, 3, 3))
    expected[1] = np.outer([0.3, 0.25, 0.45], [0.3, 0.25, 0.45])
    np.testing.assert_allclose(
        slotwise_law("residual", np.array([0.2, 0.5, 0.3])), expected, atol=1e-13
    )


def test_killing_by_hand():
    """Slot i keeps i with probability W_i / max W, else takes an independent draw."""
    weights = np.array([0.1, 0.2, 0.3, 0.4])
    kept = weights / weights.max()
    slots = np.diag(kept) + (1 - kept)[:, None] * weights
    expected = np.einsum("i,j,k,l->ijkl", *slots)
    np.testing.assert_allclose(slotwise_law("killing", weights), expected, atol=1e-13)


@pytest.mark.slow
def test_ssp_counts_are_negatively_correlated():
    """E[n_i n_j] <= E[n_i] E[n_j] for i and j different: what systematic resampling lacks, in some
    orders of the particles."""
    weights = np.array([0.1, 0.45, 0.15, 0.3])
    with jax.enable_x64(True):
        outcomes = [
            (p, np.bincount(ancestors, minlength=4))
            for p, ancestors in law(lambda u: placing("ssp")(u, weights), 4)
        ]
    mean = sum(p * n for p, n in outcomes)
    covariance = sum(p * np.outer(n - mean, n - mean) for p, n in outcomes)
    assert np.all(covariance[~np.eye(4, dtype=bool)] <= 1e-13)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.lists(st.integers(0, 11), min_size=12, max_size=12))
def test_ancestors_from_counts(ancestors):
    offspring = np.bincount(ancestors, minlength=12)
    np.testing.assert_array_equal(
        from_counts(jnp.asarray(offspring, jnp.int32)), np.sort(ancestors)
    )


@pytest.mark.slow
@pytest.mark.parametrize("size", [49, 98, 103, 107, 161])
def test_equal_weights_change_nobody(size):
    """N (1 / N) falls short of 1 in floating point for some N: whole parts must be whole all the
    same."""
    for name in ("systematic", "stratified", "residual", "ssp", "killing"):
        drawn = np.asarray(SCHEMES[name](jax.random.key(0), np.full(size, 1 / size)))
        assert len(set(drawn.tolist())) == size, name
