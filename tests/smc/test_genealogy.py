from __future__ import annotations

import gc
import weakref
from math import log
from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from motes.smc.genealogy import PathStore, coalescence_time, distinct_ancestors, eves, lineages

ANCESTORS = np.array([[1, 0, 3, 2], [0, 0, 2, 3], [1, 2, 2, 0]])
EQUAL = np.full(4, -log(4))


def test_lineages_by_hand() -> None:
    assert lineages(ANCESTORS).tolist() == [[1, 3, 3, 1], [0, 2, 2, 0], [1, 2, 2, 0], [0, 1, 2, 3]]
    assert lineages(np.empty((0, 3), int)).tolist() == [[0, 1, 2]]


def test_eves_of_a_generation_are_lineages_there() -> None:
    for since in range(4):
        assert eves(ANCESTORS, since=since).tolist() == lineages(ANCESTORS)[since].tolist()
    assert eves(ANCESTORS).tolist() == [1, 3, 3, 1]
    assert eves(ANCESTORS, since=9).tolist() == [0, 1, 2, 3]


def test_distinct_ancestors_are_those_of_the_living() -> None:
    assert distinct_ancestors(ANCESTORS, EQUAL).tolist() == [2, 2, 3, 4]
    assert distinct_ancestors(ANCESTORS, np.array([-np.inf, 0.0, 0.0, -np.inf])).tolist() == [
        1,
        1,
        1,
        2,
    ]
    assert distinct_ancestors(ANCESTORS, np.full(4, -np.inf)).tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("alive", "generations"),
    [([0, 1, 2, 3], None), ([1, 2], 1), ([0, 3], 2), ([2], 0), ([], None)],
)
def test_coalescence_time(alive: list[int], generations: int | None) -> None:
    log_weights = np.full(4, -np.inf)
    log_weights[alive] = 0.0
    assert coalescence_time(ANCESTORS, log_weights) == generations


def test_lineages_may_meet_in_generation_0() -> None:
    assert coalescence_time(np.array([[1, 1], [0, 1]]), np.zeros(2)) == 2


def particles_of(rng: np.random.Generator, slots: int) -> dict[str, Any]:
    objects = np.empty(slots, object)
    objects[:] = [("text", int(number)) for number in rng.integers(0, 1000, slots)]
    return {
        "token": rng.integers(0, 1000, slots),
        "state": (rng.normal(size=(slots, 2, 3)).astype(np.float32), rng.normal(size=slots)),
        "open": rng.random(slots) < 0.5,
        "object": objects,
    }


def assert_same(found: Any, expected: Any) -> None:
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for left, right in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert left.dtype == right.dtype and left.shape == right.shape and np.all(left == right)


def traced(generations: list[Any], lineage: np.ndarray) -> Any:
    return jax.tree.map(
        lambda *leaves: np.stack([leaf[i] for leaf, i in zip(leaves, lineage, strict=True)]),
        *generations,
    )


@settings(max_examples=60, deadline=None)
@given(
    slots=st.integers(1, 7),
    steps=st.integers(0, 12),
    keep=st.sampled_from([1.0, 0.9, 0.5]),
    seed=st.integers(0, 2**32),
)
def test_paths_are_those_of_brute_force(slots: int, steps: int, keep: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    alive = rng.random(slots) <= keep
    generations, ancestors = [particles_of(rng, slots)], np.empty((0, slots), int)
    store = PathStore(generations[0], alive=alive)
    for t in range(steps + 1):
        if t:
            row = rng.integers(0, slots, slots) if rng.random() < 0.7 else np.arange(slots)
            alive = alive[row] & (rng.random(slots) <= keep)
            ancestors = np.concatenate([ancestors, row[None]])
            generations.append(particles_of(rng, slots))
            store.append(row, generations[-1], alive=alive)
        lineage = lineages(ancestors)[:, alive]
        assert_same(store.paths(), traced(generations, lineage))
        assert store.generation == t and np.array_equal(store.alive, alive)
        # exactly the particles with living descendants are held
        assert store.size == distinct_ancestors(ancestors, np.where(alive, 0.0, -np.inf)).sum()


def test_the_living_are_the_children_of_the_living() -> None:
    store = PathStore(np.arange(3), alive=np.array([True, False, True]))
    store.append(np.array([0, 1, 2]), np.arange(3))
    assert store.alive.tolist() == [True, False, True]
    store.append(np.array([0, 2, 0]), 10 + np.arange(3))
    assert store.paths().tolist() == [[0, 2, 0], [0, 2, 0], [10, 11, 12]]


def test_one_array_of_objects_is_a_population() -> None:
    store = PathStore(np.array(["a", "b"], object))
    store.append(np.array([1, 1]), np.array(["c", ("d",)], object))
    assert store.paths().tolist() == [["b", "b"], ["c", ("d",)]]


def test_objects_without_descendants_are_let_go() -> None:
    class Thing: ...

    things = np.array([Thing(), Thing(), Thing()], object)
    gone, too, stays = map(weakref.ref, things)
    store = PathStore(things)
    # one free node is used again, one is not
    store.append(np.array([2, 2, 2]), np.full(3, None), alive=np.array([True, False, False]))
    del things
    gc.collect()
    assert gone() is None and too() is None and stays() is not None
    assert store.size == 2


def test_what_is_stored_is_a_copy() -> None:
    state = np.arange(2.0)
    store = PathStore(state)
    state += 1
    assert store.paths().tolist() == [[0.0, 1.0]]


@pytest.mark.parametrize("potential", [0.0, 1.0])
def test_size_grows_by_the_trunk_alone(potential: float) -> None:
    # Under equal weights the tree above the most recent common ancestor has 2 N (log N + 0.6) nodes
    # on average (Kingman's coalescent), and unequal ones make it smaller. So T + 4 N log N leaves a
    # factor of almost two, some three standard deviations, 2 N pi / sqrt(6) each, of the largest of
    # the few independent trees in 400 generations.
    slots, steps, rng = 64, 400, np.random.default_rng(1)
    store = PathStore(np.zeros(slots, int))
    ancestors = np.empty((steps, slots), int)
    for t in range(steps):
        weights = np.exp(potential * rng.normal(size=slots))
        ancestors[t] = rng.choice(slots, slots, p=weights / weights.sum())
        store.append(ancestors[t], np.full(slots, t + 1))
        assert store.size <= t + 1 + 4 * slots * log(slots)
    assert store.size == distinct_ancestors(ancestors, np.zeros(slots)).sum() < slots * steps / 15
    assert store.capacity <= 2 * (steps + 4 * slots * log(slots))
    assert np.all(store.paths() == np.arange(steps + 1)[:, None])


@pytest.mark.parametrize(
    ("ancestors", "particles", "alive"),
    [
        ([0, 2], np.zeros(2), None),
        ([0, -1], np.zeros(2), None),
        ([0, 1, 1], np.zeros(2), None),
        ([0.0, 1.0], np.zeros(2), None),
        ([0, 1], np.zeros(3), None),
        ([0, 1], np.zeros((2, 1)), None),
        ([0, 1], np.zeros(2, int), None),
        ([0, 1], [np.zeros(2)], None),
        ([0, 1], np.zeros(2), [1, 0]),
        ([0, 1], np.zeros(2), [True]),
        ([0, 1], np.zeros(2), [True, True]),  # the second one's parent is dead
    ],
)
def test_what_does_not_fit_is_refused_and_changes_nothing(
    ancestors: list[int], particles: Any, alive: Any
) -> None:
    store = PathStore(np.zeros(2), alive=np.array([True, False]))
    with pytest.raises(ValueError, match="must be|parent is dead"):
        store.append(np.array(ancestors), particles, alive=alive)
    assert store.size == 1 and store.generation == 0 and store.paths().tolist() == [[0.0]]


@pytest.mark.parametrize("particles", [[np.zeros(2), np.zeros(3)], [np.zeros(2), 1.0], [], 1.0])
def test_a_population_has_one_leading_axis(particles: Any) -> None:
    with pytest.raises(ValueError, match="leading axis"):
        PathStore(particles)
