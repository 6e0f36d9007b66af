"""Particle Gibbs: chains of whole paths, traced and hosted. Its kernel is enumerated in
test_conditional_smc."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motes.smc import (
    Model,
    Resampling,
    RunKeys,
    TracedKeys,
    draw_path,
    generations,
    particle_gibbs,
    sweep,
)

CASES = [
    (scheme, past)
    for scheme in ("multinomial", "systematic", "killing")
    for past in ("reference", "ancestor", "backward")
]


def frequencies_error(codes, target):
    """Distance of a chain's frequencies from the target in standard errors, by batch means over
    many parallel chains."""
    by_chain = np.stack([np.bincount(row, minlength=len(target)) / len(row) for row in codes])
    errors = by_chain.std(axis=0, ddof=1) / np.sqrt(len(by_chain))
    return np.abs(by_chain.mean(axis=0) - target) / np.maximum(
        errors, 1e-3 / np.sqrt(len(by_chain))
    )


@pytest.mark.slow
@pytest.mark.parametrize(("scheme", "past"), CASES)
@pytest.mark.parametrize("kappa", [0.7, pytest.param(1.0, marks=pytest.mark.statistics)])
def test_long_chains_visit_paths_by_their_mass(hmm, scheme, past, kappa):
    """100 chains of 300 sweeps, N = 3, 16 paths, 18 cases: a right kernel fails once in 6,000 such
    files (5 standard errors)."""
    model, weights = hmm.model(), 2 ** np.arange(hmm.steps + 1)[::-1]
    resampling = Resampling(scheme, kappa)

    @jax.jit
    @jax.vmap
    def chains(key):
        first, _ = draw_path(TracedKeys(key), generations(model, TracedKeys(key), 16, hmm.steps))

        def body(path, i):
            path, _ = sweep(model, TracedKeys(key).sweep(i), path, 3, resampling, past)
            return path, path

        return jax.lax.scan(body, first, jnp.arange(320))[1]

    codes = np.asarray(chains(jax.random.split(jax.random.key(2), 100)))[:, 20:] @ weights
    assert np.all(frequencies_error(codes, hmm.masses / hmm.masses.sum()) <= 5)


@pytest.mark.slow
def test_early_particles_move_with_help_only(linear_gaussian):
    model, key = linear_gaussian.model(), jax.random.key(0)
    first, _ = draw_path(TracedKeys(key), generations(model, TracedKeys(key), 64, 20))
    rates = {
        past: particle_gibbs(
            model, 1, first, 300, 5, Resampling("multinomial", 1), past
        ).update_rate
        for past in ("reference", "ancestor", "backward")
    }
    assert rates["reference"].shape == (21,)
    assert rates["reference"][0] < 0.2 < 0.5 < min(rates["ancestor"][5], rates["backward"][5])


class Texts:
    """A hosted chain of a random length: a particle is the tuple of its letters, closed by a 2,
    with potentials by letter."""

    law = np.array([0.5, 0.3, 0.2])

    def __init__(self, limit=4, potential=(1.0, 0.4, 0.7)):
        self.limit, self.potential = limit, np.array(potential)

    def initial(self, keys, slots):
        return [()] * slots

    def open(self, particle):
        return len(particle) < self.limit and (not particle or particle[-1] != 2)

    def move(self, t, keys, particles):
        uniforms = np.asarray(jax.vmap(jax.random.uniform)(keys))
        letters = np.minimum(np.searchsorted(np.cumsum(self.law), uniforms), 2)
        return [(*x, int(letter)) for x, letter in zip(particles, letters, strict=True)]

    def log_potential(self, t, before, after):
        return np.log(self.potential[[x[-1] for x in after]])

    def log_splice(self, t, particles, reference):
        """Only what is open can be continued, and an ended reference only by what has ended: both
        lengths are t - 1."""
        rest = reference[-1][t - 1 :]
        fits = [self.open(x) == bool(rest) for x in particles]
        # the rest has the same probability and potential after any of them
        return np.where(fits, 0.0, -np.inf)

    def splice(self, t, particle, reference):
        rest = reference[-1][t - 1 :]
        new = np.empty(max(len(reference), t), object)
        for s in range(len(new)):
            new[s] = (*particle, *rest[: max(s - t + 1, 0)])
        return new

    @property
    def masses(self):
        table, pending = {}, [()]
        while pending:
            x = pending.pop()
            if self.open(x):
                pending += [(*x, letter) for letter in range(3)]
            else:
                table[x] = float(np.prod([self.law[i] * self.potential[i] for i in x]))
        return table


@pytest.mark.slow
@pytest.mark.parametrize("past", ["reference", "ancestor"])
def test_hosted_paths_of_random_length(past):
    """Three chains of 500 sweeps, batch means of 50; 31 paths: 5 standard errors fail a right
    kernel once in 10,000 times."""
    model = Texts()
    masses = model.masses
    target = np.array(list(masses.values())) / sum(masses.values())
    first = np.empty(2, object)
    first[0], first[1] = (), (2,)
    codes = []
    for run in range(2):
        chain = particle_gibbs(
            model, RunKeys(5, run=run), first, 500, 4, Resampling("systematic", 1), past
        )
        codes.append([list(masses).index(path[-1]) for path in chain.paths])
        assert all(len(path) == len(path[-1]) + 1 for path in chain.paths)
        assert chain.update_rate.shape == (5,)
    batches = np.array(codes).reshape(-1, 50)
    by_batch = np.stack([np.bincount(row, minlength=len(target)) / 50 for row in batches])
    errors = np.maximum(by_batch.std(axis=0, ddof=1), np.sqrt(target / 50)) / np.sqrt(len(batches))
    assert np.all(np.abs(by_batch.mean(axis=0) - target) <= 5 * errors)


@pytest.mark.slow
def test_same_seed_same_chain(linear_gaussian):
    model = linear_gaussian.model()
    first, _ = draw_path(
        TracedKeys(jax.random.key(0)), generations(model, TracedKeys(jax.random.key(0)), 8, 20)
    )
    one, two, other = (particle_gibbs(model, seed, first, 5, 4) for seed in (1, 1, 2))
    assert np.array_equal(one.paths, two.paths) and not np.array_equal(one.paths, other.paths)


def test_bad_arguments(linear_gaussian):
    model = linear_gaussian.model()
    path = jnp.zeros(21)
    with pytest.raises(
        ValueError, match="past must be one of reference, ancestor, backward, not 'future'"
    ):
        particle_gibbs(model, 0, path, 2, 4, past="future")
    with pytest.raises(ValueError, match="slots must be at least 2"):
        particle_gibbs(model, 0, path, 2, 1)
    with pytest.raises(
        ValueError,
        match="must have a conditional form, as multinomial, systematic, killing do, not 'ssp'",
    ):
        particle_gibbs(model, 0, path, 2, 4, Resampling("ssp"))
    with pytest.raises(TypeError, match="backward sampling needs a traced model"):
        particle_gibbs(Texts(), 0, path, 2, 4, Resampling("multinomial"), "backward")
    with pytest.raises(ValueError, match="density is not given"):
        particle_gibbs(replace(model, density=None), 0, path, 2, 4)


@pytest.mark.slow
@pytest.mark.parametrize("part", ["log_potential", "density"])
def test_faults_are_errors(linear_gaussian, part):
    model = replace(
        linear_gaussian.model(),
        **{part: lambda t, before, after: jnp.where(t == 3, jnp.nan, 0.0) * after},
    )
    with pytest.raises(FloatingPointError, match="sweep 1: a weight is NaN or infinite"):
        particle_gibbs(model, 0, jnp.zeros(21), 3, 4, Resampling("multinomial", 1))


@pytest.mark.slow
def test_sweeps_share_no_keys_with_the_run_they_start_from():
    """Without weights to tell them apart, the first sweep keeps its reference once in N = 4 times,
    not always: 200 seeds."""
    model = Texts(potential=(1.0, 1.0, 1.0))
    kept = 0
    for seed in range(200):
        start = generations(model, RunKeys(seed), 4, resampling=Resampling(ess_threshold=0))
        first, _ = draw_path(RunKeys(seed), start)
        chain = particle_gibbs(model, seed, first, 1, 4, Resampling("multinomial", 0), "reference")
        kept += not chain.moved[0].any()
    assert abs(kept - 50) <= 5 * np.sqrt(200 * 3 / 16)


def test_an_open_reference_is_refused():
    path = np.empty(2, object)
    path[0], path[1] = (), (0,)
    with pytest.raises(ValueError, match="the reference's last particle must be closed"):
        particle_gibbs(Texts(), 0, path, 1, 4)


def test_a_rejuvenated_population_has_no_paths(linear_gaussian):
    moved = Resampling(rejuvenate=lambda t, key, particles: particles)
    with pytest.raises(
        ValueError, match="paths cannot be traced through a population that is rejuvenated"
    ):
        generations(linear_gaussian.model(), TracedKeys(jax.random.key(0)), 8, 5, moved)
    with pytest.raises(ValueError, match="paths cannot be traced"):
        particle_gibbs(
            linear_gaussian.model(),
            0,
            jnp.zeros(21),
            1,
            4,
            Resampling("killing", rejuvenate=moved.rejuvenate),
        )


def test_no_path_of_the_dead_is_drawn(linear_gaussian):
    model = replace(
        linear_gaussian.model(),
        log_potential=lambda t, before, after: (
            jnp.where(t == 3, -jnp.inf, 0.0) * jnp.ones_like(after)
        ),
    )
    keys = TracedKeys(jax.random.key(0))
    with pytest.raises(FloatingPointError, match="there is no path to draw"):
        draw_path(keys, generations(model, keys, 8, 5))


@pytest.mark.long(quick=1)
@pytest.mark.parametrize("scheme", ["multinomial", "systematic", "killing"])
def test_a_reference_whose_weight_underflows_is_kept(scheme):
    """G_1 = exp(-1000) in state 0, and G_2 pays it back: the target is uniform on two states that
    never change, and so is the kernel."""
    model = Model(
        lambda key, slots: jax.random.bernoulli(key, 0.5, (slots,)).astype(jnp.int32),
        lambda t, key, x: x,
        lambda t, before, after: jnp.where(after == 0, jnp.where(t == 1, -1000.0, 1000.0), 0.0),
    )
    for state in (0, 1):
        chain = particle_gibbs(
            model, 3, jnp.full(3, state, jnp.int32), 1, 4, Resampling(scheme, 1), "reference"
        )
        # in state 0 the others carry weight e^-1000 and are lost: only the reference still has what
        # G_2 pays
        assert np.all(chain.paths[-1] == state)


@pytest.mark.parametrize(
    ("value", "complaint"), [(np.nan, "is nan"), (-np.inf, "is minus infinity for all")]
)
def test_a_splice_at_fault_is_an_error(value, complaint):
    class Broken(Texts):
        def log_splice(self, t, particles, reference):
            return np.full(len(particles), value)

    path = np.empty(2, object)
    path[0], path[1] = (), (2,)
    with pytest.raises(FloatingPointError, match=f"log_splice at step 1 {complaint}"):
        particle_gibbs(Broken(), 0, path, 1, 4, Resampling("killing", 1))
