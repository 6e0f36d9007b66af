"""The driver on hosted chains that have nothing to do with language."""

import pickle
from itertools import pairwise, product

import jax
import numpy as np
import pytest

from motes.smc import HISTORY, History, Resampling, RunKeys, TracedKeys, run, start, steps
from motes.smc.arrays import objects

TRANSITION = np.array([[0.7, 0.3], [0.2, 0.8]])
# by step, by state; the last kills one state
POTENTIAL = np.array([[0.9, 0.1], [0.2, 0.6], [0.5, 0.0]])


class Chain:
    """Two hidden states and three observations: a particle is the tuple of states so far, which
    starts in state 0."""

    moved: list[int]

    def __init__(self, length=3, potential=POTENTIAL):
        self.length, self.potential, self.moved = length, potential, []

    def initial(self, keys, slots):
        return [(0,)] * slots

    def open(self, particle):
        return len(particle) <= self.length

    def move(self, t, keys, particles):
        self.moved.append(len(particles))
        # key data are uniform words
        uniforms = (np.asarray(jax.random.key_data(keys))[:, 0] + 0.5) / 2**32
        return [
            (*x, int(u < TRANSITION[x[-1], 1])) for x, u in zip(particles, uniforms, strict=True)
        ]

    def log_potential(self, t, before, after):
        with np.errstate(divide="ignore"):
            return np.log(self.potential[t - 1, [x[-1] for x in after]])


def filtered(model, slots=3, seed=0, **settings):
    return run(model, seed, slots, resampling=Resampling(**settings), collect=HISTORY)


def history_of(finished):
    return History.of(finished.collected, len(finished.state.particles))


def exact_mass(x) -> float:
    return float(
        np.prod([TRANSITION[a, b] * POTENTIAL[t, b] for t, (a, b) in enumerate(pairwise(x))])
    )


def assert_masses(runs, **settings):
    """Each of 8 paths within 5 standard errors of its mass: a right driver fails with probability
    5e-6."""
    paths = [(0, *x) for x in product((0, 1), repeat=3)]
    estimates = np.zeros((runs, len(paths)))
    for seed in range(runs):
        state = filtered(Chain(), seed=seed, **settings).state
        for x, log_weight in zip(state.particles, state.log_weights, strict=True):
            estimates[seed, paths.index(x)] += np.exp(log_weight + state.log_evidence)
    errors = estimates.std(axis=0) / np.sqrt(runs)
    assert np.all(
        np.abs(estimates.mean(axis=0) - [exact_mass(x) for x in paths]) <= 5 * errors + 1e-15
    )


@pytest.mark.long(quick=1, rest="slow")
@pytest.mark.parametrize("kappa", [0, 0.7, 1])
def test_masses_of_a_hidden_markov_model(kappa):
    assert_masses(800, ess_threshold=kappa)


def test_history_and_state_agree():
    finished = filtered(Chain(), slots=8, ess_threshold=0.9)
    state, history = finished.state, history_of(finished)
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
    keys = RunKeys(1)
    for step in steps(Chain(), start(Chain(), keys, 8), keys, Resampling(ess_threshold=1)):
        for slot, ancestor in enumerate(step.ancestors):
            assert step.state.particles[slot][:-1] == step.before.particles[ancestor]


def test_all_dead_ends_the_run_with_no_evidence():
    finished = filtered(Chain(potential=np.array([[1.0, 1.0], [0.0, 0.0], [1.0, 1.0]])), slots=4)
    assert finished.state.dead and finished.state.log_evidence == -np.inf
    assert finished.state.t == finished.died_at == 2
    assert np.all(finished.state.log_weights == -np.inf)
    assert finished.collected["ess"][-1] == 0


def test_the_dead_are_not_moved_and_stay_dead_without_resampling():
    model = Chain(length=3, potential=np.array([[1.0, 0.0], [1.0, 1.0], [1.0, 1.0]]))
    finished = filtered(model, slots=40, ess_threshold=0)
    state, died = finished.state, finished.collected["log_weights"][0] == -np.inf
    assert 0 < died.sum() < 40
    assert model.moved == [40, 40 - died.sum(), 40 - died.sum()]
    assert np.array_equal(state.log_weights == -np.inf, died)


def test_closed_particles_keep_their_weight_while_others_move():
    class Stopping(Chain):
        def open(self, particle):
            return particle[-1] == 0 and super().open(particle)

    model = Stopping(potential=np.full((3, 2), 0.5))
    state = filtered(model, slots=40, ess_threshold=0).state
    lengths = np.array([len(x) - 1 for x in state.particles])
    assert set(lengths) == {1, 2, 3}
    # W is proportional to 0.5 ** (number of moves): no later potential touches the closed
    expected = 0.5**lengths / np.sum(0.5**lengths)
    assert np.exp(state.log_weights) == pytest.approx(expected, rel=1e-12)
    assert np.exp(state.log_evidence) == pytest.approx(np.mean(0.5**lengths), rel=1e-12)


def test_population_of_closed_particles_takes_no_step():
    finished = filtered(Chain(length=0))
    assert finished.state.t == 0 and finished.state.log_evidence == 0
    assert history_of(finished).ancestors.shape == (0, 3)


@pytest.mark.parametrize("kappa", [0, 1])
def test_one_particle(kappa):
    finished = filtered(Chain(), slots=1, ess_threshold=kappa)
    assert finished.state.dead or finished.state.log_weights == pytest.approx([0.0])
    # before the first step weights are equal by construction
    assert finished.collected["resampled"].tolist() == [False] + [kappa == 1] * (
        finished.state.t - 1
    )


def test_same_seed_same_bits():
    first, second, other = (filtered(Chain(), slots=20, seed=seed).state for seed in (4, 4, 5))
    assert (
        list(first.particles) == list(second.particles)
        and first.log_evidence == second.log_evidence
    )
    assert list(first.particles) != list(other.particles)


@pytest.mark.parametrize("fault", [np.nan, np.inf])
def test_faulty_potentials_are_errors_that_name_the_step(fault):
    with (
        np.errstate(invalid="ignore"),
        pytest.raises(FloatingPointError, match="log_potential at step 2"),
    ):
        filtered(Chain(potential=np.array([[1.0, 1.0], [fault, fault], [1.0, 1.0]])))


def test_model_that_loses_particles():
    class Losing(Chain):
        def move(self, t, keys, particles):
            return super().move(t, keys, particles)[1:]

    with pytest.raises(ValueError, match="3 particles were to move, but 2 did"):
        filtered(Losing())


def test_splitting_a_potential_changes_nothing_without_resampling():
    class Split(Chain):
        """Each move is followed by one that stays where it is, and each of the two pays half of the
        potential."""

        def open(self, particle):
            return len(particle) <= 2 * self.length

        def move(self, t, keys, particles):
            if t % 2 == 0:
                return [(*x, x[-1]) for x in particles]
            return super().move(
                t, RunKeys(3).moves((t + 1) // 2, len(particles), range(len(particles))), particles
            )

        def log_potential(self, t, before, after):
            return super().log_potential((t + 1) // 2, before, after) / 2

    positive = POTENTIAL + 0.01
    whole = filtered(Chain(potential=positive), slots=10, seed=3, ess_threshold=0).state
    split = filtered(Split(potential=positive), slots=10, seed=3, ess_threshold=0).state
    assert [x[::2] for x in split.particles] == list(whole.particles)
    assert split.log_evidence == pytest.approx(whole.log_evidence, abs=1e-12)
    assert split.log_weights == pytest.approx(whole.log_weights, abs=1e-12)


def test_tuples_stay_whole_and_may_differ_in_length():
    """An array of tuples of one length would become a table if NumPy had its way."""
    finished = filtered(Chain(), slots=5)
    assert finished.state.particles.shape == (5,) and all(
        isinstance(x, tuple) for x in finished.state.particles
    )


@pytest.mark.slow
@pytest.mark.parametrize("kappa", [1, 0.8])
def test_rejuvenation_leaves_every_mean_as_it_is(kappa):
    """Each living particle has a key of its own; the kernel here is independent draws of the last
    state given the one before."""

    def rejuvenate(t, keys, particles):
        uniforms = np.asarray(jax.vmap(jax.random.uniform)(keys))
        last = [TRANSITION[x[-2]] * POTENTIAL[t - 2] for x in particles]
        return objects(
            (*x[:-1], int(u * w.sum() >= w[0]))
            for x, u, w in zip(particles, uniforms, last, strict=True)
        )

    assert_masses(600, slots=4, ess_threshold=kappa, rejuvenate=rejuvenate)


def test_a_run_is_taken_up_where_it_was_left():
    model, keys, resampling = Chain(), RunKeys(3), Resampling()
    *_, whole = steps(model, start(model, keys, 10), keys, resampling)
    *_, half = steps(model, start(model, keys, 10), keys, resampling, 1)
    *_, rest = steps(model, pickle.loads(pickle.dumps(half.state)), keys, resampling)
    assert list(rest.state.particles) == list(whole.state.particles)
    assert rest.state.log_evidence == whole.state.log_evidence


def test_looking_ahead_asks_the_living_and_changes_no_mean():
    promise = np.log([2.0, 0.3])

    def look_ahead(t, particles):
        # state 1 dies at the last step
        assert all(x[-1] == 0 or POTENTIAL[t - 2, 1] > 0 for x in particles)
        return promise[[x[-1] for x in particles]]

    assert_masses(600, slots=3, ess_threshold=0.8, look_ahead=look_ahead)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_look_ahead_at_fault_is_an_error(value):
    with (
        pytest.raises(FloatingPointError, match="look_ahead at step 2"),
        np.errstate(invalid="ignore"),
    ):
        filtered(
            Chain(),
            slots=4,
            look_ahead=lambda t, particles: np.full(len(particles), 0.0 if t < 2 else value),
        )


def test_rejuvenated_particles_may_come_as_a_list():
    state = filtered(
        Chain(), slots=4, ess_threshold=1, rejuvenate=lambda t, keys, particles: list(particles)
    ).state
    assert state.particles.shape == (4,)


def test_a_filter_needs_a_particle():
    with pytest.raises(ValueError, match="slots must be at least 1, not 0"):
        run(Chain(), 0, 0)


@pytest.mark.parametrize("keys", ["traced", None])
def test_keys_of_another_kind(keys):
    keys = TracedKeys(jax.random.key(0)) if keys else None
    with pytest.raises(TypeError, match="a hosted model takes RunKeys"):
        start(Chain(), keys, 3)
