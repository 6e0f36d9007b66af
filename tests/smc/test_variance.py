from __future__ import annotations

from math import isnan, sqrt

import numpy as np
import pytest

from motes.smc import History
from motes.smc.variance import eves, living_eves, standard_error


def history_of(ancestors: list[list[int]], resampled: list[bool]) -> History:
    steps, slots = np.shape(ancestors)
    return History(np.full(steps, slots / 2), np.array(resampled), np.zeros(steps), np.array(ancestors), np.zeros((steps, slots)))


def test_eves_follow_ancestors_from_the_first_step() -> None:
    history = history_of([[1, 0, 3, 2], [0, 0, 2, 3], [1, 2, 2, 0]], [True, True, True])
    # before the first step every slot is at the root, so the first row says nothing
    assert eves(history).tolist() == [0, 2, 2, 0]


def test_eves_are_counted_where_weight_is_left() -> None:
    history = history_of([[0, 1, 2], [0, 1, 1]], [False, True])
    assert living_eves(history, np.log([0.5, 0.25, 0.25])) == 2
    with np.errstate(divide="ignore"):
        assert living_eves(history, np.log([0.0, 0.5, 0.5])) == 1


def test_without_resampling_it_is_the_delta_method() -> None:
    weights, values = np.array([0.5, 0.3, 0.2]), np.array([1.0, 0.0, 4.0])
    by_hand = 3 / 2 * sum(weight**2 * (value - 1.3) ** 2 for weight, value in zip(weights, values, strict=True))
    assert standard_error(history_of([[0, 1, 2]] * 4, [False] * 4), np.log(weights), values) == pytest.approx(sqrt(by_hand), rel=1e-12)


def test_relatives_are_added_before_they_are_squared() -> None:
    weights, values = np.array([0.5, 0.3, 0.2]), np.array([1.0, 0.0, 4.0])
    history = history_of([[0, 1, 2], [0, 1, 2], [0, 0, 2]], [True, False, True])
    terms = weights * (values - 1.3)
    by_hand = (3 / 2) ** 2 * ((terms[0] + terms[1]) ** 2 + terms[2] ** 2)  # one resampling event: that before the first step is none
    assert standard_error(history, np.log(weights), values) == pytest.approx(sqrt(by_hand), rel=1e-12)


@pytest.mark.parametrize("ancestors", [[[0]], [[0, 1, 2], [1, 1, 1]]])
def test_undefined_with_one_eve(ancestors: list[list[int]]) -> None:
    slots = len(ancestors[0])
    assert isnan(standard_error(history_of(ancestors, [False] * len(ancestors)), np.full(slots, -np.log(slots)), np.arange(slots)))


TRANSITION, POTENTIAL = np.array([[0.8, 0.2], [0.3, 0.7]]), np.array([0.9, 0.25])


def bootstrap_filter(
    rng: np.random.Generator, slots: int, steps: int, threshold: float
) -> tuple[History, np.ndarray, np.ndarray, np.ndarray]:
    """A filter with multinomial resampling on a hidden Markov chain of two states: history, log-weights, first and last states."""
    state = rng.integers(0, 2, slots)
    first, weights = state, POTENTIAL[state] / POTENTIAL[state].sum()
    ancestors, resampled = [np.arange(slots)], [False]
    for _ in range(1, steps):
        resampled.append(1 / (weights @ weights) < threshold * slots)
        ancestors.append(rng.choice(slots, slots, p=weights) if resampled[-1] else np.arange(slots))
        first, weights = first[ancestors[-1]], np.full(slots, 1 / slots) if resampled[-1] else weights
        state = (rng.random(slots) < TRANSITION[state[ancestors[-1]], 1]).astype(int)
        weights = weights * POTENTIAL[state]
        weights /= weights.sum()
    history = History(np.zeros(steps), np.array(resampled), np.zeros(steps), np.array(ancestors), np.zeros((steps, slots)))
    return history, np.log(weights), first, state


@pytest.mark.parametrize("threshold", [1.0, 0.6])
def test_agrees_with_the_variance_across_runs(threshold: float) -> None:
    # Relative error of the variance across 1500 runs: sqrt(2 / 1500) = 0.037, normal; 4 of these are exceeded
    # once in 16000. The estimator's own bias is O(1/N): steps / N is allowed for it.
    slots, steps, runs = 200, 5, 1500
    rng = np.random.default_rng(7)
    estimates, squares = np.zeros((2, runs)), np.zeros((2, runs))
    for run in range(runs):
        history, log_weights, *states = bootstrap_filter(rng, slots, steps, threshold)
        for i, state in enumerate(states):  # the first state needs the genealogy most, the last the least
            values = 1.0 - state  # of mean 0.9 or so: only deviations are small
            estimates[i, run] = np.exp(log_weights) @ values
            squares[i, run] = standard_error(history, log_weights, values) ** 2
    ratio = squares.mean(axis=1) / estimates.var(axis=1)
    assert np.all(np.abs(ratio - 1) < 4 * sqrt(2 / runs) + steps / slots), ratio
