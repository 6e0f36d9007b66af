"""The crossing of a search and of sampling: its definition, its coverage, and a table on which a
beam loses at a budget that is known."""

from __future__ import annotations

from math import exp, inf, log

import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy.optimize import isotonic_regression
from scipy.stats import ttest_1samp

from motes.evaluation import Evaluation, evaluate
from motes.evaluation.laws import crossing, crossing_of_methods, plot_crossing
from motes.evaluation.laws.search_crossing import falling
from motes.models import FunctionReward, TableLM
from motes.samplers import BeamSearch, MajorityVote

COSTS = np.array([10.0, 20, 40, 80, 160])


def test_the_falling_sequence_is_that_of_isotonic_regression():
    generator = np.random.default_rng(0)
    for size in (1, 2, 5, 9):
        values = generator.normal(size=size)
        expected = isotonic_regression(values, increasing=False).x
        np.testing.assert_allclose(falling(values), expected)


def successes(generator, rates, problems):
    """Successes of one run each on problems of unlike difficulty."""
    ease = generator.beta(4, 4, (problems, 1)) * 2
    return (generator.random((problems, len(rates))) < np.clip(rates * ease, 0, 1)).astype(float)


def by_hand(search, sampling):
    """Interval and point of a crossing, by other means."""
    p = [ttest_1samp(column, 0, alternative="greater").pvalue for column in (search - sampling).T]
    low, high = 0.0, inf
    for cost, value in zip(COSTS, p, strict=True):
        if value >= 0.025:
            break
        low = cost
    for cost, value in reversed(list(zip(COSTS, p, strict=True))):
        if 1 - value >= 0.025:
            break
        high = cost
    pooled = isotonic_regression((search - sampling).mean(axis=0), increasing=False).x
    if pooled[0] <= 0:
        return 0.0, (low, high)
    if pooled[-1] > 0:
        return inf, (low, high)
    k = int(np.flatnonzero(pooled <= 0)[0])
    share = pooled[k - 1] / (pooled[k - 1] - pooled[k])
    return exp((1 - share) * log(COSTS[k - 1]) + share * log(COSTS[k])), (low, high)


def test_it_is_its_definition():
    generator = np.random.default_rng(1)
    seen = set()
    for shift in (-0.3, -0.1, 0.0, 0.1, 0.3):
        for _ in range(6):
            search = successes(generator, np.full(5, 0.5), 30)
            sampling = successes(generator, 0.5 + shift + np.linspace(-0.3, 0.3, 5), 30)
            found = crossing(search, sampling, COSTS)
            point, ends = by_hand(search, sampling)
            assert found.point == pytest.approx(point) and found.ends == ends
            assert found.ends[0] <= found.point <= found.ends[1]
            seen.add((found.point in (0, inf), found.ends[0] > 0, found.ends[1] < inf))
    assert len(seen) > 4


def test_intervals_hold_the_crossing():
    """Of 400 intervals at 95%, 365 or more hold the crossing at 40.

    Where each does so with probability 0.95, fewer do at one seed in 600.
    """
    generator = np.random.default_rng(2)
    search = np.array([0.5, 0.5, 0.5, 0.5, 0.5])
    sampling = np.array([0.2, 0.35, 0.5, 0.6, 0.65])
    held, bounded = 0, 0
    for _ in range(400):
        found = crossing(
            successes(generator, search, 80), successes(generator, sampling, 80), COSTS
        )
        low, high = found.ends
        held += low < 40 < high
        bounded += low > 0 and high < inf
    assert held >= 365
    assert bounded > 100  # they aren't empty of meaning


def test_equal_methods_are_seldom_told_apart():
    """Each end is wrong with probability 0.025: more than 22 of 400 at one seed in 2,000."""
    generator = np.random.default_rng(3)
    low = high = 0
    for _ in range(400):
        one, other = (successes(generator, np.full(5, 0.5), 60) for _ in range(2))
        ends = crossing(one, other, COSTS).ends
        low, high = low + (ends[0] > 0), high + (ends[1] < inf)
    assert max(low, high) <= 22


def next_probabilities(prefix):
    """Three steps, each good or not; one wrong first step, 1, is tempting."""
    if len(prefix) == 3:
        return [0, 0, 1, 0]
    if not prefix:
        return [0.3, 0.1, 0, 0.6]
    if set(prefix) == {0}:
        return [0.5, 0, 0, 0.5]
    return [0, 1, 0, 0] if prefix[0] == 1 else [0, 0, 0, 1]


def misled(x):
    """The tempting step is judged best of all."""
    if x.token_ids[0] == 1:
        return 3.0
    return 1.0 if set(x.token_ids) <= {0, 2} else -2.0


def all_good(x):
    """The answer, when the last token has come."""
    if x.token_ids[-1] != 2:
        return None
    return "right" if x.token_ids == (0, 0, 0, 2) else "wrong"


@pytest.fixture(scope="module")
def beam_and_votes(tmp_path_factory):
    return evaluate(
        [(f"question {i}?", "right") for i in range(60)],
        samplers={
            "beam": [BeamSearch(particles=n, expansions=4) for n in (4, 8, 16)],
            "vote": [MajorityVote(samples=n) for n in (2, 4, 24)],
        },
        lm=TableLM(next_probabilities, eos=2),
        prm=FunctionReward(misled),
        answer=all_good,
        max_steps=5,
        progress=False,
        results=tmp_path_factory.mktemp("crossing") / "results.jsonl",
    )


@pytest.mark.slow
def test_a_beam_with_a_misled_verifier_loses_at_the_known_budget(beam_and_votes):
    """A beam of 4 draws keeps one: right if no draw tempts, one is good, and so on twice, 0.463;
    of 4 samples one is right with 0.268. Of 16 draws one tempts with 0.81, and takes the beam."""
    found = crossing_of_methods(beam_and_votes, "beam", "vote", success="any draw")
    assert found.cost.tolist() == [16, 32, 64]
    exact = (0.9**4 - 0.6**4) * (1 - 0.5**4) ** 2 - (1 - (1 - 0.075) ** 4)
    # four standard errors
    assert found.advantage[0] == pytest.approx(exact, abs=4 * (0.5 / 60) ** 0.5)
    assert found.advantage[2] < -0.3
    assert 16 <= found.point < 64 and found.ends[1] <= 64
    [row] = found.rows()
    assert (row.arm, row.name) == ("beam", "tokens at which it loses to vote")
    assert (row.estimate, row.low, row.high) == (found.point, *found.ends)


@pytest.mark.slow
def test_sampling_is_read_off_between_its_budgets(beam_and_votes):
    votes = beam_and_votes.right[:, 3:]
    found = crossing_of_methods(beam_and_votes, "beam", "vote")
    share = log(64 / 16) / log(96 / 16)  # 16 draws between 4 and 24
    between = (1 - share) * votes[:, 1] + share * votes[:, 2]
    expected = (beam_and_votes.right[:, 2] - between).mean()
    assert found.advantage[2] == pytest.approx(expected)
    doubled = crossing_of_methods(
        beam_and_votes, "beam", "vote", costs=2 * beam_and_votes.tokens.mean(axis=0), unit="FLOPs"
    )
    assert doubled.cost.tolist() == [32, 64, 128] and doubled.unit == "FLOPs"
    np.testing.assert_allclose(doubled.advantage, found.advantage)
    ax = Figure().subplots()
    assert plot_crossing([found, found], ax=ax) is ax
    with pytest.raises(ValueError, match="of one unit"):
        plot_crossing([found, doubled])
    with pytest.raises(ValueError, match="one for each of 6 arms"):
        crossing_of_methods(beam_and_votes, "beam", "vote", costs=[1.0])
    with pytest.raises(ValueError, match="must be positive"):
        crossing_of_methods(beam_and_votes, "beam", "vote", costs=[0.0] * 6)
    with pytest.raises(ValueError, match="two costs of 'vote' or more within"):
        crossing_of_methods(beam_and_votes, "vote", "beam")
    with pytest.raises(ValueError, match="search must be one of beam, vote, not 'filter'"):
        crossing_of_methods(beam_and_votes, "filter", "vote")
    with pytest.raises(ValueError, match="at least one problem"):
        crossing_of_methods(
            Evaluation(beam_and_votes.arms, 60, beam_and_votes.records[:1]), "beam", "vote"
        )


def test_other_data_are_refused():
    rates = np.zeros((3, 2))
    with pytest.raises(ValueError, match="must have the shapes"):
        crossing(rates, rates[:, :1], [1, 2])
    with pytest.raises(ValueError, match="two problems and two costs"):
        crossing(rates[:1], rates[:1], [1, 2])
    with pytest.raises(ValueError, match="cost must be positive and rise"):
        crossing(rates, rates, [2, 1])
    with pytest.raises(ValueError, match="must be finite"):
        crossing(rates, rates * np.nan, [1, 2])
