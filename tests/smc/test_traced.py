"""The driver on traced models, against recursions that share nothing with it."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motes.smc import (
    EVES,
    SCHEMES,
    Model,
    Resampling,
    TracedKeys,
    advance,
    each,
    mean,
    normalise,
    run,
    scan,
    start,
    steps,
)
from motes.smc.collectors import ancestors, ess, log_weights, particles, resampled

# every statistical test here draws fixed seeds; a limit of 5 standard errors is passed wrongly once
# in 1.7 million comparisons


def masses(hmm, slots, resampling, seeds, first=0):
    """Estimates Z-hat sum_i W^i 1[x^i = x] of gamma(x), one row for each seed."""
    model, weights = hmm.path_model(), len(hmm.initial) ** np.arange(hmm.steps + 1)[::-1]

    @jax.jit
    @jax.vmap
    def one(key):
        finished = scan(model, key, slots, hmm.steps, resampling)
        return finished.state.particles, finished.state.log_weights + finished.state.log_evidence

    paths, log_masses = one(jax.random.split(jax.random.key(first), seeds))
    codes = np.asarray(paths) @ weights
    table = np.zeros((seeds, len(hmm.paths)))
    for slot in range(slots):
        np.add.at(
            table, (np.arange(seeds), codes[:, slot]), np.exp(np.asarray(log_masses)[:, slot])
        )
    return table


@pytest.mark.long(quick=1)
@pytest.mark.parametrize("slots", [2, 5])
@pytest.mark.parametrize("name", [*SCHEMES, "chopthin"])
def test_masses_are_unbiased(hmm, name, slots):
    """16 paths, 14 cases, adaptively resampled: a right driver fails once in 7,700 such files."""
    for threshold in (0.7, 1):
        estimates = masses(hmm, slots, Resampling(name, threshold), 6000)
        errors = estimates.std(axis=0) / np.sqrt(len(estimates))
        assert np.all(np.abs(estimates.mean(axis=0) - hmm.masses) <= 5 * errors + 1e-15)


@pytest.mark.slow
def test_entropy_triggers_as_well(hmm):
    estimates = masses(hmm, 4, Resampling(entropy_threshold=0.8), 6000)
    errors = estimates.std(axis=0) / np.sqrt(len(estimates))
    assert np.all(np.abs(estimates.mean(axis=0) - hmm.masses) <= 5 * errors + 1e-15)
    collect = {"resampled": resampled, "log_weights": log_weights}
    finished = run(hmm.model(), 1, 50, hmm.steps, Resampling(entropy_threshold=0.95), collect)
    weights = np.exp(finished.collected["log_weights"][:-1])
    entropy = -np.sum(
        np.where(weights > 0, weights * np.log(np.maximum(weights, 1e-300)), 0), axis=1
    )
    assert np.array_equal(finished.collected["resampled"], [False, *(entropy < 0.95 * np.log(50))])


def test_looking_ahead_changes_no_mean(hmm):
    """The auxiliary filter: selected by W eta, each keeps W / (N rho)."""
    eta = jnp.asarray(np.array([[0.3, 1.0], [2.0, 0.4]]))

    def look_ahead(t, x):
        return jnp.log(eta[t % 2, x[:, t - 1]])

    estimates = masses(hmm, 3, Resampling("multinomial", 1, look_ahead=look_ahead), 8000)
    errors = estimates.std(axis=0) / np.sqrt(len(estimates))
    assert np.all(np.abs(estimates.mean(axis=0) - hmm.masses) <= 5 * errors + 1e-15)


def test_renormalising_what_is_left_would_be_seen(hmm, monkeypatch):
    """A planted fault: weights that are made to sum to one after a look-ahead lose a factor of the
    evidence."""
    eta = jnp.asarray(np.array([[0.3, 1.0], [2.0, 0.4]]))
    resampling = Resampling(
        "multinomial", 1, look_ahead=lambda t, x: jnp.log(eta[t % 2, x[:, t - 1]])
    )
    honest = Resampling.select

    def select(self, *arguments):
        chosen = honest(self, *arguments)
        return chosen._replace(log_weights=normalise(chosen.log_weights)[0])

    monkeypatch.setattr(Resampling, "select", select)
    estimates = masses(hmm, 3, resampling, 8000)
    errors = estimates.std(axis=0) / np.sqrt(len(estimates))
    assert np.max(np.abs(estimates.mean(axis=0) - hmm.masses) / (errors + 1e-12)) > 8


@pytest.mark.parametrize("kappa", [1, 0.7])
def test_resample_move(hmm, kappa):
    """Each path's last state is drawn anew by a Gibbs step, which leaves gamma_t-1 invariant."""
    tables = [
        jnp.asarray(np.log(np.maximum(x, 1e-300)))
        for x in (hmm.initial, hmm.transition, hmm.potentials)
    ]

    def rejuvenate(t, key, x):
        log_initial, log_transition, log_g = tables
        past, states = x[:, jnp.maximum(t - 2, 0)], jnp.arange(2)
        last = log_transition[past][:, states] + log_g[jnp.maximum(t - 2, 0), past][:, states]
        return x.at[:, t - 1].set(
            jax.random.categorical(key, jnp.where(t > 1, last, log_initial)).astype(jnp.int32)
        )

    estimates = masses(hmm, 4, Resampling("systematic", kappa, rejuvenate=rejuvenate), 8000)
    errors = estimates.std(axis=0) / np.sqrt(len(estimates))
    assert np.all(np.abs(estimates.mean(axis=0) - hmm.masses) <= 5 * errors + 1e-15)


def test_kalman(linear_gaussian):
    """Estimates of 200 independent filters, the log-evidence corrected by half its variance."""
    means, variances, log_evidence = linear_gaussian.kalman()
    moments = {"mean": mean(lambda x: x), "square": mean(lambda x: x**2)}
    model = linear_gaussian.model()
    many = jax.jit(
        jax.vmap(lambda key: scan(model, key, 1000, 20, Resampling("stratified"), moments))
    )
    finished = many(jax.random.split(jax.random.key(1), 200))
    estimates = np.asarray(finished.state.log_evidence)
    spread = estimates.std(ddof=1)
    assert abs(estimates.mean() + spread**2 / 2 - log_evidence) <= 5 * spread / np.sqrt(200)
    for name, exact in (("mean", means[1:]), ("square", variances[1:] + means[1:] ** 2)):
        values = np.asarray(finished.collected[name], np.float64)
        # bias of a self-normalised estimate is of order 1/N, here below the error of a mean over
        # 200 runs
        assert np.all(np.abs(values.mean(axis=0) - exact) <= 5 * values.std(axis=0) / np.sqrt(200))


def test_what_was_collected_fits_together(linear_gaussian):
    collect = {
        "ess": ess,
        "ancestors": ancestors,
        "x": particles,
        "log_weights": log_weights,
        "resampled": resampled,
        "eves": EVES,
    }
    finished = run(linear_gaussian.model(), 4, 64, 20, Resampling("ssp", 0.6), collect)
    kept = {name: np.asarray(value) for name, value in finished.collected.items()}
    assert kept["x"].shape == kept["ancestors"].shape == kept["log_weights"].shape == (20, 64)
    assert kept["ess"] == pytest.approx(
        1 / (np.exp(kept["log_weights"]) ** 2).sum(axis=1), rel=1e-12
    )
    assert np.array_equal(kept["resampled"], [False, *(kept["ess"][:-1] < 0.6 * 64)])
    eves = np.arange(64)
    for row in kept["ancestors"]:
        eves = eves[row]
    assert np.array_equal(kept["eves"], eves)
    assert np.array_equal(kept["x"][-1], finished.state.particles)
    assert float(finished.state.log_evidence) == pytest.approx(
        float(np.asarray(finished.log_increments).sum()), rel=1e-14
    )
    assert finished.log_increments.dtype == finished.state.log_weights.dtype == np.float64
    assert finished.died_at is None


@pytest.mark.slow
def test_steps_and_scan_are_the_same(linear_gaussian):
    model, keys = linear_gaussian.model(), TracedKeys(jax.random.key(9))
    whole = run(model, jax.random.key(9), 32, 20)
    *_, last = steps(model, start(model, keys, 32), keys, Resampling(), 20)
    # compiled apart, the same computation may be fused otherwise: float32 particles, 20 steps
    assert last.state.particles == pytest.approx(np.asarray(whole.state.particles), abs=1e-4)
    assert float(last.state.log_evidence) == pytest.approx(
        float(whole.state.log_evidence), abs=1e-4
    )
    assert int(last.state.t) == 20


@pytest.mark.parametrize("wide", [False, True])
def test_the_users_precision_is_the_models(linear_gaussian, wide):
    with jax.enable_x64(wide):
        finished = run(linear_gaussian.model(), 0, 16, 20)
    assert finished.state.particles.dtype == (np.float64 if wide else np.float32)
    assert finished.state.log_weights.dtype == np.float64


def test_leaves_keep_their_type():
    model = Model(
        lambda key, slots: {
            "n": jnp.zeros(slots, jnp.int8),
            "flag": jnp.zeros(slots, bool),
            "x": jnp.zeros((slots, 3)),
        },
        lambda t, key, p: {
            "n": p["n"] + 1,
            "flag": ~p["flag"],
            "x": p["x"] + jax.random.normal(key, p["x"].shape),
        },
        lambda t, before, after: after["x"].sum(axis=1),
    )
    finished = run(model, 0, 8, 5, Resampling(ess_threshold=1))
    assert {name: leaf.dtype for name, leaf in finished.state.particles.items()} == {
        "n": np.int8,
        "flag": bool,
        "x": np.float32,
    }
    assert np.all(finished.state.particles["n"] == 5) and np.all(finished.state.particles["flag"])


@pytest.mark.slow
def test_all_dead_stay_dead():
    model = Model(
        lambda key, slots: jnp.zeros(slots),
        lambda t, key, x: x + 1,
        lambda t, before, after: jnp.where(t == 3, -jnp.inf, 0.0) * jnp.ones_like(after),
    )
    for scheme in (*SCHEMES, "chopthin"):
        finished = run(model, 0, 8, 6, Resampling(scheme, 1))
        assert finished.died_at == 3 and finished.state.dead
        assert np.all(np.asarray(finished.state.log_weights) == -np.inf)


@pytest.mark.slow
def test_one_survivor_repopulates(hmm):
    lucky = Model(
        lambda key, slots: jnp.arange(slots),
        lambda t, key, x: x,
        lambda t, before, after: jnp.where((after == 5) | (t > 1), 0.0, -jnp.inf),
    )
    for scheme in (*SCHEMES, "chopthin"):
        finished = run(lucky, 0, 8, 2, Resampling(scheme))
        assert np.all(np.asarray(finished.state.particles) == 5)
        assert float(finished.state.log_evidence) == pytest.approx(-np.log(8), abs=1e-12)


@pytest.mark.parametrize("fault", [np.nan, np.inf])
def test_faulty_potentials_are_errors_that_name_the_step(fault):
    model = Model(
        lambda key, slots: jnp.zeros(slots),
        lambda t, key, x: x + 1,
        lambda t, before, after: jnp.where((t == 2) & (after > 0), fault, 0.0),
    )
    with pytest.raises(FloatingPointError, match="log_potential at step 2"):
        run(model, 0, 4, 5)


def test_a_traced_model_needs_a_number_of_steps(hmm):
    with pytest.raises(ValueError, match="steps must be given"):
        run(hmm.model(), 0, 4)


def test_splitting_a_potential_changes_nothing_without_resampling(linear_gaussian):
    """Each move is followed by one that stays, and each of the two pays half of the potential."""
    whole = linear_gaussian.model()

    def move(t, key, x):
        # the split model's odd moves draw what the whole one's moves draw
        return jnp.where(t % 2 == 1, whole.move(t, keys.moves((t + 1) // 2), x), x)

    def log_potential(t, before, after):
        return whole.log_potential((t + 1) // 2, before, after) / 2

    keys, never = TracedKeys(jax.random.key(2)), Resampling(ess_threshold=0)
    split = Model(whole.initial, move, log_potential)
    one, two = run(whole, keys.key, 20, 20, never), run(split, keys.key, 20, 40, never)
    assert two.state.particles == pytest.approx(np.asarray(one.state.particles), abs=1e-5)
    # sums of 20 float32 potentials
    assert float(two.state.log_evidence) == pytest.approx(float(one.state.log_evidence), abs=1e-4)


def test_splitting_a_potential_changes_no_mean(hmm):
    """Where the population is resampled between the halves, too: 16 paths within 5 standard errors
    (false alarm 1e-5)."""
    whole, steps = hmm.path_model(), hmm.steps

    def move(t, key, x):
        return jnp.where(t % 2 == 1, whole.move((t + 1) // 2, key, x), x)

    def log_potential(t, before, after):
        # the second half is weighed by a potential of the same step, whose past the path still
        # holds
        odd = t % 2 == 1
        return (
            jnp.where(
                odd,
                whole.log_potential((t + 1) // 2, before, after),
                whole.log_potential((t + 1) // 2, after, after),
            )
            / 2
        )

    split, weights = Model(whole.initial, move, log_potential), 2 ** np.arange(steps + 1)[::-1]

    @jax.jit
    @jax.vmap
    def one(key):
        finished = scan(split, key, 4, 2 * steps, Resampling("systematic", 0.8))
        return finished.state.particles, finished.state.log_weights + finished.state.log_evidence

    paths, log_masses = (np.asarray(x) for x in one(jax.random.split(jax.random.key(3), 8000)))
    table = np.zeros((8000, 16))
    for slot in range(4):
        np.add.at(table, (np.arange(8000), paths[:, slot] @ weights), np.exp(log_masses[:, slot]))
    errors = table.std(axis=0) / np.sqrt(8000)
    assert np.all(np.abs(table.mean(axis=0) - hmm.masses) <= 5 * errors + 1e-15)


def test_permuted_particles_step_alike(hmm):
    """ESS and the evidence's increment do not depend on the order of the particles."""
    model = hmm.model()
    state = start(model, TracedKeys(jax.random.key(0)), 12)
    log_w = np.log(np.random.default_rng(0).dirichlet(np.ones(12)))
    still = Model(model.initial, lambda t, key, x: x, model.log_potential)
    step = jax.jit(
        partial(
            advance,
            still,
            keys=TracedKeys(jax.random.key(1)),
            resampling=Resampling(ess_threshold=0),
        )
    )
    order = np.random.default_rng(1).permutation(12)
    one = step(state=state._replace(log_weights=log_w))
    two = step(state=state._replace(particles=state.particles[order], log_weights=log_w[order]))
    assert float(one.log_increment) == pytest.approx(float(two.log_increment), abs=1e-13)
    assert np.asarray(one.state.log_weights)[order] == pytest.approx(
        np.asarray(two.state.log_weights), abs=1e-13
    )


def unhelpful(value, at=3):
    """A look-ahead that is at fault for one particle before one step."""
    return lambda t, x: jnp.where((t == at) & (jnp.arange(len(x)) == 2), value, 0.0)


@pytest.mark.long(quick=1)
@pytest.mark.parametrize("threshold", [0.5, 1])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_look_ahead_at_fault_is_an_error(linear_gaussian, value, threshold):
    resampling = Resampling(ess_threshold=threshold, look_ahead=unhelpful(value))
    with pytest.raises(FloatingPointError, match="look_ahead at step 3"):
        run(linear_gaussian.model(), 0, 50, 6, resampling)


def test_the_dead_may_have_any_potential():
    """log G_2 = log x is not a number for those whom G_1 = 1[x > 0] killed."""
    model = Model(
        lambda key, slots: jax.random.normal(key, (slots,)),
        lambda t, key, x: x,
        lambda t, before, after: jnp.where(
            t == 1, jnp.where(after > 0, 0.0, -jnp.inf), jnp.log(after)
        ),
    )
    finished = run(model, 0, 20, 2, Resampling(ess_threshold=0))
    x = np.asarray(finished.state.particles, np.float64)
    assert float(finished.state.log_evidence) == pytest.approx(
        np.log(np.maximum(x, 0).mean()), abs=1e-5
    )


def test_steps_raise_where_a_trace_cannot():
    fault = {"log_potential": lambda t, before, after: jnp.where(t == 2, jnp.nan, 0.0) * after}
    model = Model(lambda key, slots: jnp.zeros(slots), lambda t, key, x: x + 1, **fault)
    keys = TracedKeys(jax.random.key(0))
    with pytest.raises(FloatingPointError, match="log_potential at step 2"):
        list(steps(model, start(model, keys, 4), keys, Resampling(), 3))


def test_a_look_ahead_may_act_before_the_first_move(hmm):
    """x_0 is random, and selected by what it promises: 16 paths within 5 standard errors (false
    alarm 1e-5)."""
    promise = jnp.log(jnp.asarray([3.0, 0.2]))
    estimates = masses(
        hmm, 3, Resampling("killing", 1, look_ahead=lambda t, x: promise[x[:, t - 1]]), 8000
    )
    errors = estimates.std(axis=0) / np.sqrt(len(estimates))
    assert np.all(np.abs(estimates.mean(axis=0) - hmm.masses) <= 5 * errors + 1e-15)


def plain(**parts):
    """A model of one number, with some of its functions replaced."""
    functions = {
        "initial": lambda key, slots: jnp.zeros(slots),
        "move": lambda t, key, x: x + jax.random.normal(key, x.shape),
        "log_potential": lambda t, before, after: -(after**2),
    }
    return Model(**(functions | parts))


MISTAKES = {
    "a sum over particles": (
        plain(log_potential=lambda t, before, after: -(after**2).sum()),
        r"log_potential must have the shape \(8,\), not \(\)",
    ),
    "a column": (
        plain(log_potential=lambda t, before, after: -(after[:, None] ** 2)),
        r"log_potential must have the shape \(8,\), not \(8, 1\)",
    ),
    "one too many": (
        plain(initial=lambda key, slots: jnp.zeros(slots + 1)),
        r"initial must return leaves with 8 rows, not of shape \(9,\)",
    ),
    "one particle": (
        plain(initial=lambda key, slots: jnp.zeros(())),
        r"initial must return leaves with 8 rows, not of shape \(\)",
    ),
    "another type": (
        plain(move=lambda t, key, x: x.astype(int)),
        r"move must return .* float32\[8\], not int32\[8\]",
    ),
    "one lost": (
        plain(move=lambda t, key, x: x[1:]),
        r"move must return .* float32\[8\], not float32\[7\]",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_shapes_that_do_not_fit_name_the_function(mistake):
    model, complaint = MISTAKES[mistake]
    with pytest.raises(ValueError, match=complaint):
        run(model, 0, 8, 3)


def test_arguments_that_do_not_fit():
    keys = TracedKeys(jax.random.key(0))
    with pytest.raises(TypeError, match="resampling must be a Resampling"):
        run(plain(), 0, 8, 3, "systematic")
    with pytest.raises(TypeError, match="collect must map names to collectors"):
        run(plain(), 0, 8, 3, collect=["ess"])
    with pytest.raises(
        ValueError, match="mean's function must return one row for each of 8 particles"
    ):
        run(plain(), 0, 8, 3, collect={"mean": mean(lambda x: x.sum())})
    with pytest.raises(ValueError, match="count must be given"):
        next(steps(plain(), start(plain(), keys, 8), keys, Resampling()))


@pytest.mark.slow
def test_a_model_of_one_particle_is_the_model_of_many(linear_gaussian):
    """`each` maps functions of one particle: the same potentials and densities, and an evidence
    that agrees with Kalman's."""
    a, q, whole = linear_gaussian.a, linear_gaussian.q, linear_gaussian.model()
    single = {
        name: lambda t, b, x, f=getattr(whole, name): f(t, b, x)
        for name in ("log_potential", "density")
    }
    model = each(
        lambda key: jax.random.normal(key),
        lambda t, key, x: a * x + np.sqrt(q) * jax.random.normal(key),
        single["log_potential"],
        single["density"],
    )
    before, after = jax.random.normal(jax.random.key(0), (2, 6))
    for name in ("log_potential", "log_transition", "log_splice"):
        last = jnp.arange(21.0) if name == "log_splice" else after
        mine, theirs = (
            np.asarray(getattr(each_or_all, name)(3, before, last))
            for each_or_all in (model, whole)
        )
        assert mine == pytest.approx(theirs, rel=1e-5)
    log_z = jax.jit(jax.vmap(lambda key: scan(model, key, 200, 20).state.log_evidence))(
        jax.random.split(jax.random.key(5), 200)
    )
    ratios = np.exp(np.asarray(log_z) - linear_gaussian.kalman()[2])
    assert abs(ratios.mean() - 1) <= 5 * ratios.std() / np.sqrt(200)


def test_a_run_that_is_taken_up_names_its_own_step():
    fault = {"log_potential": lambda t, before, after: jnp.where(t == 4, jnp.nan, 0.0) * after}
    model = Model(lambda key, slots: jnp.zeros(slots), lambda t, key, x: x + 1, **fault)
    keys = TracedKeys(jax.random.key(0))
    *_, half = steps(model, start(model, keys, 4), keys, Resampling(), 2)
    with pytest.raises(FloatingPointError, match="log_potential at step 4"):
        list(steps(model, half.state, keys, Resampling(), 3))
