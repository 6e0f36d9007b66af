"""Populations of which only some slots are filled."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from motes import smc
from motes.smc import Resampling, RunKeys
from motes.smc.conditional_smc import check_conditional
from motes.smc.resampling.drawing import draw_slots


@pytest.mark.parametrize(("slots", "count"), [(5, 1), (5, 2), (7, 4), (6, 6)])
def test_every_slot_is_kept_equally_often(slots, count):
    """Of 2000 draws a share has a standard error of at most 0.0112; 12 shares within 5 of them
    fail by chance once in 1e5."""
    drawn = [draw_slots(RunKeys(seed).resampling(1), slots, count) for seed in range(2000)]
    assert all(len(set(each.tolist())) == count for each in drawn)
    shares = np.bincount(np.concatenate(drawn), minlength=slots) / len(drawn)
    assert len(shares) == slots and np.abs(shares - count / slots).max() < 5 * 0.0112


def test_what_is_kept_weighs_more_and_the_rest_is_empty():
    rule = Resampling("multinomial", ess_threshold=1.0, living=lambda t, log_weights: 2)
    weights = np.log([0.1, 0.2, 0.3, 0.15, 0.25])
    chosen = rule.select(RunKeys(3), 2, np.arange(5).astype(object), weights)
    living = np.flatnonzero(chosen.log_weights > -np.inf)
    assert len(living) == 2 and np.exp(chosen.log_weights[living]) == pytest.approx(0.5)


def test_where_it_is_refused():
    with pytest.raises(ValueError, match="a slot that may be left empty cannot be a reference"):
        check_conditional(3, Resampling(living=lambda t, log_weights: 2))
    rule = Resampling(ess_threshold=1.0, living=lambda t, log_weights: 9)
    with pytest.raises(ValueError, match="the number of living particles must be"):
        rule.select(RunKeys(3), 2, np.arange(5).astype(object), np.full(5, -np.log(5)))
    model = smc.Model(
        initial=lambda key, slots: jax.random.normal(key, (slots,)),
        move=lambda t, key, x: x,
        log_potential=lambda t, before, after: -0.5 * after**2,
    )
    with pytest.raises(TypeError, match="living is for hosted populations"):
        smc.run(model, seed=0, slots=5, steps=2, resampling=rule)
