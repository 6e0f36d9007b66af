import jax
import numpy as np
import pytest

from motes.smc import RunKeys, subkeys
from motes.smc.keys import _slot_keys

SLOTS = 5


def data(keys) -> np.ndarray:
    return np.asarray(jax.random.key_data(keys))


def all_moves(keys: RunKeys, generation: int) -> np.ndarray:
    return data(keys.moves(generation, SLOTS, range(SLOTS)))


def test_keys_are_those_of_one_jax_key():
    key = jax.random.key(7)
    for part in (0, 0, 0, 3, 4):  # moves, run, iteration, generation, slot
        key = jax.random.fold_in(key, part)
    assert np.array_equal(all_moves(RunKeys(7), 3)[4], data(key))


def test_no_two_places_share_a_key():
    keys = [
        *(
            row
            for seed in (0, 1, 2**32 - 1)
            for generation in (1, 2)
            for row in all_moves(RunKeys(seed), generation)
        ),
        *(
            row
            for run, iteration in ((1, 0), (0, 1), (1, 1))
            for row in all_moves(RunKeys(0, run, iteration), 1)
        ),
        *(RunKeys(seed).resampling(generation) for seed in (0, 1) for generation in (1, 2)),
    ]
    assert len({tuple(key.tolist()) for key in keys}) == len(keys) == 30 + 15 + 4


def test_a_slot_has_its_key_whoever_else_moves():
    keys = RunKeys(3)
    assert np.array_equal(data(keys.moves(2, SLOTS, [1, 4])), all_moves(keys, 2)[[1, 4]])


def test_chains_have_keys_of_their_own():
    of_chains = [RunKeys(3, run=2, iteration=1, chain=chain) for chain in (None, 0, 1, 2)]
    data = [jax.random.key_data(keys.moves(4, 5, range(5))) for keys in of_chains]
    assert len({row.tobytes() for keys in data for row in np.asarray(keys)}) == 20
    assert len({bytes(keys.resampling(4)) for keys in of_chains}) == 4


@pytest.mark.parametrize("count", [1, 3, 64, 65, 200])
def test_parts_of_keys_are_folds_with_numbers_that_no_token_has(count):
    keys = RunKeys(1).moves(2, count, range(count))
    expected = [
        jax.random.key_data(jax.random.fold_in(key, np.uint32(2**31 + 7))) for key in keys[:5]
    ]
    parts = jax.random.key_data(subkeys(keys, 7))
    assert parts.shape == (count, 2) and np.array_equal(parts[:5], np.stack(expected))
    chosen = [count - 1, 0, 0]
    several = jax.random.key_data(subkeys(keys, [7, 7, 8], chosen))
    assert np.array_equal(several[:2], parts[np.array(chosen[:2])]) and not np.array_equal(
        several[1], several[2]
    )
    assert len(subkeys(keys, [], [])) == 0


def test_user_settings_change_nothing():
    expected = all_moves(RunKeys(11), 1)
    with jax.enable_x64(True), jax.default_prng_impl("rbg"):
        assert np.array_equal(all_moves(RunKeys(11), 1), expected)


def test_generations_and_sizes_of_batches_do_not_recompile():
    keys = RunKeys(0)
    keys.moves(1, 9, range(9))
    compiled = _slot_keys._cache_size()
    for generation in range(2, 9):
        keys.moves(generation, 9, range(generation))
    assert _slot_keys._cache_size() == compiled


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_seeds_out_of_range(seed):
    with pytest.raises(ValueError, match=r"seed must lie in \[0, 2\*\*32\)"):
        RunKeys(seed)


@pytest.mark.parametrize("seed", [True, 1.0, "1", None])
def test_seeds_that_are_not_integers(seed):
    with pytest.raises(TypeError, match="seed must be an integer"):
        RunKeys(seed)


def test_numpy_integers_are_seeds():
    assert np.array_equal(all_moves(RunKeys(np.int64(5)), 1), all_moves(RunKeys(5), 1))
