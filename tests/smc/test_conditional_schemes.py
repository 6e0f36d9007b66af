"""Conditional schemes have exactly the law of their unconditional scheme given A_0 = b, enumerated
here from its definition."""

from functools import cache
from importlib import import_module
from itertools import pairwise, permutations, product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from piecewise import pieces
from scipy.stats import chi2

from motes.smc.resampling import CONDITIONAL, SCHEMES
from motes.smc.resampling.conditional import KillingNoise, SystematicNoise
from motes.smc.resampling.schemes import KillingNoise as SlotNoise

WEIGHTS = {
    "one": [1.0],
    "two": [0.3, 0.7],
    "two even": [0.5, 0.5],
    "three": [0.2, 0.5, 0.3],
    "three even": [1 / 3, 1 / 3, 1 / 3],
    "three, one dead": [0.0, 0.6, 0.4],
    "four": [0.1, 0.2, 0.3, 0.4],
    "four, one heavy": [0.05, 0.7, 0.2, 0.05],
    "four, whole shares": [0.5, 0.25, 0.25, 0.0],
}
NAMES = list(CONDITIONAL)


# The definitions: joint laws of (A_0, ..., A_{N-1}), arrays of shape (N,) * N.


def independent_slots(slots):
    """The joint law from each slot's own, shape (N, N)."""
    joint = np.ones(())
    for probabilities in slots:
        joint = np.multiply.outer(joint, probabilities)
    return joint


def multinomial_law(weights):
    return independent_slots([weights] * len(weights))


def sorted_systematic_law(weights):
    """Points (s + u) / N, u between the places where the counts change."""
    size, joint = len(weights), np.zeros((len(weights),) * len(weights))
    cuts = np.unique([0.0, 1.0, *(size * np.cumsum(weights) % 1)])
    for low, high in pairwise(cuts):
        points = (np.arange(size) + (low + high) / 2) / size
        joint[tuple(np.minimum(np.searchsorted(np.cumsum(weights), points), size - 1))] += (
            high - low
        )
    return joint


def permuted(joint):
    """The law once slots are in uniformly random order."""
    return np.mean([joint.transpose(order) for order in permutations(range(joint.ndim))], axis=0)


def rotated(joint):
    """The law once slots are rotated by a uniformly random number."""
    return np.mean(
        [joint.transpose(np.roll(np.arange(joint.ndim), turn)) for turn in range(joint.ndim)],
        axis=0,
    )


def systematic_law(weights):
    return permuted(sorted_systematic_law(weights))


def killing_law(weights):
    kept = weights / weights.max()
    return rotated(independent_slots(np.diag(kept) + (1 - kept)[:, None] * weights))


LAWS = {"multinomial": multinomial_law, "systematic": systematic_law, "killing": killing_law}


def given(joint, ancestor):
    """The law given that slot 0 has this ancestor."""
    conditional = np.zeros_like(joint)
    conditional[ancestor] = joint[ancestor] / joint[ancestor].sum()
    return conditional


# The schemes' laws, by integrating `place` over its noise.


@cache
def placing(name):
    """The scheme as a compiled function of (uniforms of shape (points, 1 or 3), order, weights,
    ancestor)."""

    def place(uniforms, order, weights, ancestor):
        size = len(weights)
        if name == "multinomial":
            noise = jnp.full(size, uniforms[0])  # the same for all slots: they are independent
        elif name == "systematic":
            noise = SystematicNoise(uniforms[0], order)
        else:
            noise = KillingNoise(
                uniforms[0], SlotNoise(jnp.full(size, uniforms[1]), jnp.full(size, uniforms[2]))
            )
        return CONDITIONAL[name].place(noise, weights, ancestor)

    return jax.jit(jax.vmap(place, (0, None, None, None)))


def law(name, weights, ancestor):
    """The joint law of the ancestors, shape (N,) * N."""
    size = len(weights)
    orders = [np.array(order, np.int32) for order in permutations(range(size - 1))]
    if name != "systematic":
        orders = orders[:1]  # which is not used
    joint = np.zeros((size,) * size)
    with jax.enable_x64(True):
        for order in orders:

            def place(uniforms, order=order):
                return np.asarray(placing(name)(uniforms, order, weights, np.int32(ancestor)))

            if name == "systematic":
                for length, ancestors in zip(*pieces(lambda u: place(u[:, None])), strict=True):
                    joint[tuple(ancestors)] += length / len(orders)
            elif name == "multinomial":
                joint += independent_slots(marginals(lambda u: place(u[:, None]), size))
            else:
                joint += killing_by_slots(place, size)
    return joint


def marginals(function, size):
    """Each slot's own law, shape (N, N), under a function of one uniform."""
    return sum(
        length * np.eye(size)[ancestors]
        for length, ancestors in zip(*pieces(function), strict=True)
    )


def killing_by_slots(place, size):
    """The slots are independent given the rotation; each depends on two uniforms of its own."""
    grid = np.array(list(product((np.arange(8) + 0.5) / 8, (np.arange(12) + 0.5) / 12)))

    def outcomes(first, rest):
        return place(
            np.concatenate(
                [np.repeat(first, len(rest), axis=0), np.tile(rest, (len(first), 1))], axis=1
            )
        ).reshape(len(first), -1)

    joint = np.zeros((size,) * size)
    for length, rotation in representatives(lambda u: outcomes(u[:, None], grid)):
        slots = np.zeros((size, size))
        draws = (np.arange(48)[:, None] + 0.5) / 48
        for part, keep in representatives(
            lambda u: outcomes(np.stack([np.full_like(u, rotation), u], axis=1), draws)
        ):
            known = np.array([rotation, keep])
            slots += part * marginals(
                lambda u: place(np.column_stack([np.tile(known, (len(u), 1)), u])), size
            )
        joint += length * independent_slots(slots)
    return joint


def representatives(function):
    """Each value of a piecewise constant function: its probability, and a uniform where it is
    taken."""
    lengths, values = pieces(function)
    starts = np.cumsum(lengths) - lengths
    distinct, which = np.unique(values, axis=0, return_inverse=True)
    for index in range(len(distinct)):
        mine = np.flatnonzero(which.reshape(-1) == index)
        longest = mine[np.argmax(lengths[mine])]
        yield lengths[mine].sum(), starts[longest] + lengths[longest] / 2


@cache
def law_of(name, case, ancestor):
    return law(name, np.array(WEIGHTS[case]), ancestor)


def test_the_schemes():
    assert NAMES == ["multinomial", "systematic", "killing"]
    assert [scheme.name for scheme in CONDITIONAL.values()] == NAMES


@pytest.mark.long(quick=9)
@pytest.mark.parametrize("case", WEIGHTS)
@pytest.mark.parametrize("name", NAMES)
def test_the_law_is_the_conditional_one(name, case):
    weights = np.array(WEIGHTS[case])
    unconditional = LAWS[name](weights)
    first = unconditional.reshape(len(weights), -1).sum(axis=1)
    np.testing.assert_allclose(first, weights, rtol=0, atol=1e-14)  # P(A_0 = b) = W_b
    for ancestor in np.flatnonzero(weights):
        np.testing.assert_allclose(
            law_of(name, case, ancestor), given(unconditional, ancestor), rtol=0, atol=1e-12
        )


@pytest.mark.long(quick=6)
@pytest.mark.parametrize("case", WEIGHTS)
@pytest.mark.parametrize("name", NAMES)
def test_with_a_random_reference_it_is_the_unconditional_law(name, case):
    weights = np.array(WEIGHTS[case])
    mixture = sum(
        weights[ancestor] * law_of(name, case, ancestor) for ancestor in np.flatnonzero(weights)
    )
    np.testing.assert_allclose(mixture, LAWS[name](weights), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["multinomial", "systematic", "killing"])
def test_the_definitions_are_the_ordinary_schemes(name):
    """What is enumerated here is `SCHEMES`, with its slots in random order (systematic) or rotated
    (killing)."""
    weights = np.array([0.2, 0.5, 0.3])
    with jax.enable_x64(True):
        place = jax.jit(jax.vmap(SCHEMES[name].place, (0, None)))
        if name == "systematic":
            ordinary = np.zeros((3, 3, 3))
            for length, ancestors in zip(
                *pieces(lambda u: np.asarray(place(u, weights))), strict=True
            ):
                ordinary[tuple(ancestors)] += length
            ordinary = permuted(ordinary)
        elif name == "multinomial":
            ordinary = independent_slots(
                marginals(lambda u: np.asarray(place(np.tile(u[:, None], 3), weights)), 3)
            )
        else:
            # all its jumps are at multiples of 1/10, but one at 0.4 and 0.6 are too
            uniforms = (np.arange(20) + 0.5) / 20
            pairs = np.array(list(product(uniforms, uniforms)))
            ancestors = np.asarray(place(SlotNoise(*np.tile(pairs.T[:, :, None], 3)), weights))
            ordinary = rotated(independent_slots(np.eye(3)[ancestors].mean(axis=0)))
    np.testing.assert_allclose(ordinary, LAWS[name](weights), rtol=0, atol=1e-12)


def overwritten(joint, ancestor):
    """The law of a draw whose slot 0 is overwritten."""
    result = np.zeros_like(joint)
    result[ancestor] = joint.sum(axis=0)
    return result


@pytest.mark.parametrize("unconditional", [sorted_systematic_law, systematic_law, killing_law])
@pytest.mark.parametrize("case", ["two", "three", "four"])
def test_overwriting_slot_0_is_caught(unconditional, case):
    """Sorted or permuted: a total variation far above the 1e-12 of the comparison."""
    weights = np.array(WEIGHTS[case])
    right = killing_law if unconditional is killing_law else systematic_law
    exact = [given(right(weights), ancestor) for ancestor in range(len(weights))]
    errors = [
        np.abs(overwritten(unconditional(weights), ancestor) - law).sum() / 2
        for ancestor, law in enumerate(exact)
    ]
    assert max(errors) > 0.01


def test_overwriting_independent_slots_is_right():
    weights = np.array(WEIGHTS["four"])
    np.testing.assert_allclose(
        overwritten(multinomial_law(weights), 2),
        given(multinomial_law(weights), 2),
        rtol=0,
        atol=1e-15,
    )


def test_an_unlikely_reference_is_kept():
    """With hardly any weight it takes one point, at 0, and leaves the points at 1, 2, 3 to the
    others."""
    weights = np.array([0.35, 0.4, 0.25, 1e-20])
    with jax.enable_x64(True):
        keys = jax.random.split(jax.random.key(0), 50)
        ancestors = np.asarray(
            jax.jit(jax.vmap(CONDITIONAL["systematic"], (0, None, None)))(keys, weights, 3)
        )
    assert np.all(ancestors[:, 0] == 3)
    np.testing.assert_array_equal(np.sort(ancestors[:, 1:]), np.tile([0, 1, 2], (50, 1)))


@pytest.mark.parametrize("name", NAMES)
def test_draws_from_keys(name):
    """The noise is what the integrals take it for: 20,000 runs against the exact law, a false alarm
    once in 10,000 for each of three."""
    runs, weights = 20_000, np.array([0.1, 0.4, 0.2, 0.3])
    exact = given(LAWS[name](weights), 2)
    with jax.enable_x64(True):
        keys = jax.random.split(jax.random.key(4), runs)
        ancestors = np.asarray(
            jax.jit(jax.vmap(CONDITIONAL[name], (0, None, None)))(keys, weights, 2)
        )
    assert ancestors.dtype == np.int32
    assert improbability(ancestors, exact) > 1e-4


def improbability(ancestors, exact):
    """p-value of the chi-squared test of joint outcomes, shape (runs, dimensions), against their
    law."""
    seen = np.zeros_like(exact)
    np.add.at(seen, tuple(ancestors.T), 1)
    possible = exact > 1e-12
    assert not seen[~possible].any()
    expected = len(ancestors) * exact[possible]
    return chi2.sf(np.sum((seen[possible] - expected) ** 2 / expected), possible.sum() - 1)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.filterwarnings("default")  # what they import is their affair
def test_second_opinion(name):
    """Cuthbert's conditional schemes follow our laws: 8,000 runs of theirs, a false alarm once in
    10,000 for each of the three.

    Its systematic scheme goes with slots rotated, not permuted: the same law of the counts, another
    order.
    """
    theirs = import_module(f"cuthbertlib.resampling.{name}").conditional_resampling
    weights, runs = np.array([0.2, 0.5, 0.3]), 8000
    # in float32: their callback runs in another thread, which does not see jax.enable_x64
    resample = jax.vmap(
        lambda key: theirs(key, jnp.log(jnp.array(weights)), jnp.arange(3.0), 3, 0, 1)[0]
    )
    ancestors = np.asarray(jax.jit(resample)(jax.random.split(jax.random.key(8), runs)))
    exact = law_of(name, "three", 1)
    if name == "systematic":
        ancestors, in_order = np.sort(ancestors, axis=1), np.zeros_like(exact)
        for outcome, probability in np.ndenumerate(exact):
            in_order[tuple(sorted(outcome))] += probability
        exact = in_order
    assert improbability(ancestors, exact) > 1e-4


@pytest.mark.long(quick=1)
@pytest.mark.parametrize("name", NAMES)
def test_the_dead_stay_dead_among_many(name):
    weights = np.tile([0.0, 1e-3], 1000).astype(np.float32)
    resample = jax.jit(CONDITIONAL[name])
    for seed in range(10):
        ancestors = np.asarray(resample(jax.random.key(seed), weights, 2 * seed + 1))
        assert ancestors.shape == (2000,)
        assert ancestors[0] == 2 * seed + 1
        assert weights[ancestors].all()


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_same_bits_whatever_the_users_setting(name):
    weights = np.random.default_rng(0).exponential(size=40).astype(np.float32)
    weights /= weights.sum()
    keys, before, results = jax.random.split(jax.random.key(0), 3), jax.config.jax_enable_x64, []
    for setting in (False, True):
        with jax.enable_x64(setting):
            scheme = CONDITIONAL[name]
            results += [
                jax.jit(jax.vmap(scheme, (0, None, None)))(keys, weights, 7),
                jax.jit(lambda keys: jax.lax.map(lambda key: scheme(key, weights, 7), keys))(keys),
            ]
            assert jax.config.jax_enable_x64 == setting
    assert jax.config.jax_enable_x64 == before
    for result in results:
        assert result.dtype == jnp.int32
        np.testing.assert_array_equal(result, results[0])


@pytest.mark.long(quick=1)
@pytest.mark.parametrize("name", CONDITIONAL)
def test_an_ancestor_is_the_one_given_though_its_weight_is_zero(name):
    weights = np.array([np.exp(-800.0), 0.5, 0.5, 0.0])
    for key in jax.random.split(jax.random.key(0), 5):
        assert int(CONDITIONAL[name](key, weights, 0)[0]) == 0
