"""The rival law is a mixture with problems that are never solved; it finds them, and says where the
runs cannot tell."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import betabinom

from motes.evaluation.laws import fit_coverage_law, never_solved
from motes.evaluation.laws.rival_law import V_PRIOR, V


def simulated(generator, problems, runs, a, b, hopeless):
    rates = generator.beta(a, b, problems) * (generator.random(problems) >= hopeless)
    return generator.binomial(runs, rates)


def test_the_posterior_is_that_of_the_mixture():
    counts, runs = np.array([0, 0, 0, 1, 5, 6]), 6
    law = fit_coverage_law(counts, runs)
    rival = never_solved(law)
    assert rival.grid.c[-1] == 1.0
    np.testing.assert_allclose([V_PRIOR @ V**k for k in range(1, 4)], [1 / 2, 1 / 3, 1 / 4], 1e-3)
    one = (rival.weights / rival.grid.volumes[..., None] / V_PRIOR)[
        :, :, -1
    ]  # scale 1: a beta-binomial
    mixture = np.empty_like(one)
    for i, a in enumerate(rival.grid.a):
        for j, b in enumerate(rival.grid.b):
            each = betabinom.pmf(counts, runs, a, b)
            mixture[i, j] = np.prod(V[:, None] * (counts == 0) + (1 - V[:, None]) * each, axis=1)
    np.testing.assert_allclose(one / one.sum(), mixture / mixture.sum(), rtol=1e-6, atol=1e-12)


def test_the_factor_is_the_ratio_of_mean_likelihoods(monkeypatch):
    """With v near 0 alone the rival is the law itself."""
    law = fit_coverage_law([0, 0, 1, 3], 4)
    monkeypatch.setattr("motes.evaluation.laws.rival_law.V", np.array([1e-12]))
    monkeypatch.setattr("motes.evaluation.laws.rival_law.V_PRIOR", np.array([1.0]))
    rival = never_solved(law)
    assert rival.bayes_factor == pytest.approx(1)
    assert rival.coverage(40) == pytest.approx(law.coverage(40))


@pytest.mark.slow
def test_intervals_hold_the_share_and_the_coverage():
    """Of 30 intervals at 95%, 25 or more hold the truth: fewer do at one seed in 300."""
    generator = np.random.default_rng(6)
    rates = generator.beta(1.5, 2.0, 1_000_000)
    truth = 0.7 * np.mean(1 - (1 - rates) ** 160)
    share = coverage = 0
    for _ in range(30):
        rival = never_solved(fit_coverage_law(simulated(generator, 150, 16, 1.5, 2.0, 0.3), 16))
        share += rival.share.low <= 0.3 <= rival.share.high
        far = rival.coverage(160)
        coverage += far.low <= truth <= far.high
    assert min(share, coverage) >= 25


def test_hopeless_problems_are_found_and_none_are_invented():
    generator = np.random.default_rng(7)
    some = never_solved(fit_coverage_law(simulated(generator, 400, 32, 1.5, 2.0, 0.3), 32))
    assert some.bayes_factor > 1e3
    none = never_solved(fit_coverage_law(simulated(generator, 400, 32, 1.5, 2.0, 0.0), 32))
    assert none.bayes_factor < 1 and none.share.low < 0.02


def test_where_the_runs_cannot_tell_the_law_and_its_rival_part_beyond_them():
    """Rates near 0 are common: 8 runs hardly tell hard problems from hopeless ones."""
    right = simulated(np.random.default_rng(8), 100, 8, 0.2, 1.0, 0.0)
    law = fit_coverage_law(right, 8)
    rival = never_solved(law)
    assert 0.02 < rival.bayes_factor < 50
    assert rival.coverage(2000).low < law.coverage(2000).low
    shares = [row.estimate for row in rival.rows()]
    assert shares == [rival.share.median, rival.bayes_factor, rival.coverage(80).median]
