"""Averages over problems and the tokens that an accuracy needs, against quadrature and by hand."""

from __future__ import annotations

from math import inf, isnan, nan

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import expit
from scipy.stats import norm

from motes.evaluation import Priors, Ratio, ScalingFit
from motes.evaluation.scaling import POPULATION, accuracy, averaged, needed


@pytest.mark.parametrize(
    ("spread", "error"), [(0.0, 1e-12), (0.7, 1e-9), (2.0, 1e-6), (5.0, 1e-3), (10.0, 1e-2)]
)
def test_averages_over_problems(spread, error):
    for eta in (-6.0, -0.3, 2.0):
        exact = quad(
            lambda z, eta=eta: expit(eta + spread * z) * norm.pdf(z),
            -12,
            12,
            points=[-eta / max(spread, 1)],
            limit=500,
        )[0]
        assert averaged(eta, spread) == pytest.approx(exact, abs=error)


def test_tokens_needed_invert_the_curve():
    random = np.random.default_rng(0)
    level, slope, ceiling, spread = (
        random.normal(size=500),
        random.uniform(0.05, 1, 500),
        random.uniform(0.5, 1, 500),
        random.uniform(0, 3, 500),
    )
    x = needed(0.45, level, slope, ceiling, spread, -50.0)
    assert np.isfinite(x).all() and (x > -50).mean() > 0.9
    np.testing.assert_allclose(accuracy(level, slope, ceiling, spread, x)[x > -50], 0.45, atol=1e-9)


def test_tokens_needed_at_the_edges():
    one = np.ones(6)
    slope, ceiling, level = (
        np.array([1, 1, 0, 0, -1, -1.0]),
        np.array([0.4, 1, 1, 1, 1, 1.0]),
        np.array([9, 9, -1, 1, -3, 0.5]),
    )
    # above its ceiling; there at the least budget already; flat below and above; falling from below
    # and from above
    np.testing.assert_array_equal(
        needed(0.5, level, slope, ceiling, 0.5 * one, -1.0), [inf, -1, inf, -1, inf, -1]
    )


def fit_of(a: dict, b: dict, draws: int = 4, tokens=(64, 256, 1024)) -> ScalingFit:
    """A fit made by hand: numbers, or sequences of one a draw, for samplers a and b; problems have
    a spread of 1."""
    shape = (1, draws)
    values = {name: np.zeros(shape) for name in POPULATION} | {
        "sigma_difficulty": np.full(shape, 0.6),
        "sigma_affinity": np.full(shape, 0.8),
    }
    for name in ("level", "slope", "ceiling"):
        values[name] = np.stack(
            [np.broadcast_to(one[name], shape) for one in (a, b)], axis=-1
        ).astype(float)
    stats = {"diverging": np.zeros(shape, bool)}
    arms = ("a",) * len(tokens) + ("b",) * len(tokens)
    right = np.arange(10 * len(arms)).reshape(10, -1) % 2 > 0
    return ScalingFit(
        samplers=("a", "b"),
        arms=arms,
        tokens=np.array([*tokens, *tokens], float),
        right=right,
        centre=8.0,
        priors=Priors(),
        draws=values,
        stats=stats,
        seed=0,
        warmup=1,
    )


def test_a_curve_that_is_known():
    fit = fit_of(
        {"level": -0.5, "slope": 0.4, "ceiling": 0.9},
        {"level": [0, 1, 2, 3], "slope": 0, "ceiling": 1},
    )
    curve = fit.curve("a", [256, 1024])
    exact = [
        0.9 * quad(lambda z, eta=eta: expit(eta + z) * norm.pdf(z), -12, 12)[0]
        for eta in (-0.5, 0.3)
    ]
    for values in (curve.median, curve.low, curve.high):
        np.testing.assert_allclose(values, exact, atol=1e-8)
    wide, narrow = fit.curve("b", 256), fit.curve("b", 256, probability=0.5)
    assert wide.low < narrow.low < narrow.median == wide.median < narrow.high < wide.high


def test_a_ratio_that_is_known():
    fit = fit_of(
        {"level": 0.4, "slope": 0.4, "ceiling": 0.9}, {"level": -0.4, "slope": 0.4, "ceiling": 0.9}
    )  # two doublings apart
    ratio = fit.ratio("a", "b")
    np.testing.assert_allclose(ratio.draws, 4, rtol=1e-9)
    assert ratio.interval() == (
        pytest.approx(4),
        pytest.approx(4),
    ) and ratio.median == pytest.approx(4)
    assert str(ratio).startswith(
        f"a needs 4 times fewer tokens than b for an accuracy of {ratio.accuracy:.3f} (95% "
        "credible interval 4 to 4)"
    )
    np.testing.assert_allclose(fit.ratio("b", "a").draws, 1 / 4, rtol=1e-9)
    assert ratio.accuracy == fit.ratio("b", "a").accuracy
    ends = [float(fit.curve(name, at).median[0]) for name, at in (("a", 64), ("b", 1024))]
    # what both take lies between a's worst and b's best
    assert ratio.accuracy == pytest.approx(sum(ends) / 2)
    np.testing.assert_allclose(fit.ratio("a", "a").draws, 1)


def test_a_sampler_that_never_gets_there_says_so():
    fit = fit_of(
        {"level": 0.4, "slope": 0.4, "ceiling": 0.9},
        {"level": -0.4, "slope": [0.4, 0.4, 0, -0.1], "ceiling": [0.9, 0.3, 0.9, 0.9]},
    )
    ratio = fit.ratio("a", "b", accuracy=0.5)
    np.testing.assert_allclose(ratio.draws, [[4, inf, inf, inf]])
    assert ratio.never == {"a": 0.0, "b": 0.75, "both": 0.0} and ratio.median == inf
    assert ratio.interval() == (pytest.approx(4), inf)
    assert "probability 0.75 that only b never gets there" in str(
        ratio
    ) and "to infinitely many)" in str(ratio)
    neither = fit.ratio("a", "b", accuracy=0.95)
    assert (
        isnan(neither.median)
        and neither.never["both"] == 1
        and "probability 1.00 that neither ever gets there" in str(neither)
    )


def test_what_lies_outside_the_measured_range_is_told():
    lengths = {
        "a": "a",
        "b": "b",
        "accuracy": 0.5,
        "measured_a": (64.0, 1024.0),
        "measured_b": (64.0, 1024.0),
    }
    ratio = Ratio(
        tokens_a=np.array([[64.0, 100, 100, nan]])[:, :3],
        tokens_b=np.array([[100.0, 2000, inf]]),
        **lengths,
    )
    assert ratio.extrapolated == pytest.approx(1 / 3) and ratio.at_least_budget == pytest.approx(
        1 / 3
    )
    assert "probability 0.33 that one of them gets there beyond what was measured" in str(ratio)


def test_samplers_that_share_no_accuracy_are_compared_at_the_best_of_the_worse():
    fit = fit_of(
        {"level": 3, "slope": 0.4, "ceiling": 0.9}, {"level": -3, "slope": 0.4, "ceiling": 0.9}
    )
    ratio = fit.ratio("a", "b")
    assert ratio.accuracy == pytest.approx(fit.curve("b", 1024).median[0])
    assert ratio.at_least_budget == 1 and ratio.median == pytest.approx(16)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda fit: fit.ratio("a", "c"), "sampler must be one of 'a', 'b', not 'c'"),
        (lambda fit: fit.ratio("a", "b", accuracy=1), "accuracy must lie between 0 and 1, not 1"),
        (lambda fit: fit.curve("c", 3), "sampler must be one of 'a', 'b', not 'c'"),
        (
            lambda fit: fit.curve("a", [3, 0]),
            r"tokens must be one or more numbers above 0, not \[3, 0\]",
        ),
        (
            lambda fit: fit.curve("a", 3, probability=95),
            "probability must lie between 0 and 1, not 95",
        ),
        (
            lambda fit: fit.ratio("a", "b").interval(0),
            "probability must lie between 0 and 1, not 0",
        ),
        (lambda fit: Priors(tau_slope=0), "tau_slope must be a finite number above 0, not 0"),
        (
            lambda fit: Priors(mu_ceiling=2),
            "mu_ceiling must be a mean and a standard deviation, not 2",
        ),
        (
            lambda fit: Priors(mu_ceiling=(2.0, -1.0)),
            "the deviation of mu_ceiling must be a finite number above 0, not -1.0",
        ),
    ],
)
def test_bad_arguments(call, message):
    same = {"level": 0, "slope": 0.1, "ceiling": 1}
    with pytest.raises((TypeError, ValueError), match=message):
        call(fit_of(same, same))
