"""Conditional SMC leaves its target invariant: by enumeration of everything that can happen in a
sweep.

The step that is enumerated is the engine's own. What it would draw is put into its hands instead:
ancestors, moves and the reference's ancestor. The probability of each outcome is that of the
model's moves, of the ancestor-sampling weights that the engine computed, and of the conditional
resampling scheme, integrated exactly over its noise.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import pairwise, permutations, product
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from piecewise import pieces

from motes.smc import CONDITIONAL, Generations, Resampling, conditional_smc
from motes.smc.backward import past_log_weights
from motes.smc.conditional_smc import advance_given
from motes.smc.driver import State
from motes.smc.resampling import policy

SCHEMES = tuple(CONDITIONAL)


# ---- the law of a conditional scheme, by integration over its noise


def cut(function):
    """A point in each piece of a piecewise constant function of one uniform, and the lengths of the
    pieces."""
    lengths, _ = pieces(function)
    return np.cumsum(lengths) - lengths / 2, lengths / lengths.sum()


@cache
def placed(name):
    with jax.enable_x64(True):
        place = CONDITIONAL[name].place
        return jax.jit(jax.vmap(place, (0, None, None)))


def place_all(name, noise, weights, ancestor):
    with jax.enable_x64(True):
        return np.asarray(
            placed(name)(jax.tree.map(jnp.asarray, noise), jnp.asarray(weights), ancestor)
        )


def law(name, weights, ancestor):
    """P(A_1, ..., A_N-1 | A_0 = ancestor), by the engine's own arithmetic; shape (N,) * (N - 1)."""
    weights = np.asarray(weights, np.float64)
    slots, table = len(weights), np.zeros((len(weights),) * (len(weights) - 1))

    def add(noise, probabilities):
        drawn = place_all(name, noise, weights, ancestor)
        assert np.all(drawn[:, 0] == ancestor)
        np.add.at(table, tuple(drawn[:, 1:].T), probabilities)

    if name == "multinomial":
        points, lengths = cut(
            lambda u: place_all(name, np.repeat(u[:, None], slots, 1), weights, ancestor)[:, -1]
        )
        combos = np.array(list(product(range(len(points)), repeat=slots - 1)), int).reshape(
            -1, slots - 1
        )
        add(np.column_stack([np.zeros(len(combos)), points[combos]]), lengths[combos].prod(axis=1))
    elif name == "systematic":
        orders = np.array(list(permutations(range(slots - 1))), np.int32)
        kind = type(CONDITIONAL[name].noise(jax.random.key(0), slots))
        still = np.arange(slots - 1, dtype=np.int32)
        points, lengths = cut(
            lambda u: place_all(name, kind(u, np.tile(still, (len(u), 1))), weights, ancestor)
        )
        for order in orders:
            add(kind(points, np.tile(order, (len(points), 1))), lengths / len(orders))
    else:
        add_killing(name, weights, ancestor, add)
    assert table.sum() == pytest.approx(1, abs=1e-13)
    return table


def add_killing(name, weights, ancestor, add):
    """One uniform turns the slots, and each slot has one that decides whether it stays and one that
    says what it takes instead."""
    slots = len(weights)
    kind = type(CONDITIONAL[name].noise(jax.random.key(0), slots))
    inner = type(CONDITIONAL[name].noise(jax.random.key(0), slots).slots)

    def noise(turn, keep, draw):
        return kind(turn, inner(keep, draw))

    # every slot is told apart by what it holds when all stay: the turn is then visible
    turns = cut(
        lambda u: place_all(
            name, noise(u, np.zeros((len(u), slots)), np.zeros((len(u), slots))), weights, ancestor
        )
    )
    # and what a slot takes instead is visible where none stays, which a uniform of 1 makes sure of
    draws, lengths = cut(
        lambda u: place_all(
            name,
            noise(
                np.full(len(u), turns[0][0]), np.ones((len(u), slots)), u[:, None].repeat(slots, 1)
            ),
            weights,
            ancestor,
        )
    )
    stays = np.minimum(weights / weights.max(), 1)
    combos = np.array(list(product(range(len(draws)), repeat=slots)))
    for turn, turned in zip(*turns, strict=True):
        for kept in product([True, False], repeat=slots):
            keep = np.where(kept, stays / 2, (1 + stays) / 2)
            if chance := np.prod(np.where(kept, stays, 1 - stays)) * turned:
                rows = len(combos)
                add(
                    noise(np.full(rows, turn), np.tile(keep, (rows, 1)), draws[combos]),
                    chance * lengths[combos].prod(axis=1),
                )


# ---- the enumeration


class Scripted(NamedTuple):
    """In the place of keys: what is to be drawn."""

    drawn: Any
    moved: Any
    first: Any

    def resampling(self, t):
        return self.drawn

    def moves(self, t):
        return self.moved

    def ancestor(self, t):
        return self.first


@pytest.fixture
def scripted(monkeypatch):
    """The engine's conditional step with scripted draws: rows of states and outcomes -> rows of
    states, and of what was weighed."""
    seen = {}

    def pick(key, log_weights):
        seen["fit"] = log_weights
        return key

    monkeypatch.setattr(
        policy, "draw_ancestors", lambda scheme, key, probabilities, first: key.at[0].set(first)
    )
    monkeypatch.setattr(conditional_smc, "pick", pick)

    def build(hmm, resampling, ancestor_sampling):
        with jax.enable_x64(True):
            model = replace(hmm.model(), move=lambda t, key, x: key)

        @jax.jit
        @jax.vmap
        def step(t, particles, log_weights, reference, drawn, moved, first):
            seen.clear()
            state = State(particles, log_weights, 0.0, t - 1)
            done, reference = advance_given(
                reference,
                model,
                state,
                Scripted(drawn, moved, first),
                resampling,
                ancestor_sampling,
            )
            return (
                done.state.particles,
                done.state.log_weights,
                done.ancestors,
                reference,
                seen.get("fit", log_weights),
            )

        def run(*arguments):
            with jax.enable_x64(True):
                return [np.asarray(x) for x in step(*map(jnp.asarray, arguments))]

        return run

    return build


class Rows(NamedTuple):
    """Distinct states of a sweep and their probabilities: paths (R, N, t + 1), log-weights (R, N),
    references (R, T + 1).

    Backward sampling asks for every generation as it was: particles (R, N, t + 1) and log-weights
    (R, N, t + 1), else empty.
    """

    paths: np.ndarray
    log_weights: np.ndarray
    reference: np.ndarray
    particles: np.ndarray
    weights: np.ndarray
    probability: np.ndarray


def merged(rows):
    kept = (
        rows.paths,
        rows.reference,
        np.exp(rows.log_weights),
        rows.particles,
        np.exp(rows.weights),
    )
    keys = np.round(np.column_stack([column.reshape(len(rows.paths), -1) for column in kept]), 11)
    _, index, inverse = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    return Rows(
        *(column[index] for column in rows[:-1]), np.bincount(inverse.ravel(), rows.probability)
    )


def transition_row(hmm, slots, law_of, kappa, ancestor_sampling, step, reference, backward):
    """The law of the next path given the reference, over `hmm.paths`."""
    states, moves = (
        len(hmm.initial),
        np.array(list(product(range(len(hmm.initial)), repeat=slots - 1)), np.int32),
    )
    others = np.array(list(product(range(slots), repeat=slots - 1)), np.int32)
    paths = np.column_stack([np.full(len(moves), reference[0]), moves])[:, :, None]
    even = np.full((len(moves), slots), -np.log(slots))
    seen = (paths, even[:, :, None]) if backward else (paths[:, :, :0], even[:, :, None][:, :, :0])
    rows = Rows(
        paths, even, np.tile(reference, (len(moves), 1)), *seen, hmm.initial[moves].prod(axis=1)
    )
    for t in range(1, hmm.steps + 1):
        ess = 1 / (np.exp(rows.log_weights) ** 2).sum(axis=1)
        due = (ess < kappa * slots) | (kappa == 1)
        parts = []
        for resample in (True, False):
            if not np.any(due == resample):
                continue
            chosen = Rows(*(column[due == resample] for column in rows))
            parts.append(
                expanded(
                    hmm, t, chosen, resample, law_of, ancestor_sampling, step, moves, others, states
                )
            )
        rows = merged(Rows(*(np.concatenate(columns) for columns in zip(*parts, strict=True))))
    if backward:
        return backward_law(hmm, rows)
    total = np.zeros(len(hmm.paths))
    codes = rows.paths @ states ** np.arange(hmm.steps + 1)[::-1]
    np.add.at(total, codes, rows.probability[:, None] * np.exp(rows.log_weights))
    return total


def expanded(hmm, t, rows, resample, law_of, ancestor_sampling, step, moves, others, states):
    """Every outcome of step t of every row."""
    count, slots, _ = rows.paths.shape
    now = rows.paths[:, :, -1].astype(np.int32)
    one = np.zeros(count, np.int32)
    script = step[resample]
    if resample:
        fit = script(
            np.full(count, t),
            now,
            rows.log_weights,
            rows.reference,
            np.zeros((count, slots), np.int32),
            now,
            one,
        )[4]
        firsts = (
            np.exp(fit - np.logaddexp.reduce(fit, axis=1, keepdims=True))
            if ancestor_sampling
            else np.eye(slots)[one]
        )
        tables = [
            [
                law_of(tuple(np.round(w, 13)), b).ravel() if p > 0 else np.zeros(len(others))
                for b, p in enumerate(first)
            ]
            for w, first in zip(np.exp(rows.log_weights), firsts, strict=True)
        ]
        chances = firsts[:, :, None] * np.array(tables)  # rows, first, others
        row, first, other = np.nonzero(chances)
        chance, drawn = (
            chances[row, first, other],
            np.column_stack([first, others[other]]).astype(np.int32),
        )
    else:
        row, first, chance = np.arange(count), one, np.ones(count)
        drawn = np.tile(np.arange(slots, dtype=np.int32), (count, 1))
    row, first, chance, drawn = (
        np.repeat(x, len(moves), axis=0) for x in (row, first, chance, drawn)
    )
    moved = np.column_stack(
        [np.zeros(len(row), np.int32), np.tile(moves, (len(row) // len(moves), 1))]
    )
    parents = np.take_along_axis(now[row], drawn, 1)
    chance = chance * hmm.transition[parents[:, 1:], moved[:, 1:]].prod(axis=1)
    keep = chance > 0
    row, first, chance, drawn, moved = (x[keep] for x in (row, first, chance, drawn, moved))
    after, log_weights, ancestors, reference, _ = script(
        np.full(len(row), t),
        now[row],
        rows.log_weights[row],
        rows.reference[row],
        drawn,
        moved,
        first.astype(np.int32),
    )
    assert np.array_equal(ancestors, drawn)
    past = np.take_along_axis(rows.paths[row], ancestors[:, :, None], 1)
    seen = rows.particles[row], rows.weights[row]
    if seen[0].size:
        seen = tuple(
            np.concatenate([old, new[:, :, None]], axis=2)
            for old, new in zip(seen, (after, log_weights), strict=True)
        )
    return Rows(
        np.concatenate([past, after[:, :, None]], axis=2),
        log_weights,
        reference,
        *seen,
        rows.probability[row] * chance,
    )


def backward_law(hmm, rows):
    """The law of a path drawn backwards, by the weights that the engine gives to a particle's
    possible pasts."""
    with jax.enable_x64(True):
        model = hmm.model()
        particles, log_weights = (
            jnp.asarray(np.moveaxis(rows.particles, 2, 1), jnp.int32),
            jnp.asarray(np.moveaxis(rows.weights, 2, 1)),
        )
        slots = particles.shape[2]

        def fits(x, w, t, slot):
            return past_log_weights(
                model, Generations(x, w, jnp.zeros((hmm.steps, slots), jnp.int32), None), t, slot
            )

        every = jax.vmap(
            jax.vmap(jax.vmap(fits, (None, None, None, 0)), (None, None, 0, None)),
            (0, 0, None, None),
        )
        log_pasts = np.asarray(
            jax.jit(every)(particles, log_weights, jnp.arange(hmm.steps), jnp.arange(slots))
        )
    with np.errstate(invalid="ignore"):  # nobody's past: a dead particle that is never drawn
        pasts = np.nan_to_num(
            np.exp(log_pasts - np.logaddexp.reduce(log_pasts, axis=3, keepdims=True))
        )
    total = np.zeros(len(hmm.paths))
    for lineage in product(range(slots), repeat=hmm.steps + 1):
        chance = rows.probability * np.exp(rows.log_weights[:, lineage[-1]])
        for t in range(hmm.steps):
            chance = chance * pasts[:, t, lineage[t + 1], lineage[t]]
        codes = (
            rows.particles[:, lineage, np.arange(hmm.steps + 1)]
            @ len(hmm.initial) ** np.arange(hmm.steps + 1)[::-1]
        )
        np.add.at(total, codes, chance)
    return total


def kernel(
    scripted, hmm, slots, name, kappa=1.0, ancestor_sampling=False, law_of=law, backward=False
):
    """The transition matrix over paths of positive mass, and their target probabilities."""
    remembered = cache(lambda weights, b: law_of(name, weights, b))
    step = {
        resample: scripted(
            hmm,
            Resampling(name if name in CONDITIONAL else "systematic", float(resample)),
            ancestor_sampling,
        )
        for resample in (True, False)
    }
    living = np.flatnonzero(hmm.masses)
    rows = [
        transition_row(
            hmm,
            slots,
            remembered,
            kappa,
            ancestor_sampling,
            step,
            np.array(hmm.paths[i], np.int32),
            backward,
        )[living]
        for i in living
    ]
    return np.array(rows), hmm.masses[living] / hmm.masses.sum()


def check_kernel(matrix, target):
    """Rows are laws, the target is invariant to 1e-12, and every start converges to it."""
    assert matrix.sum(axis=1) == pytest.approx(np.ones(len(matrix)), abs=1e-12)
    assert np.abs(target @ matrix - target).max() <= 1e-12
    after = np.linalg.matrix_power(matrix, 10_000)
    assert np.abs(after - target).max() <= 1e-9  # (the identity is invariant too)


def shortened(hmm, steps):
    return type(hmm)(hmm.initial, hmm.transition, hmm.potentials[:steps])


@pytest.mark.long(quick=1)
@pytest.mark.parametrize("ancestor_sampling", [False, True], ids=["reference", "ancestor"])
@pytest.mark.parametrize(("slots", "steps"), [(2, 2), (2, 3), (3, 2)])
@pytest.mark.parametrize("name", SCHEMES)
def test_invariance(scripted, hmm, name, slots, steps, ancestor_sampling):
    check_kernel(*kernel(scripted, shortened(hmm, steps), slots, name, 1.0, ancestor_sampling))


@pytest.mark.statistics
@pytest.mark.parametrize(
    ("name", "slots", "steps", "ancestor_sampling"),
    [*product(SCHEMES, [3], [3], [False, True]), ("systematic", 4, 2, True)],
)
def test_invariance_of_larger_populations(scripted, hmm, name, slots, steps, ancestor_sampling):
    check_kernel(*kernel(scripted, shortened(hmm, steps), slots, name, 1.0, ancestor_sampling))


@pytest.mark.statistics
@pytest.mark.parametrize("name", SCHEMES)
def test_invariance_of_the_largest_population(scripted, hmm, name):
    check_kernel(*kernel(scripted, hmm, 4, name))


@pytest.mark.slow
@pytest.mark.parametrize("ancestor_sampling", [False, True], ids=["reference", "ancestor"])
@pytest.mark.parametrize("name", SCHEMES)
def test_invariance_with_adaptive_resampling(scripted, hmm, name, ancestor_sampling):
    check_kernel(*kernel(scripted, shortened(hmm, 3), 2, name, 0.9, ancestor_sampling))


@pytest.mark.long(quick=1)
@pytest.mark.parametrize("kappa", [0.9, 1.0])
@pytest.mark.parametrize("slots", [2, 3])
@pytest.mark.parametrize("name", SCHEMES)
def test_invariance_with_backward_sampling(scripted, hmm, name, slots, kappa):
    """Also where ancestors depend on one another, and where the population was not resampled."""
    check_kernel(*kernel(scripted, shortened(hmm, 2), slots, name, kappa, backward=True))


def overwritten(permuted):
    """A planted fault: the law of an ordinary systematic draw, sorted or permuted, whose first slot
    is overwritten."""

    def faulty(name, weights, ancestor):
        slots = len(weights)
        table = np.zeros((slots,) * (slots - 1))
        edges = np.unique(np.concatenate([[0.0, 1.0], (slots * np.cumsum(weights)) % 1]))
        orders = list(permutations(range(slots))) if permuted else [tuple(range(slots))]
        for low, high in pairwise(edges):
            drawn = np.minimum(
                np.searchsorted(np.cumsum(weights), (np.arange(slots) + (low + high) / 2) / slots),
                slots - 1,
            )
            for order in orders:
                table[tuple(drawn[list(order)][1:])] += (high - low) / len(orders)
        return table

    return faulty


@pytest.mark.long(quick=1)
@pytest.mark.parametrize("permuted", [False, True], ids=["sorted", "permuted"])
def test_overwriting_a_slot_would_be_seen(scripted, hmm, permuted):
    """The permuted one is right at N = 2 and wrong by 1e-4 to 1e-3 at N = 3, which no chi-squared
    test of feasible size would see."""
    small = shortened(hmm, 2)
    matrix, target = kernel(scripted, small, 3, "overwritten", law_of=overwritten(permuted))
    assert matrix.sum(axis=1) == pytest.approx(np.ones(len(matrix)), abs=1e-12)
    assert np.abs(target @ matrix - target).max() > 1e-5
    if permuted:
        matrix, target = kernel(scripted, small, 2, "overwritten", law_of=overwritten(True))
        assert np.abs(target @ matrix - target).max() <= 1e-12


@pytest.mark.slow
def test_weighing_the_reference_after_a_strangers_particle_would_be_seen(
    scripted, hmm, monkeypatch
):
    """Planted: slot 0 is overwritten when the others have been drawn, but its potential still sees
    the parent it was drawn with."""
    honest = conditional_smc.propagate

    def faulty(model, state, keys, selection, pinned):
        parents = selection.particles.at[0].set(selection.particles[1])
        return honest(model, state, keys, selection._replace(particles=parents), pinned)

    monkeypatch.setattr(conditional_smc, "propagate", faulty)
    matrix, target = kernel(scripted, shortened(hmm, 2), 3, "multinomial")
    assert np.abs(target @ matrix - target).max() > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["open weights", "wrong step"])
def test_faulty_ancestor_weights_would_be_seen(scripted, hmm, fault, monkeypatch):
    """Planted: the population's weights are forgotten; or the reference is compared at the step
    before."""
    from motes.smc.feynman_kac import Model

    honest = Model.log_splice

    def faulty(self, t, particles, reference):
        if fault == "wrong step":
            return honest(self, jnp.maximum(t - 1, 0), particles, reference)
        return honest(self, t, particles, reference) + jnp.where(particles == 0, 0.3, 0.0)

    monkeypatch.setattr(Model, "log_splice", faulty)
    matrix, target = kernel(scripted, shortened(hmm, 2), 3, "multinomial", 1.0, True)
    assert np.abs(target @ matrix - target).max() > 1e-3
