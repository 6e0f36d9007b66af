from __future__ import annotations

from math import inf, log

import numpy as np
import pytest

from motes.ppl.calibration import bins, brier, calibration_error, log_loss

P = np.array([0.05, 0.15, 0.1, 0.95, 1.0])
Y = np.array([False, True, False, True, False])


def test_arithmetic():
    assert brier(P, Y) == pytest.approx((0.05**2 + 0.85**2 + 0.1**2 + 0.05**2 + 1) / 5)
    log_odds = np.log(P[:4] / (1 - P[:4]))
    assert log_loss(log_odds, Y[:4]) == pytest.approx(
        -(log(0.95) + log(0.15) + log(0.9) + log(0.95)) / 4
    )
    assert [tuple(one) for one in bins(P, Y)] == [
        (0.0, 0.1, 1, pytest.approx(0.05), 0.0),
        (0.1, 0.2, 2, pytest.approx(0.125), 0.5),
        (0.9, 1.0, 2, pytest.approx(0.975), 0.5),
    ]
    assert calibration_error(P, Y) == pytest.approx((0.05 + 2 * 0.375 + 2 * 0.475) / 5)
    assert calibration_error(P, Y, 1) == pytest.approx(abs(P.mean() - 0.4))


def test_certainties():
    assert log_loss(np.array([inf, -inf]), np.array([True, False])) == 0
    assert log_loss(np.array([inf, -inf]), np.array([True, True])) == inf
    assert log_loss(np.array([800.0]), np.array([False])) == 800


def test_the_truth_has_the_least_loss():
    """Log-loss and Brier score are proper: exactly, on the expectation over both outcomes."""
    truth, grid = 0.3, np.linspace(0.01, 0.99, 99)
    outcomes, weights = np.array([True, False]), np.array([truth, 1 - truth])
    losses = [
        sum(
            w * log_loss(np.array([log(p / (1 - p))]), np.array([y]))
            for y, w in zip(outcomes, weights, strict=True)
        )
        for p in grid
    ]
    scores = [
        sum(w * brier(np.array([p]), np.array([y])) for y, w in zip(outcomes, weights, strict=True))
        for p in grid
    ]
    assert grid[np.argmin(losses)] == grid[np.argmin(scores)] == pytest.approx(truth)
