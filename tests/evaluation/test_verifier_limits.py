"""A verifier's limits are those of all orders of the draws, and unbiased for a known verifier."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
from matplotlib.figure import Figure

from motes.evaluation.laws import plot_verifier_limit, verifier_limit, verifier_limit_of_arm
from motes.samplers import ImportanceSampling


def first_pass_is_right(right, passed, k):
    """The share of all orders in which the first of k draws that passes is right."""
    hits = []
    for order in permutations(range(len(right))):
        passing = [i for i in order[:k] if passed[i]]
        hits.append(bool(passing) and bool(right[passing[0]]))
    return np.mean(hits)


@pytest.mark.parametrize("seed", range(4))
def test_it_is_the_mean_over_all_orders(seed):
    generator = np.random.default_rng(seed)
    right, passed = generator.random((3, 5)) < 0.4, generator.random((3, 5)) < 0.6
    limit = verifier_limit(right, passed)
    for place, k in enumerate(limit.k.tolist()):
        by_problem = [first_pass_is_right(r, p, k) for r, p in zip(right, passed, strict=True)]
        assert limit.mean[place] == pytest.approx(np.mean(by_problem))
        perfect = [first_pass_is_right(r, r, k) for r in right]
        assert limit.coverage[place] == pytest.approx(np.mean(perfect))
    assert limit.mean[-1] <= limit.ceiling + 1e-12


def test_it_is_unbiased_for_a_known_verifier():
    """All outcomes of 4 draws with their probabilities, against drawing until one passes."""
    s, true, false = 0.3, 0.8, 0.2  # P(right), P(pass | right), P(pass | wrong)
    kinds = {
        (True, True): s * true,
        (True, False): s * (1 - true),
        (False, True): (1 - s) * false,
        (False, False): (1 - s) * (1 - false),
    }
    expected = np.zeros(4)
    for outcome in product(kinds, repeat=4):
        right, passed = np.array(outcome).T[:, None, :]
        expected += np.prod([kinds[kind] for kind in outcome]) * verifier_limit(right, passed).mean
    phi = s * true + (1 - s) * false
    law = [(1 - (1 - phi) ** k) * s * true / phi for k in range(1, 5)]
    np.testing.assert_allclose(expected, law, rtol=1e-12)


def test_an_arm_has_the_limit_of_its_draws(run):
    evaluation = run(samplers={"draws": ImportanceSampling(particles=4)})
    limit = verifier_limit_of_arm(evaluation, least=-50.0)  # everything passes
    np.testing.assert_allclose(limit.mean, limit.mean[0])
    assert limit.mean[0] == pytest.approx(limit.ceiling)
    assert not verifier_limit_of_arm(evaluation, least=50.0).mean.any()
    assert [row.estimate for row in limit.rows()][1:] == [limit.coverage[-1], limit.ceiling]
    assert all(row.low <= row.estimate <= row.high for row in limit.rows()[::2])
    ax = Figure().subplots()
    assert plot_verifier_limit({"one": limit, "two": limit}, ax=ax) is ax
    with pytest.raises(ValueError, match="at least one limit"):
        plot_verifier_limit({})


def test_other_data_are_refused(run):
    evaluation = run()
    with pytest.raises(ValueError, match="independent draws from the prior"):
        verifier_limit_of_arm(evaluation, 1)
    with pytest.raises(ValueError, match="arm must be at most 3"):
        verifier_limit_of_arm(evaluation, 4)
    truths = np.array([[True, False]])
    with pytest.raises(TypeError, match="must hold truths"):
        verifier_limit(truths.astype(int), truths)
    with pytest.raises(ValueError, match="one shape"):
        verifier_limit(truths, truths[:, :1])
    with pytest.raises(ValueError, match="k must be at most 2"):
        verifier_limit(truths, truths, k=[3])
