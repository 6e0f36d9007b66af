"""Random keys that are cheap: 64-bit numbers, folded by a hash, in the place of JAX keys. On the
tests' path: see pyproject.toml.

A sampler that is run thousands of times on a table spends nearly all of its time on JAX's dispatch.
Here a key is one uint64, a key for a part of it a hash of both (the finaliser of SplitMix64), and a
uniform number a hash of key and token. What the samplers rely on is as with the real keys: a draw
is a function of its place alone, different places draw independently, and who uses a key twice
draws twice the same.
"""

from __future__ import annotations

import sys

import numpy as np

from motes.models import randomness
from motes.samplers import SAMPLERS
from motes.smc import RunKeys, keys


def install(monkeypatch) -> None:
    """Let everything that takes real keys take hashed ones as well: where a function was imported,
    not where it lives."""
    assert SAMPLERS  # which imports all of them
    users = [
        module
        for name, module in sys.modules.items()
        if name.startswith("motes.") and module is not randomness
    ]
    for module in users:
        if module.__name__.startswith("motes.smc"):
            continue
        for name, double in (("subkeys", subkeys), ("SlotUniforms", slot_uniforms)):
            if name in vars(module):
                monkeypatch.setattr(module, name, double)


WORD = (1 << 64) - 1


def folded_word(key: int, number: int) -> int:
    """As `folded`, of one key and one number: in Python ten times as fast as by arrays of one."""
    z = ((key ^ (number * 0xD6E8FEB86659FD93 & WORD)) + 0x9E3779B97F4A7C15) & WORD
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & WORD
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & WORD
    return z ^ (z >> 31)


def folded(key: np.ndarray, number) -> np.ndarray:
    """A key made of a key and a number; both arrays, of shapes that fit."""
    z = (key ^ (np.asarray(number, np.uint64) * np.uint64(0xD6E8FEB86659FD93))) + np.uint64(
        0x9E3779B97F4A7C15
    )
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def subkeys(own, part, chosen=None):
    """As `motes.smc.subkeys`."""
    if not is_hashed(own):
        return keys.subkeys(own, part, chosen)
    own = own if chosen is None else own[np.asarray(chosen, np.intp)]
    return folded(own, np.asarray(part, np.uint64) + np.uint64(keys._SUB))


def slot_uniforms(own, rows):
    """As `motes.models.randomness.SlotUniforms`."""
    return HashedUniforms(own, rows) if is_hashed(own) else randomness.SlotUniforms(own, rows)


class HashedUniforms:
    def __init__(self, own, rows):
        assert own.shape == (rows,)
        self._keys = own

    def at(self, token):
        return (folded(self._keys, token) >> np.uint64(11)).astype(np.float64) * 2.0**-53


class HashedKeys(RunKeys):
    """Hashed keys of a run; the schemes of resampling are given such words in the place of key
    data."""

    def _chosen(self, stream, generation, slots, chosen):
        return folded(self._folded(stream, generation), np.asarray(chosen, np.uint64))

    def _single(self, stream, generation):
        word = folded_word(int(self._folded(stream, generation)[0]), 0)
        return np.array([word], np.uint64).view(np.uint32)

    def _folded(self, stream, generation):
        seed, place = self._place(stream, generation)
        key = int(seed)
        for part in place.tolist():
            key = folded_word(key, part)
        return np.array([key], np.uint64)


def is_hashed(own) -> bool:
    return isinstance(own, np.ndarray) and own.dtype == np.uint64
