"""A reward model spoiled by a known amount."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import kstest, norm

import motes
from motes.models import FunctionReward, RewardModel, TableLM, Tampered, Trajectory

WORDS = 4000


def judge() -> FunctionReward:
    return FunctionReward(lambda trajectory: 0.5 * trajectory.depth)


def coins(question: str = "?", count: int = WORDS) -> list[Trajectory]:
    """Different texts of one step each, each in a tree of its own."""
    lm = TableLM(lambda prefix: [0.5, 0.5])
    return [
        lm.start(question).child(f"{i}", (i,), logprob=-0.7, proposal_logprob=-0.7)
        for i in range(count)
    ]


def test_the_noise_is_standard_normal_and_differs_between_texts_questions_and_seeds() -> None:
    """Kolmogorov and Smirnov's test, at 1e-6, and correlations within 5 standard errors."""
    spoiled = Tampered(judge(), noise=2.0)
    noise = {
        "one": (spoiled.score(coins()) - 0.5) / 2,
        "another question": (spoiled.score(coins("!")) - 0.5) / 2,
        "another seed": (Tampered(judge(), noise=2.0, seed=1).score(coins()) - 0.5) / 2,
    }
    one = noise["one"]
    for numbers in noise.values():
        assert kstest(numbers, "norm").pvalue > 1e-6
        assert abs(np.corrcoef(numbers[1:], numbers[:-1])[0, 1]) < 5 / math.sqrt(WORDS)
        assert numbers is one or abs(np.corrcoef(one, numbers)[0, 1]) < 5 / math.sqrt(WORDS)


def test_a_text_has_one_score_whatever_the_batch_the_tree_and_the_model_object() -> None:
    population, again = coins(count=20), coins(count=20)
    scores = Tampered(judge(), noise=1.0, bias=-0.3).score(population)
    spoiled = Tampered(judge(), noise=1.0, bias=-0.3)
    assert np.array_equal(scores[::-1], spoiled.score(again[::-1]))
    assert np.array_equal(
        scores, np.concatenate([spoiled.score([trajectory]) for trajectory in again])
    )
    # a step's noise is its own, not its prefix's
    deeper = [t.child("", (7,), logprob=0.0, proposal_logprob=0.0) for t in population]
    gap = spoiled.score(deeper) - scores
    assert np.std(gap) > 0.5


@pytest.mark.parametrize("noise", [0.5, 2.0])
def test_noise_swaps_siblings_as_often_as_it_says(noise: float) -> None:
    """A right step that leads by 1 falls behind with probability Phi(-1 / (noise sqrt 2)); 5
    standard errors."""
    population = coins()
    lead = FunctionReward(lambda trajectory: float(trajectory.token_ids[0] % 2))
    scores = Tampered(lead, noise=noise).score(population)
    swapped = np.mean(scores[1::2] < scores[::2])
    expected = norm.cdf(-1 / (noise * math.sqrt(2)))
    assert abs(swapped - expected) < 5 * math.sqrt(expected * (1 - expected) / (WORDS / 2))


def test_bias_alone_shifts_and_nothing_changes_nothing() -> None:
    population = coins(count=50)
    one = FunctionReward(lambda trajectory: math.log(1 + trajectory.token_ids[0]))
    plain = one.score(population)
    assert np.array_equal(Tampered(one).score(population), plain)
    assert np.array_equal(Tampered(one, bias=-1.5).score(population), plain - 1.5)
    sure = FunctionReward(lambda trajectory: -math.inf if trajectory.token_ids[0] else math.inf)
    assert list(Tampered(sure, noise=3.0, bias=1.0).score(population[:2])) == [math.inf, -math.inf]


def test_a_run_with_it_is_a_run_with_a_reward_model() -> None:
    """Runs repeat; and what the judge underneath has computed is what counts."""
    prm = Tampered(judge(), noise=1.0)
    assert isinstance(prm, RewardModel) and "noise 1" in prm.name and "bias 0" in prm.name
    lm = TableLM(lambda prefix: [0.4, 0.4, 0.2], eos=2)
    runs = [motes.solve("?", lm=lm, prm=prm, particles=16, seed=0, max_steps=4) for _ in range(2)]
    assert [t.token_ids for t in runs[0].trajectories] == [
        t.token_ids for t in runs[1].trajectories
    ]
    assert np.array_equal(runs[0].log_weights, runs[1].log_weights)
    assert prm.cost == prm.prm.cost and prm.cost.prm_tokens > 0


def test_bad_arguments() -> None:
    with pytest.raises(
        TypeError, match="prm must be a reward model, with score, name and cost, not 'pocket'"
    ):
        Tampered("pocket")  # type: ignore[arg-type]
    for noise in (-0.1, math.inf, math.nan):
        with pytest.raises(ValueError, match="noise must be a finite number of at least 0, not"):
            Tampered(judge(), noise=noise)
    with pytest.raises(ValueError, match="bias must be a finite number, not nan"):
        Tampered(judge(), bias=math.nan)
    with pytest.raises(TypeError, match=r"seed must be an integer, not 0\.5"):
        Tampered(judge(), seed=0.5)  # type: ignore[arg-type]
