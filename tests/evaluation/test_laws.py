"""The scaled beta law agrees with closed forms, and its intervals cover on beta questions."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy.special import betaln
from scipy.stats import betabinom, binom

from motes.evaluation.laws import (
    coverage_law_of_arm,
    coverage_law_of_draws,
    fit_coverage_law,
    plot_coverage_law,
)
from motes.evaluation.laws.beta_coverage import CoverageLaw
from motes.evaluation.laws.rate_grid import COARSE, RateGrid
from motes.ppl.decisions import pool_of
from motes.samplers import MajorityVote, ParticleFilter

A, B, C = COARSE.a, COARSE.b, COARSE.c
REPEATS = 60
# an interval of exact 95% misses 9 or more of 60 times with probability 0.003
MOST_MISSED = 8


def at_cell(i, j, c=-1):
    """The law that is sure of one cell."""
    weights = np.zeros(COARSE.shape)
    weights[i, j, c] = 1.0
    return CoverageLaw(COARSE, weights, np.eye(9, dtype=np.int64)[0])


def simulated(generator, problems, runs, a, b, scale):
    return generator.binomial(runs, scale * generator.beta(a, b, problems))


@pytest.mark.parametrize("k", [1, 7, 100, 10_000, 1_000_000])
def test_coverage_is_the_closed_form_of_a_beta(k):
    for i, j in ((0, 0), (6, 12), (12, 5), (23, 0), (0, 23), (23, 23)):
        exact = 1 - np.exp(betaln(A[i], B[j] + k) - betaln(A[i], B[j]))
        assert at_cell(i, j).coverage(k).median == pytest.approx(exact, abs=1e-8)


def test_a_scale_bounds_the_rate_and_keeps_the_exponent():
    law = at_cell(8, 10, 4)
    x = np.random.default_rng(0).beta(A[8], B[10], 400_000)
    for k in (1, 10, 300):
        draws = 1 - (1 - C[4] * x) ** k
        # five standard errors: false-alarm rate 6e-7 each
        error = 5 * draws.std() / np.sqrt(len(draws))
        assert law.coverage(k).median == pytest.approx(draws.mean(), abs=error)
    far = [1 - law.coverage(k).median for k in (500, 1000)]
    assert np.log2(far[0] / far[1]) == pytest.approx(A[8], rel=0.05)


def test_the_posterior_is_that_of_the_beta_binomial():
    counts, runs = [0, 0, 1, 3, 8, 2], 8
    law = fit_coverage_law(counts, runs)
    found = COARSE.log_law(runs)[:, :, -1]
    for right in range(runs + 1):
        expected = np.array([[betabinom.logpmf(right, runs, a, b) for b in B] for a in A])
        np.testing.assert_allclose(found[:, :, right], expected, atol=1e-7)
    grid = law.grid
    one = (law.weights / grid.volumes)[:, :, -1]
    if grid.c[-1] == 1.0:
        expected = np.array(
            [[betabinom.pmf(counts, runs, a, b).prod() for b in grid.b] for a in grid.a]
        )
        np.testing.assert_allclose(one / one.sum(), expected / expected.sum(), rtol=1e-6)


def test_the_grid_is_fine_where_the_posterior_is():
    """Quantiles of the exponent agree with those of a grid of 120 points along a.

    The law's own grid has 16: a step of about 8%, of which interpolation leaves less than half.
    """
    counts = simulated(np.random.default_rng(12), 300, 16, 0.8, 2.0, 1.0)
    law = fit_coverage_law(counts, 16)
    fine = RateGrid(np.geomspace(0.3, 3.0, 120), np.geomspace(0.3, 60, 50), np.linspace(0.1, 1, 40))
    logs = fine.log_law(16) @ law.counts
    marginal = (np.exp(logs - logs.max()) * fine.volumes).sum(axis=(1, 2))
    total = (np.cumsum(marginal) - marginal / 2) / marginal.sum()
    low, high = np.interp([0.025, 0.975], total, fine.a)
    assert law.exponent.low == pytest.approx(low, rel=0.03)
    assert law.exponent.high == pytest.approx(high, rel=0.03)
    assert law.exponent.low < law.exponent.median < law.exponent.high


@pytest.mark.long(quick=1)
@pytest.mark.parametrize(("a", "b", "scale"), [(0.5, 2.0, 1.0), (1.2, 1.5, 0.6)])
def test_intervals_cover_on_beta_questions(a, b, scale):
    generator = np.random.default_rng(2)
    truth = np.mean(1 - (1 - scale * generator.beta(a, b, 1_000_000)) ** 160)
    missed = {"exponent": 0, "coverage": 0}
    for _ in range(REPEATS):
        law = fit_coverage_law(simulated(generator, 150, 16, a, b, scale), 16)
        far = law.coverage(160)
        missed["exponent"] += not law.exponent.low <= a <= law.exponent.high
        missed["coverage"] += not far.low <= truth <= far.high
    assert all(count <= MOST_MISSED for count in missed.values()), missed


def test_many_problems_find_the_exponent():
    right = simulated(np.random.default_rng(4), 5000, 32, 0.4, 2.0, 1.0)
    assert fit_coverage_law(right, 32).exponent.median == pytest.approx(0.4, rel=0.25)


def test_equal_rates_are_told_from_spread_ones():
    """16 runs on each of 200 problems of one rate: hardly any would fail all of 160 runs."""
    right = binom.rvs(16, 0.2, size=200, random_state=1)
    assert fit_coverage_law(right, 16).coverage(160).low > 0.98


def test_draws_of_one_run_are_runs_of_their_own(run):
    evaluation = run(samplers={"vote": MajorityVote(samples=5), "filter": ParticleFilter()})
    counts = []
    for record in evaluation.records:
        if record.arm == 0:
            pool = pool_of(record)
            counts.append(sum(answer in record.right_answers for answer in pool.answers))
    law = coverage_law_of_draws(evaluation)
    np.testing.assert_array_equal(law.weights, fit_coverage_law(counts, 5).weights)
    with pytest.raises(ValueError, match="a law of draws needs independent draws from the prior"):
        coverage_law_of_draws(evaluation, 1)
    with pytest.raises(ValueError, match="arm must be at most 1"):
        coverage_law_of_draws(evaluation, 2)


def test_an_arm_has_the_law_of_its_counts(run):
    evaluation = run(repeats=2)
    law = coverage_law_of_arm(evaluation, 1)
    np.testing.assert_array_equal(law.weights, fit_coverage_law(evaluation.right[:, 1], 2).weights)
    exponent, far = law.rows()
    assert (exponent.name, exponent.estimate) == ("exponent of the tail", law.exponent.median)
    assert far[:4] == ("coverage of 20 runs", *law.coverage(20))
    assert law.runs == 2 and law.problems == 5 and law.counts.sum() == 5
    ax = Figure().subplots()
    assert plot_coverage_law({"one": law, "two": law}, [1, 2, 20], ax=ax) is ax
    with pytest.raises(ValueError, match="of equal numbers"):
        plot_coverage_law({"one": law, "two": fit_coverage_law([1, 3], 4)}, [1])
    with pytest.raises(ValueError, match="arm must be at most 3"):
        coverage_law_of_arm(evaluation, 4)
    with pytest.raises(ValueError, match="runs must be at least 2"):
        fit_coverage_law([0, 1], 1)
    with pytest.raises(ValueError, match="from 0 to runs = 4"):
        fit_coverage_law([5], 4)
    with pytest.raises(TypeError, match="must hold integers"):
        fit_coverage_law([0.5], 4)
