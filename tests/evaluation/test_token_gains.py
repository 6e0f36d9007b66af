"""ARISE weighs gains and losses by their tokens, problem by problem."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy.stats import t

from motes.evaluation import Evaluation
from motes.evaluation.laws import arise, arise_of_methods, plot_arise


def by_hand(right, tokens):
    """The sum of gains, shrunk by their tokens, and of losses, enlarged by them."""
    total = 0.0
    for j in range(1, len(right)):
        if right[j] and not right[j - 1]:
            total += tokens[j - 1] / tokens[j]
        if right[j - 1] and not right[j]:
            total -= tokens[j] / tokens[j - 1]
    return total


def test_gains_shrink_and_losses_grow():
    generator = np.random.default_rng(0)
    right, tokens = generator.random((40, 5)) < 0.5, generator.integers(1, 100, (40, 5))
    expected = [by_hand(*runs) for runs in zip(right, tokens, strict=True)]
    np.testing.assert_allclose(arise(right, tokens), expected)


def test_methods_with_several_budgets_are_scored(run):
    evaluation = run(repeats=3)
    [score] = arise_of_methods(evaluation)  # the filter alone has two budgets
    small, large = sorted((0, 1), key=lambda arm: evaluation.tokens[:, arm].mean())
    each = []
    for problem in range(5):
        of_repeat = []
        for repeat in range(3):
            runs = {
                r.arm: r for r in evaluation.records if (r.problem, r.repeat) == (problem, repeat)
            }
            pair = [runs[small], runs[large]]
            of_repeat.append(by_hand([r.right for r in pair], [r.tokens for r in pair]))
        each.append(np.mean(of_repeat))
    assert score.method == "filter"
    assert score.mean == pytest.approx(np.mean(each))
    low, high = t.interval(0.95, 4, np.mean(each), np.std(each, ddof=1) / np.sqrt(5))
    assert (score.low, score.high) == pytest.approx((low, high))
    ax = Figure().subplots()
    assert plot_arise(evaluation, ax=ax) is ax
    with pytest.raises(ValueError, match="at least one problem"):
        arise_of_methods(Evaluation(evaluation.arms, 5, evaluation.records[:1], 3))


def test_other_data_are_refused():
    with pytest.raises(TypeError, match="right must hold truths"):
        arise([0, 1], [1, 2])
    with pytest.raises(ValueError, match="at least two budgets"):
        arise([True], [1])
    with pytest.raises(ValueError, match="tokens must be positive"):
        arise([True, False], [0, 1])
