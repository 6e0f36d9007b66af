"""Pass@k is the share of subsets with a right run, and is unbiased; its interval covers."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy.stats import binom

from motes.evaluation import Evaluation, coverage, pass_at_k, plot_coverage
from motes.evaluation.accuracy_table import credible, credible_mean


@pytest.mark.parametrize("right", range(7))
@pytest.mark.parametrize("k", range(1, 7))
def test_it_is_the_share_of_subsets_with_a_right_run(right, k):
    runs = [1] * right + [0] * (6 - right)
    expected = np.mean([any(subset) for subset in combinations(runs, k)])
    assert pass_at_k(np.array(right), 6, k) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("k", [1, 3, 9, 10])
@pytest.mark.parametrize("p", [0.0, 0.03, 0.4, 1.0])
def test_it_is_unbiased(p, k):
    counts = np.arange(11)
    probabilities = binom.pmf(counts, 10, p)
    assert probabilities @ pass_at_k(counts, 10, k) == pytest.approx(1 - (1 - p) ** k, abs=1e-12)


def test_unequal_runs_and_counts_are_refused():
    with pytest.raises(ValueError, match="k must be at most"):
        pass_at_k(np.array([1]), 4, 5)
    with pytest.raises(ValueError, match="between 0 and runs = 4, not 1 to 5"):
        pass_at_k(np.array([1, 5]), 4, 2)
    with pytest.raises(TypeError, match="integers"):
        pass_at_k(np.array([0.5]), 4, 2)


@pytest.mark.parametrize("k", [1, 4, 8])
def test_intervals_cover_the_mean_over_problems(k):
    """Of 600 intervals at 95%, 540 or more hold the truth.

    Where each holds it with probability 0.93, fewer do at one seed in 400.
    """
    generator = np.random.default_rng(3)
    rates = generator.beta(0.5, 1.5, (600, 80))
    right = generator.binomial(8, rates)
    # E (1 - p)^k of a beta law, by its moments
    truth = 1 - np.prod((1.5 + np.arange(k)) / (2 + np.arange(k)))
    ends = np.array([credible_mean(pass_at_k(row, 8, k), 8) for row in right])
    assert np.sum((ends[:, 0] <= truth) & (truth <= ends[:, 1])) >= 540


def test_an_evaluation_has_the_coverage_of_its_records(run):
    evaluation = run(repeats=3)
    laws = coverage(evaluation)
    assert len(laws) == 4 and len({law.arm for law in laws}) == 4
    for place, law in enumerate(laws):
        runs = np.zeros((5, 3), bool)
        for record in evaluation.records:
            if record.arm == place:
                runs[record.problem, record.repeat] = record.right
        np.testing.assert_array_equal(law.k, [1, 2, 3])
        pairs = [runs[:, pair].any(axis=1).mean() for pair in combinations(range(3), 2)]
        expected = [runs.mean(), np.mean(pairs), runs.any(axis=1).mean()]
        np.testing.assert_allclose(law.mean, expected)
        np.testing.assert_allclose((law.low[0], law.high[0]), credible(runs.sum(axis=1), 3))
        assert np.all((law.low <= law.mean) & (law.mean <= law.high))
    assert len(plot_coverage(evaluation).lines) == 4
    with pytest.raises(ValueError, match="k must be at most"):
        coverage(evaluation, [4])
    with pytest.raises(ValueError, match="at least one number"):
        coverage(evaluation, [])


def test_nothing_done_is_refused(run):
    whole = run()
    with pytest.raises(ValueError, match="at least one problem"):
        coverage(Evaluation(whole.arms, 5, whole.records[:1]))
