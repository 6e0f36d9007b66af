"""The driver on chains that have nothing to do with language."""

from itertools import pairwise, product

import jax
import numpy as np
import pytest

from motes.smc import Resampling, RunKeys, start, steps

TRANSITION = np.array([[0.7, 0.3], [0.2, 0.8]])
POTENTIAL = np.array([[0.9, 0.1], [0.2, 0.6], [0.5, 0.0]])  # by step, by state; the last kills one state


class Chain:
    """Two hidden states and three observations: a particle is the tuple of states so far, which starts in state 0."""

    moved: list[int]

    def __init__(self, length=3, potential=POTENTIAL):
        self.length, self.potential, self.moved = length, potential, []

    def initial(self, slots):
        return [(0,)] * slots

    def open(self, particle):
        return len(particle) <= self.length

    def move(self, t, particles, keys):
        self.moved.append(len(particles))
        uniforms = (np.asarray(jax.random.key_data(keys))[:, 0] + 0.5) / 2**32  # key data are uniform words
        return [(*x, int(u < TRANSITION[x[-1], 1])) for x, u in zip(particles, uniforms, strict=True)]

    def log_potential(self, t, before, after):
        with np.errstate(divide="ignore"):
            return np.log(self.potential[t - 1, [x[-1] for x in after]])


def run(model, slots=3, seed=0, **settings):
    *_, last = steps(model, start(model, slots), RunKeys(seed), Resampling(**settings))
    return last


def exact_mass(x) -> float:
    return float(np.prod([TRANSITION[a, b] * POTENTIAL[t, b] for t, (a, b) in enumerate(pairwise(x))]))


@pytest.mark.parametrize("kappa", [0, 0.7, 1])
def test_masses_of_a_hidden_markov_model(kappa):
    """Each of 8 paths within 5 standard errors of its mass: a right driver fails with probability 5e-6 for each kappa."""
    paths, runs = [(0, *x) for x in product((0, 1), repeat=3)], 800
    estimates = np.zeros((runs, len(paths)))
    for seed in range(runs):
        state = run(Chain(), seed=seed, ess_threshold=kappa)
        for x, log_weight in zip(state.particles, state.log_weights, strict=True):
            estimates[seed, paths.index(x)] += np.exp(log_weight + state.log_evidence)
    exact = np.array([exact_mass(x) for x in paths])
    errors = estimates.std(axis=0) / np.sqrt(runs)
    assert np.all(np.abs(estimates.mean(axis=0) - exact) <= 5 * errors + 1e-15)


def test_history_and_state_agree():
    state = run(Chain(), slots=8, ess_threshold=0.9)
    history = state.history
    assert history.ancestors.shape == history.log_weights.shape == (3, 8)
    assert history.log_increments.sum() == pytest.approx(state.log_evidence, abs=1e-14)
    assert np.array_equal(history.log_weights[-1], state.log_weights)
    for t in np.flatnonzero(~history.resampled):
        assert np.array_equal(history.ancestors[t], np.arange(8))
    weights = np.exp(history.log_weights)
    assert history.ess == pytest.approx(1 / (weights**2).sum(axis=1), rel=1e-12)
    due = np.concatenate([[False], history.ess[:-1] < 0.9 * 8])
    assert np.array_equal(history.resampled, due) and due.any()


def test_ancestors_lead_back_through_the_paths():
    states = list(steps(Chain(), start(Chain(), 8), RunKeys(1), Resampling(ess_threshold=1)))
    for earlier, later in pairwise(states):
        for slot, ancestor in enumerate(later.records[-1].ancestors):
            assert later.particles[slot][:-1] == earlier.particles[ancestor]


def test_all_dead_ends_the_run_with_no_evidence():
    state = run(Chain(potential=np.array([[1.0, 1.0], [0.0, 0.0], [1.0, 1.0]])), slots=4)
    assert state.dead and state.log_evidence == -np.inf
    assert len(state.records) == 2  # and they died at step 2
    assert np.all(state.log_weights == -np.inf)
    assert state.records[-1].ess == 0


def test_the_dead_are_not_moved_and_stay_dead_without_resampling():
    model = Chain(length=3, potential=np.array([[1.0, 0.0], [1.0, 1.0], [1.0, 1.0]]))
    state = run(model, slots=40, ess_threshold=0)
    died = state.history.log_weights[0] == -np.inf
    assert 0 < died.sum() < 40
    assert model.moved == [40, 40 - died.sum(), 40 - died.sum()]
    assert np.array_equal(state.log_weights == -np.inf, died)


def test_closed_particles_keep_their_weight_while_others_move():
    class Stopping(Chain):
        def open(self, particle):
            return particle[-1] == 0 and super().open(particle)

    model = Stopping(potential=np.full((3, 2), 0.5))
    state = run(model, slots=40, ess_threshold=0)
    lengths = np.array([len(x) - 1 for x in state.particles])
    assert set(lengths) == {1, 2, 3}
    # W is proportional to 0.5 ** (number of moves): no later potential touches the closed
    expected = 0.5**lengths / np.sum(0.5**lengths)
    assert np.exp(state.log_weights) == pytest.approx(expected, rel=1e-12)
    assert np.exp(state.log_evidence) == pytest.approx(np.mean(0.5**lengths), rel=1e-12)


def test_population_of_closed_particles_takes_no_step():
    model = Chain(length=0)
    assert list(steps(model, start(model, 3), RunKeys(0), Resampling())) == []
    assert start(model, 3).history.ancestors.shape == (0, 3)


@pytest.mark.parametrize("kappa", [0, 1])
def test_one_particle(kappa):
    state = run(Chain(), slots=1, ess_threshold=kappa)
    assert state.dead or state.log_weights == pytest.approx([0.0])
    assert state.history.resampled.tolist() == [kappa == 1] * len(state.records)


def test_same_seed_same_bits():
    first, second, other = (run(Chain(), slots=20, seed=seed) for seed in (4, 4, 5))
    assert first.particles == second.particles and first.log_evidence == second.log_evidence
    assert first.particles != other.particles


@pytest.mark.parametrize("fault", [np.nan, np.inf])
def test_faulty_potentials_are_errors_that_name_the_step(fault):
    with np.errstate(invalid="ignore"), pytest.raises(FloatingPointError, match="log_potential at step 2"):
        run(Chain(potential=np.array([[1.0, 1.0], [fault, fault], [1.0, 1.0]])))


def test_model_that_loses_particles():
    class Losing(Chain):
        def move(self, t, particles, keys):
            return super().move(t, particles, keys)[1:]

    with pytest.raises(ValueError, match="3 particles were to move, but 2 did"):
        run(Losing())


def test_splitting_a_potential_changes_nothing_without_resampling():
    class Split(Chain):
        """Each move is followed by one that stays where it is, and each of the two pays half of the potential."""

        def open(self, particle):
            return len(particle) <= 2 * self.length

        def move(self, t, particles, keys):
            if t % 2 == 0:
                return [(*x, x[-1]) for x in particles]
            return super().move(t, particles, RunKeys(3).moves((t + 1) // 2, len(particles), range(len(particles))))

        def log_potential(self, t, before, after):
            return super().log_potential((t + 1) // 2, before, after) / 2

    positive = POTENTIAL + 0.01
    whole = run(Chain(potential=positive), slots=10, seed=3, ess_threshold=0)
    split = run(Split(potential=positive), slots=10, seed=3, ess_threshold=0)
    assert [x[::2] for x in split.particles] == list(whole.particles)
    assert split.log_evidence == pytest.approx(whole.log_evidence, abs=1e-12)
    assert split.log_weights == pytest.approx(whole.log_weights, abs=1e-12)
