"""Tempered populations, on a Gaussian and on a finite space whose evidence is known."""

from __future__ import annotations

from dataclasses import dataclass

import blackjax
import hypothesis.extra.numpy as arrays
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from motes.smc import Resampling, ess, run
from motes.smc import tempering_model as module
from motes.smc.tempering import climb, temper
from motes.smc.tempering_model import (
    Tempering,
    blackjax_kernel,
    log_power,
    next_gain,
    tempering_model,
)

# every statistical test here draws fixed seeds; a limit of 5 standard errors is passed wrongly once
# in 1.7 million comparisons


@dataclass(frozen=True)
class Gaussian:
    """x ~ N(0, I) in d dimensions, y | x ~ N(x, noise I) with y = (1, -1/2, 1/3, ...)[:d]; L is
    zero where x_0 < floor."""

    dimension: int
    noise: float = 0.5
    floor: float = -np.inf

    @property
    def y(self):
        return np.array([(-1) ** i / (1 + i) for i in range(self.dimension)])

    @property
    def moments(self):
        """Posterior mean of each coordinate and the variance of one, without the floor."""
        return self.y / (1 + self.noise), self.noise / (1 + self.noise)

    @property
    def log_evidence(self):
        mean, variance = self.moments
        log_normal = -0.5 * np.sum(
            self.y**2 / (1 + self.noise) + np.log(2 * np.pi * (1 + self.noise))
        )
        return log_normal + norm.logsf(self.floor, mean[0], np.sqrt(variance))

    def log_prior(self, x):
        return -0.5 * jnp.sum(x**2, axis=-1)

    def log_likelihood(self, x):
        log_l = -0.5 * jnp.sum(
            (x - self.y.astype(np.float32)) ** 2 / self.noise + np.log(2 * np.pi * self.noise),
            axis=-1,
        )
        return (
            log_l if self.floor == -np.inf else jnp.where(x[..., 0] < self.floor, -jnp.inf, log_l)
        )

    def sample(self, key, slots):
        return jax.random.normal(key, (slots, self.dimension))

    def walk(self, key, power, x):
        """Random-walk Metropolis; in a state where L = 0 it stays."""
        step, coin = jax.random.split(key)
        y = x + 0.8 * jax.random.normal(step, x.shape, x.dtype)
        gain = (
            self.log_prior(y)
            - self.log_prior(x)
            + power * (self.log_likelihood(y) - self.log_likelihood(x))
        )
        accepted = jnp.log(jax.random.uniform(coin, x.shape[:1])) < gain
        return jnp.where(accepted[:, None], y, x)

    @property
    def tempering(self):
        return Tempering(self.sample, self.log_likelihood, self.walk)


PRIOR, LIKELIHOOD = np.array([0.4, 0.1, 0.2, 0.25, 0.05]), np.array([0.02, 0.9, 0.0, 0.1, 3.0])


def hop(key, power, x):
    """Metropolis on five states; each of the others is proposed alike."""
    step, coin = jax.random.split(key)
    y = (x + jax.random.randint(step, x.shape, 1, 5)) % 5
    log_p, log_l = (
        jnp.log(jnp.asarray(PRIOR, jnp.float32)),
        jnp.log(jnp.asarray(LIKELIHOOD, jnp.float32)),
    )
    gain = log_p[y] - log_p[x] + power * (log_l[y] - log_l[x])
    return jnp.where(jnp.log(jax.random.uniform(coin, x.shape)) < gain, y, x)


def draw(key, slots):
    return jax.random.categorical(
        key, jnp.log(jnp.asarray(PRIOR, jnp.float32)), shape=(slots,)
    ).astype(jnp.int32)


FINITE = Tempering(draw, lambda x: jnp.log(jnp.asarray(LIKELIHOOD, jnp.float32))[x], hop)


def many(
    tempering,
    runs,
    slots,
    ladder=None,
    *,
    states=1,
    moves=3,
    scheme="multinomial",
    target_ess=0.5,
    first=0,
):
    """Independent runs: what `climb` returns, with a leading axis."""
    model, limit = (
        tempering_model(tempering, ladder, target_ess, moves, states),
        60 if ladder is None else len(ladder) - 1,
    )

    @jax.jit
    @jax.vmap
    def one(key):
        return climb(model, key, slots // states, Resampling(scheme, 1), limit)

    finished, steps = one(jax.random.split(jax.random.key(first), runs))
    return jax.tree.map(np.asarray, finished), np.asarray(steps)


def agree(values, exact, limit=5):
    """Whether the mean over runs (the first axis) is within `limit` standard errors of what it
    should be."""
    return np.all(
        np.abs(values.mean(axis=0) - exact)
        <= limit * values.std(axis=0) / np.sqrt(len(values)) + 1e-15
    )


def masses(finished):
    """Z-hat sum W 1[x], one row for each run of the finite example."""
    weights = np.exp(finished.log_weights + finished.log_evidence[:, None])
    return np.stack(
        [np.where(finished.positions == x, weights, 0).sum(axis=1) for x in range(5)], axis=1
    )


LADDER = (0.0, 0.15, 0.5, 1.0)
PLAIN = [(4, 1, 2, "multinomial"), (8, 1, 1, "systematic"), (8, 1, 1, "chopthin")]
WASTE_FREE = [
    (4, 2, 1, "systematic"),
    (8, 4, 3, "multinomial"),
    (8, 4, 3, "systematic"),
    (8, 4, 3, "chopthin"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("slots", "states", "moves", "scheme"), PLAIN + WASTE_FREE)
def test_masses_of_a_fixed_ladder_are_unbiased(slots, states, moves, scheme):
    """Five masses and their sum, seven cases: a right sampler fails once in 35,000 such files."""
    finished, _ = many(FINITE, 20_000, slots, LADDER, states=states, moves=moves, scheme=scheme)
    table, exact = masses(finished), PRIOR * LIKELIHOOD
    assert agree(table, exact)
    assert agree(np.exp(finished.log_evidence), exact.sum())


@pytest.mark.long(quick=1)
@pytest.mark.parametrize(("slots", "states", "moves", "scheme"), PLAIN + WASTE_FREE[:2])
def test_evidence_of_a_fixed_ladder_is_unbiased(slots, states, moves, scheme):
    """Z, Z E[x] and Z E[x^2], at most 7 comparisons in each of five cases; a right sampler fails
    once in 48,000 such files."""
    target = Gaussian(1 + (slots + states) % 3)
    finished, _ = many(
        target.tempering, 20_000, slots, LADDER, states=states, moves=moves, scheme=scheme
    )
    mean, variance = target.moments
    weights, evidence = (
        np.exp(finished.log_weights + finished.log_evidence[:, None]),
        np.exp(target.log_evidence),
    )
    assert agree(np.exp(finished.log_evidence), evidence)
    assert agree(np.einsum("rn,rnd->rd", weights, finished.positions), evidence * mean)
    assert agree(
        np.einsum("rn,rnd->rd", weights, finished.positions**2), evidence * (mean**2 + variance)
    )


@pytest.mark.slow
def test_dead_regions_and_dead_runs_count_as_zero():
    """L = 0 for 90% of the prior: at N = 4 two thirds of the runs die at once, and the mean is
    right with them."""
    target = Gaussian(1, floor=norm.ppf(0.9))
    finished, steps = many(target.tempering, 20_000, 4, LADDER, states=2, moves=1)
    dead = finished.log_evidence == -np.inf
    assert agree(dead, 0.9**4) and np.all(steps[dead] == 1)
    assert agree(np.exp(finished.log_evidence), np.exp(target.log_evidence))


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["power", "new power", "chain"])
def test_faults_would_be_seen(fault, monkeypatch):
    """A kernel at the wrong power; a chain that goes on from any of its states instead of one drawn
    by weight."""
    kernel, exact = hop, PRIOR * LIKELIHOOD
    if fault == "power":
        kernel = lambda key, power, x: hop(key, 0.0, x)
    if fault == "new power":
        kernel = lambda key, power, x: hop(key, jnp.where(power < 0.3, LADDER[2], LADDER[3]), x)
    if fault == "chain":
        monkeypatch.setattr(
            module,
            "pick",
            lambda key, log_weights: jax.random.randint(key, (), 0, len(log_weights)),
        )
    # a new `Tempering`: models are kept
    table = masses(
        many(Tempering(draw, FINITE.log_likelihood, kernel), 20_000, 8, LADDER, states=4)[0]
    )
    assert (
        np.max(
            np.abs(table.mean(axis=0) - exact) / (table.std(axis=0) / np.sqrt(len(table)) + 1e-12)
        )
        > 8
    )


@pytest.mark.statistics
def test_bias_of_an_adaptive_ladder_shrinks_with_the_number_of_particles():
    """At N = 8, 32, 128: 1/N leaves a quarter each time, 1/sqrt N would leave a half; the limits
    stand between, plus 5 standard errors."""
    target, biases, errors = Gaussian(1, noise=0.05), [], []
    for slots, runs in ((8, 20_000), (32, 10_000), (128, 5_000)):
        finished, _ = many(target.tempering, runs, slots, scheme="systematic")
        ratio = np.exp(finished.log_evidence - target.log_evidence)
        biases.append(abs(ratio.mean() - 1))
        errors.append(ratio.std() / np.sqrt(runs))
    assert biases[0] > 5 * errors[0]  # there is a bias to shrink: some 4%
    assert biases[1] < 0.35 * biases[0] + 5 * np.hypot(errors[1], 0.35 * errors[0])
    assert biases[2] < 0.12 * biases[0] + 5 * np.hypot(errors[2], 0.12 * errors[0])


@pytest.mark.slow
@pytest.mark.parametrize(("states", "floor"), [(1, norm.ppf(0.9)), (5, -np.inf)])
def test_an_adaptive_run(states, floor):
    """N = 2,000, plain and waste-free, with and without 90% of the prior's draws dead."""
    target = Gaussian(2, noise=0.02, floor=floor)
    finished = temper(
        target.tempering, 3, 2000, waste_free=states > 1, moves=max(states - 1, 4), target_ess=0.6
    )
    assert finished.positions.shape == (2000, 2) and finished.positions.dtype == np.float32
    assert finished.log_weights.shape == (2000,) and finished.log_weights.dtype == np.float64
    assert np.exp(finished.log_weights).sum() == pytest.approx(1, abs=1e-12)
    steps = len(finished.ess)
    assert (
        finished.ladder[0] == 0
        and finished.ladder[-1] == 1
        and np.all(np.diff(finished.ladder) > 0)
        and steps > 2
    )
    assert len(finished.ladder) == steps + 1 == len(finished.log_increments) + 1
    first = 1200 if floor == -np.inf else 0.6 * 200
    # 200 alive, give or take 14: 4 deviations
    assert finished.ess[0] == pytest.approx(first, rel=0 if floor == -np.inf else 0.3)
    assert finished.ess[1:-1] == pytest.approx(1200, rel=1e-9)  # nothing is dead from here on
    assert finished.ess[-1] >= 1200
    assert finished.ess[-1] == pytest.approx(ess(finished.log_weights), rel=1e-9)
    assert isinstance(finished.log_evidence, float) and finished.log_evidence == pytest.approx(
        finished.log_increments.sum(), abs=1e-12
    )
    assert finished.log_evidence == pytest.approx(target.log_evidence, abs=0.5)


@pytest.mark.slow
@pytest.mark.parametrize("states", [1, 5])
def test_posterior_and_evidence_at_two_thousand_particles(states):
    """50 runs; bias is of order 1/2000, far below the error of their mean. 6 comparisons each."""
    target = Gaussian(2, noise=0.1)
    finished, _ = many(target.tempering, 50, 2000, states=states, moves=4)
    mean, variance = target.moments
    weights = np.exp(finished.log_weights)
    first, second = (
        np.einsum("rn,rnd->rd", weights, finished.positions**power) for power in (1, 2)
    )
    assert agree(first, mean) and agree(second, mean**2 + variance)
    assert agree(np.exp(finished.log_evidence - target.log_evidence), 1)


@pytest.mark.slow
def test_the_dead_do_not_count_in_what_the_living_are_to_keep():
    """90% of the draws are dead: the mean over 200 runs of log Z-hat, corrected by half its
    variance, and the truncated posterior."""
    target = Gaussian(1, noise=0.02, floor=norm.ppf(0.9))
    finished, steps = many(target.tempering, 200, 1000)
    assert np.all(finished.ladder[np.arange(200), steps] == 1) and np.all(steps > 1)
    assert agree(np.exp(finished.log_evidence - target.log_evidence), 1)
    centre, sd = target.moments[0][0], np.sqrt(target.moments[1])
    below = (target.floor - centre) / sd
    assert agree(
        np.einsum("rn,rnd->r", np.exp(finished.log_weights), finished.positions),
        centre + sd * norm.pdf(below) / norm.sf(below),
    )


@pytest.mark.parametrize("power", [0.0, 0.4, 0.99])
def test_the_host_finds_the_power_that_the_trace_finds(power):
    for seed in range(5):
        log_likelihood = np.random.default_rng(seed).normal(scale=10, size=40)
        log_likelihood[seed::7] = -np.inf
        on_host = next_gain(log_likelihood, power, 0.5)
        with jax.enable_x64(True):
            traced = jax.jit(next_gain, static_argnums=2)(jnp.asarray(log_likelihood), power, 0.5)
        assert float(on_host) == pytest.approx(float(traced), rel=1e-9)


@pytest.mark.slow
def test_one_survivor_and_none():
    numbers = Tempering(
        lambda key, slots: jnp.arange(slots),
        lambda x: jnp.where(x == 5, -3.0, -jnp.inf),
        lambda key, power, x: x,
    )
    finished = temper(numbers, 0, 8)
    assert finished.log_evidence == pytest.approx(-3 - np.log(8), abs=1e-12)
    # one alone keeps all of itself
    assert finished.ess.tolist() == [1] and finished.ladder.tolist() == [0, 1]
    finished = temper(numbers, 0, 8, LADDER)
    assert finished.log_evidence == pytest.approx(-3 - np.log(8), abs=1e-12)
    assert np.all(finished.positions == 5) and finished.ess == pytest.approx([1, 8, 8])
    nobody = Tempering(numbers.sample, lambda x: jnp.full(x.shape, -jnp.inf), numbers.kernel)
    for ladder, states in ((None, 1), (LADDER, 4)):
        finished = temper(nobody, 0, 8, ladder, waste_free=states > 1, moves=3)
        assert finished.log_evidence == -np.inf and np.all(finished.log_weights == -np.inf)
        assert (
            finished.ess.tolist() == [0]
            and finished.log_increments.tolist() == [-np.inf]
            and len(finished.ladder) == 2
        )


@pytest.mark.slow
@pytest.mark.parametrize("fault", [np.nan, np.inf])
def test_faulty_likelihoods_are_errors_that_name_the_step(fault):
    target = Gaussian(1)
    bad = Tempering(
        target.sample,
        lambda x: jnp.where(x[:, 0] > 1, fault, target.log_likelihood(x)),
        target.walk,
    )
    with pytest.raises(FloatingPointError, match="log_likelihood gave the evidence .* at step 1"):
        temper(bad, 0, 64)
    later = Tempering(
        lambda key, slots: jnp.zeros((slots, 1)),
        bad.log_likelihood,
        lambda key, power, x: x + (power > 0.4),
    )
    with pytest.raises(FloatingPointError, match="at step 3"):
        temper(later, 0, 64, (0, 0.3, 0.5, 1), moves=2)


def test_too_few_steps():
    target = Gaussian(2, noise=0.001)
    with pytest.raises(
        RuntimeError, match="after 2 steps the ladder is at 0.0.*max_steps is too small"
    ):
        temper(target.tempering, 0, 64, max_steps=2)


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"ladder": [0, 0.5]}, ValueError, "ladder must ascend from 0 to 1"),
        ({"ladder": [0.1, 1]}, ValueError, "ladder must ascend from 0 to 1"),
        ({"ladder": [0, 0.5, 0.5, 1]}, ValueError, "ladder must ascend from 0 to 1"),
        ({"ladder": [0, np.nan, 1]}, ValueError, "ladder must ascend from 0 to 1"),
        ({"ladder": [1]}, ValueError, "ladder must ascend from 0 to 1"),
        ({"target_ess": 0}, ValueError, "target_ess must be a finite number in \\(0, 1\\), not 0"),
        ({"target_ess": 1.0}, ValueError, r"target_ess must be a finite number in \(0, 1\)"),
        ({"target_ess": np.nan}, ValueError, r"target_ess must be a finite number in \(0, 1\)"),
        ({"particles": 0}, ValueError, "particles must be at least 1"),
        ({"particles": 8.0}, TypeError, "particles must be an integer"),
        ({"moves": 0}, ValueError, "moves must be at least 1"),
        ({"moves": True}, TypeError, "moves must be an integer"),
        ({"max_steps": 0}, ValueError, "max_steps must be at least 1"),
        ({"waste_free": True, "moves": 2}, ValueError, "multiple of the 3 states of a chain"),
        ({"scheme": "roulette"}, ValueError, "resampling must be one of .*, not 'roulette'"),
        ({"seed": -1}, ValueError, "seed must lie in"),
        ({"seed": 1.5}, TypeError, "seed must be an integer"),
    ],
)
def test_bad_arguments(arguments, error, match):
    with pytest.raises(error, match=match):
        temper(**{"tempering": FINITE, "seed": 0, "particles": 8} | arguments)


def test_functions_that_return_another_number_of_draws():
    with pytest.raises(ValueError, match="sample must return leaves with 8 rows"):
        temper(Tempering(lambda key, slots: jnp.zeros(slots - 1), FINITE.log_likelihood, hop), 0, 8)
    with pytest.raises(ValueError, match=r"log_likelihood must have the shape \(8,\), not \(\)"):
        temper(Tempering(draw, lambda x: x.sum() * 0.5, hop), 0, 8)


@pytest.mark.slow
def test_repeated_runs_are_compiled_once_and_are_the_same():
    traces = []

    def log_likelihood(x):
        traces.append(1)
        return FINITE.log_likelihood(x)

    counted = Tempering(draw, log_likelihood, hop)
    one = temper(counted, 3, 16)
    before = len(traces)
    again, other = (
        temper(counted, jax.random.key(3, impl="threefry2x32"), 16),
        temper(counted, 4, 16),
    )
    assert len(traces) == before
    assert one.log_evidence == again.log_evidence != other.log_evidence
    assert np.array_equal(one.positions, again.positions)


@pytest.mark.slow
def test_the_users_precision_is_the_models():
    target, seen = Gaussian(2), []

    def walk(key, power, x):
        seen.append((power.dtype, x.dtype))
        return target.walk(key, power, x)

    for wide, dtype in ((False, np.float32), (True, np.float64)):
        with jax.enable_x64(wide):
            finished = temper(
                Tempering(target.sample, target.log_likelihood, walk),
                0,
                400,
                waste_free=True,
                moves=3,
            )
        assert finished.positions.dtype == dtype and set(seen) == {(np.dtype(dtype),) * 2}
        assert finished.log_weights.dtype == finished.ladder.dtype == np.float64
        assert finished.log_evidence == pytest.approx(target.log_evidence, abs=0.3)
        seen.clear()


@pytest.mark.slow
def test_positions_may_be_any_tree():
    """A position of two leaves, one of them an integer."""
    tempering = Tempering(
        lambda key, slots: {
            "x": jax.random.normal(key, (slots, 2)),
            "n": jnp.zeros(slots, jnp.int8),
        },
        lambda p: -0.5 * (p["x"] ** 2).sum(axis=1),
        lambda key, power, p: {"x": p["x"], "n": p["n"] + 1},
    )
    finished = temper(tempering, 0, 12, (0, 0.5, 1), waste_free=True, moves=3)
    assert finished.positions["x"].shape == (12, 2) and finished.positions["n"].dtype == np.int8
    assert finished.positions["n"].tolist() == [0, 1, 2, 3] * 3


# ladders


@pytest.mark.slow
def test_splitting_a_step_changes_nothing_where_nothing_moves():
    target, key = Gaussian(2), jax.random.key(5)
    still = Tempering(target.sample, target.log_likelihood, lambda key, power, x: x)
    runs = []
    for ladder in ((0.0, 1.0), (0.0, 0.01, 0.3, 0.7, 1.0)):
        # float32 likelihoods may be rounded otherwise in another program
        with jax.enable_x64(True):
            runs.append(
                run(
                    tempering_model(still, ladder, 0.5, 1, 1),
                    key,
                    50,
                    len(ladder) - 1,
                    Resampling(ess_threshold=0),
                ).state
            )
    whole, split = runs
    assert np.array_equal(split.particles.positions, whole.particles.positions)
    assert split.log_evidence == pytest.approx(whole.log_evidence, abs=1e-12)
    assert split.log_weights == pytest.approx(whole.log_weights, abs=1e-12)


@pytest.mark.slow
def test_splitting_a_step_changes_no_mean():
    """Two ladders, with resampling; six comparisons each."""
    for ladder in ((0.0, 1.0), (0.0, 0.05, 0.1, 0.4, 0.8, 1.0)):
        table = masses(many(FINITE, 20_000, 4, ladder, moves=1)[0])
        assert agree(table, PRIOR * LIKELIHOOD) and agree(table.sum(axis=1), PRIOR @ LIKELIHOOD)


@pytest.mark.slow
def test_chains_that_are_never_resampled_are_annealed_importance_samples():
    """The weights of chains multiply along the ladder (Neal 2001), and stay unbiased."""
    model = tempering_model(FINITE, LADDER, 0.5, 2, 2)
    one = jax.jit(jax.vmap(lambda key: climb(model, key, 2, Resampling(ess_threshold=0), 3)[0]))
    table = masses(jax.tree.map(np.asarray, one(jax.random.split(jax.random.key(8), 20_000))))
    assert agree(table, PRIOR * LIKELIHOOD)


@pytest.mark.statistics
def test_waste_free_costs_no_variance():
    """Log-evidence of 100 runs with some 600 evaluations of the likelihood at every power: 100 x (5
    + 1), or 15 x (20 + 21)."""
    target = Gaussian(3, noise=0.1)
    ladder = (0.0, 0.03, 0.1, 0.3, 1.0)
    plain, _ = many(target.tempering, 100, 100, ladder, moves=5)
    thrifty, _ = many(target.tempering, 100, 15 * 21, ladder, moves=20, states=21)
    ratio = thrifty.log_evidence.var() / plain.log_evidence.var()
    print(f"variance of waste-free over plain: {ratio:.2f}")
    # over 100 runs each the ratio of equal variances exceeds 2 once in 4,000 files
    assert ratio < 4


# the size of a step

likelihoods = st.sampled_from([1, 2, 9, 40]).flatmap(
    lambda size: arrays.arrays(
        np.float64,
        size,
        elements=st.floats(-1e6, 1e6) | st.floats(-3, 3) | st.just(-np.inf) | st.just(-2.0),
    )
)
alphas, powers = st.floats(0.01, 0.99), st.floats(0, 1, exclude_max=True)
_gain, _kept = jax.jit(next_gain), jax.jit(lambda log_l, gain: ess(log_power(log_l, gain)))


def gain_and_ess(log_likelihood, power, alpha):
    with jax.enable_x64(True):
        gain = float(_gain(jnp.asarray(log_likelihood), power, alpha))
        return gain, float(_kept(jnp.asarray(log_likelihood), gain))


@pytest.mark.slow
@settings(max_examples=150, deadline=None, derandomize=True)
@given(likelihoods, powers, alphas, alphas)
def test_next_gain_keeps_what_was_asked(log_likelihood, power, alpha, beta):
    living = np.sum(log_likelihood > -np.inf)
    gain, kept = gain_and_ess(log_likelihood, power, alpha)
    assert 0 < gain <= 1 - power and power + gain <= 1
    if living == 0:
        assert gain == 1 - power and kept == 0
    elif gain < 1 - power:
        assert kept == pytest.approx(alpha * living, rel=1e-6)
    else:
        assert kept >= alpha * living * (1 - 1e-12) and power + gain == 1
    other, _ = gain_and_ess(log_likelihood, power, beta)
    assert (gain <= other) if alpha >= beta else (gain >= other)  # who asks for more goes less far


@pytest.mark.slow
@settings(max_examples=50, deadline=None, derandomize=True)
@given(likelihoods, powers, alphas, st.floats(-1e3, 1e3))
def test_next_gain_ignores_the_dead_the_order_and_the_scale(log_likelihood, power, alpha, shift):
    _, kept = gain_and_ess(log_likelihood, power, alpha)
    with_dead = np.concatenate([np.full(len(log_likelihood), -np.inf), log_likelihood])
    for same in (with_dead, log_likelihood[::-1], log_likelihood + shift):
        assert gain_and_ess(same, power, alpha)[1] == pytest.approx(kept, rel=1e-6)


@pytest.mark.parametrize("size", [1, 7])
def test_equal_likelihoods_take_the_whole_rest(size):
    for power in (0.0, 0.3, 0.9):
        assert gain_and_ess(np.full(size, -40.0), power, 0.99) == (1 - power, pytest.approx(size))


def test_huge_ranges_take_tiny_steps():
    gain, kept = gain_and_ess(np.linspace(-1e6, 0, 1000), 0.0, 0.5)
    assert 1e-6 < gain < 1e-4 and kept == pytest.approx(500, rel=1e-9)
    # beyond what the bisection can tell apart, it still goes on
    gain, _ = gain_and_ess(np.array([-1e30, 0.0, 0.0]), 0.5, 0.9)
    assert gain > 0


# other people's kernels


def walking(positions):
    return {
        "random_step": blackjax.mcmc.random_walk.normal(1.5 * jnp.std(positions, axis=0) + 1e-3)
    }


def gliding(positions):
    return {
        "step_size": 0.6,
        "inverse_mass_matrix": jnp.var(positions, axis=0) + 1e-6,
        "num_integration_steps": 4,
    }


def blackjaxed(target, algorithm, parameters):
    kernel = blackjax_kernel(
        algorithm.init,
        algorithm.build_kernel(),
        target.log_prior,
        target.log_likelihood,
        parameters,
    )
    return Tempering(target.sample, target.log_likelihood, kernel)


ALGORITHMS = [(blackjax.additive_step_random_walk, walking), (blackjax.hmc, gliding)]


@pytest.mark.slow
@pytest.mark.parametrize(("algorithm", "parameters"), ALGORITHMS)
def test_blackjax_kernels_adapted_to_the_population(algorithm, parameters):
    """50 runs of 500 particles; what adaptation adds to the bias is of order 1/500."""
    target = Gaussian(2, noise=0.05)
    finished, _ = many(
        blackjaxed(target, algorithm, parameters), 50, 500, scheme="systematic", moves=5
    )
    mean, variance = target.moments
    second = np.einsum("rn,rnd->rd", np.exp(finished.log_weights), finished.positions**2)
    assert agree(second, mean**2 + variance) and agree(
        np.exp(finished.log_evidence - target.log_evidence), 1
    )


@pytest.mark.slow
@pytest.mark.parametrize("wide", [False, True])
def test_blackjax_kernels_in_both_precisions(wide):
    """Hamiltonian moves in half of a plane: what leaves it has no density and is refused."""
    target = Gaussian(2, noise=0.05, floor=0.5)
    with jax.enable_x64(wide):
        finished = temper(
            blackjaxed(target, blackjax.hmc, gliding), 1, 1000, waste_free=True, moves=4
        )
    assert finished.positions.dtype == (np.float64 if wide else np.float32)
    assert np.all(np.asarray(finished.positions)[:, 0] >= 0.5)
    assert finished.log_evidence == pytest.approx(target.log_evidence, abs=0.4)


@pytest.mark.statistics
def test_blackjaxs_own_tempering_finds_the_same_evidence():
    """40 runs each, of 500 particles: both within 5 standard errors of the truth, and of one
    another."""
    target, (algorithm, _), runs = Gaussian(2, noise=0.05), ALGORITHMS[0], 40
    fixed = lambda positions: {"random_step": blackjax.mcmc.random_walk.normal(jnp.full(2, 0.3))}
    ours, _ = many(blackjaxed(target, algorithm, fixed), runs, 500, scheme="systematic", moves=5)
    step = lambda key, state, log_density: algorithm.build_kernel()(
        key, state, log_density, **fixed(None)
    )
    theirs = blackjax.adaptive_tempered_smc(
        target.log_prior,
        target.log_likelihood,
        step,
        algorithm.init,
        {},
        blackjax.smc.resampling.systematic,
        0.5,
        num_mcmc_steps=5,
    )

    @jax.jit
    @jax.vmap
    def one(key):
        first, key = jax.random.split(key)

        def climbed(carry):
            state, key, total = carry
            key, now = jax.random.split(key)
            state, info = theirs.step(now, state)
            return state, key, total + info.log_likelihood_increment

        begin = theirs.init(target.sample(first, 500)), key, 0.0
        return jax.lax.while_loop(lambda carry: carry[0].tempering_param < 1, climbed, begin)[2]

    other = np.exp(
        np.asarray(one(jax.random.split(jax.random.key(2), runs)), np.float64) - target.log_evidence
    )
    own = np.exp(ours.log_evidence - target.log_evidence)
    assert agree(own, 1) and agree(other, 1)
    assert abs(own.mean() - other.mean()) < 5 * np.hypot(own.std(), other.std()) / np.sqrt(runs)
