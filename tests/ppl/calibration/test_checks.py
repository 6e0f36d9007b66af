"""What `check` says of fits made by hand, and that predictive p-values are what they are called."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import kstest

from motes.ppl.calibration import Calibration, Labels, Priors

CHAINS, DRAWS = 4, 500


def healthy(seed: int = 0, *, steps: int = 200, slope: float = 1.0, right=None) -> Calibration:
    """Independent draws close to intercept 0, this slope, no effects, error rates of 0.05; labels
    drawn with just that."""
    random = np.random.default_rng(seed)
    near = {
        "intercept": 0.0,
        "slope": slope,
        "sigma_depth": 0.1,
        "sigma_problem": 0.1,
        "false_positive": 0.05,
        "false_negative": 0.05,
    }
    draws = {
        name: value + 1e-6 * random.normal(size=(CHAINS, DRAWS)) for name, value in near.items()
    }
    draws |= {
        f"{name}_effect": 1e-6 * random.normal(size=(CHAINS, DRAWS, size))
        for name, size in (("depth", 2), ("problem", 3))
    }
    log_odds = random.normal(0, 2, steps)
    r = 0.05 + 0.9 / (1 + np.exp(-log_odds))
    labels = Labels(
        log_odds=log_odds,
        depth=random.integers(0, 2, steps),
        problem=random.integers(0, 3, steps),
        right=random.random(steps) < r if right is None else right(log_odds),
        depths=np.array([1, 2]),
        questions=("a", "b", "c"),
    )
    stats = {"diverging": np.zeros((CHAINS, DRAWS), bool)}
    return Calibration(
        prm="by hand", labels=labels, priors=Priors(), draws=draws, stats=stats, seed=seed, warmup=0
    )


def with_draws(calibration: Calibration, **changes: np.ndarray) -> Calibration:
    return replace(calibration, draws={**calibration.draws, **changes})


def test_nothing_is_wrong_with_a_healthy_fit():
    calibration = healthy()
    assert calibration.check() == []
    assert {*calibration.mixing} == {
        *list(calibration.draws)[:6],
        "depth_effect 1",
        "depth_effect 2",
    }


def test_chains_that_disagree():
    calibration = healthy()
    slope = calibration.draws["slope"] + 2e-6 * (np.arange(CHAINS) == 2)[:, None]
    [apart, scarce] = with_draws(calibration, slope=slope).check()
    assert apart.startswith(
        "the chains disagree (R-hat above 1.01, more warm-up or more draws may help) on slope (1."
    )
    assert scarce.startswith("too few draws are effective (under 400: ask for more) of slope (")


def test_draws_that_crawl():
    calibration = healthy()
    intercept = np.cumsum(np.random.default_rng(0).normal(size=(CHAINS, DRAWS)), axis=1)
    told = with_draws(calibration, intercept=1e-6 * intercept).check()
    assert any(
        "too few draws are effective" in sentence and "intercept" in sentence for sentence in told
    )


def test_one_chain_and_draws_that_stand_still():
    calibration = healthy()
    one = replace(
        calibration, draws={name: values[:1] for name, values in calibration.draws.items()}
    )
    assert one.check() == [
        "there is one chain, so that no R-hat can tell whether it has found the posterior"
    ]
    still = with_draws(calibration, slope=np.ones((CHAINS, DRAWS)))
    assert [sentence.split(" (")[0] for sentence in still.check()] == [
        "the chains disagree",
        "too few draws are effective",
    ]


def test_divergences():
    diverging = np.zeros((CHAINS, DRAWS), bool)
    diverging[1, 3] = diverging[2, 7] = True
    [sentence] = replace(healthy(), stats={"diverging": diverging}).check()
    assert sentence == (
        "2 of 2000 draws diverged, so that a part of the posterior may be missing: try "
        "narrower priors"
    )


@pytest.mark.parametrize("right", [True, False])
def test_labels_of_one_kind(right):
    told = healthy(right=lambda log_odds: np.full(len(log_odds), right)).check()
    assert told[-1] == (
        f"every one of the 200 labelled steps is {'right' if right else 'wrong'}: of the "
        "other kind only the priors speak"
    )


def test_a_misfit_by_score():
    """A reward model that is right in the middle and wrong at both ends: no logistic curve does
    that."""
    told = healthy(right=lambda log_odds: np.abs(log_odds) < 1).check()
    assert (
        "the model does not fit the shares of right steps by score (posterior predictive p-value "
        "0.000)" in told
    )


def test_shares(make_calibration):
    by_depth = make_calibration().predictive["depth"]
    assert by_depth.groups.tolist() == [1.0, 2.0, 4.0]
    assert by_depth.counts.tolist() == [4, 3, 2]
    np.testing.assert_allclose(by_depth.observed, [2 / 4, 2 / 3, 1 / 2])
    assert by_depth.replicated.shape == (12, 3)
    assert make_calibration().predictive["score"].counts.tolist() == [9]
    by_score = healthy().predictive["score"]
    assert by_score.counts.tolist() == [20] * 10
    assert np.all(np.diff(by_score.groups) > 0)
    # the mean over 1,000 replicates of shares whose law is known; 20 Bernoullis each: 5 standard
    # errors are 0.018
    order = np.sort(healthy().labels.log_odds).reshape(10, 20)
    np.testing.assert_allclose(
        by_score.replicated.mean(axis=0),
        (0.05 + 0.9 / (1 + np.exp(-order))).mean(axis=1),
        atol=0.018,
    )


@pytest.mark.slow
def test_p_values_are_uniform_where_parameters_are_known():
    """Kolmogorov and Smirnov's test at level 1e-4 for each family, over 100 data sets; the draws
    are all equal, so that nothing is fitted.

    A slope of 2 in the place of 1 is seen.
    """
    found, steep = (
        [healthy(seed, slope=slope).predictive for seed in range(100)] for slope in (1.0, 2.0)
    )
    for family in ("score", "depth"):
        assert kstest([one[family].p for one in found], "uniform").pvalue > 1e-4
    assert kstest([one["score"].p for one in steep], "uniform").pvalue < 1e-4
