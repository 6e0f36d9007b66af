"""The tower rule under a value model that keeps it, and under ones that do not; survivors would
deceive, whole generations do not."""

from __future__ import annotations

from math import comb, log

import numpy as np
import pytest

from motes.diagnostics.findings.bellman import _families
from motes.models import FunctionReward, Sampling, TableLM
from motes.ppl import StateSpaceModel

STEPS = 8


def success(tokens: tuple[int, ...]) -> float:
    """The probability that most of eight fair coins show a one, given the first ones; kept from 0
    and 1."""
    left, needed = STEPS - len(tokens), STEPS // 2 + 1 - sum(tokens)
    value = sum(comb(left, k) for k in range(max(needed, 0), left + 1)) / 2**left
    return 0.02 + 0.96 * value


def logit(probability: float) -> float:
    return log(probability / (1 - probability))


def coins(of_prefix=success, target="final") -> StateSpaceModel:
    prm = FunctionReward(lambda x: logit(of_prefix(x.token_ids)))
    return StateSpaceModel(
        "?",
        lm=TableLM(lambda prefix: [0.5, 0.5]),
        prm=prm,
        target=target,
        max_steps=STEPS,
        stop_at_answer=False,
    )


def falling(tokens: tuple[int, ...]) -> float:
    """Less hopeful at every step, whatever it is."""
    return 0.98 - 0.12 * (len(tokens) - 1)


def unsteady(tokens: tuple[int, ...]) -> float:
    """Right on average over prefixes, and off at each: what every second step takes the next one
    gives back."""
    return float(np.clip(success(tokens) + 0.3 * (-1) ** (sum(tokens) + len(tokens)), 0.02, 0.98))


def each_step(tokens: tuple[int, ...]) -> float:
    """Whether the step is right by itself."""
    return 0.9 if tokens[-1] else 0.3


@pytest.mark.parametrize("rule", [falling, unsteady])
def test_scores_that_their_continuations_contradict(rule, sample, found):
    finding = found(sample(coins(rule), resampling="multinomial", ess_threshold=1.0))[
        "contradicted scores"
    ]
    assert "prefixes that were continued several times the score is 0." in finding.seen
    assert (
        rule is unsteady or "(root mean square; these are lower by 0.12 on average)" in finding.seen
    )
    assert "by itself" in finding.change and "target" not in finding.why


@pytest.mark.parametrize("seed", range(4))
def test_scores_that_keep_the_tower_rule(seed, sample, found):
    posterior = sample(coins(), seed=seed, resampling="multinomial", ess_threshold=1.0)
    assert posterior.history.resampled[1:].any() and "contradicted scores" not in found(posterior)


def test_judging_each_step_by_itself_is_no_fault(sample, found):
    posterior = sample(coins(each_step, "product"), ess_threshold=1.0)
    assert "contradicted scores" not in found(posterior)
    told = found(posterior, success=True)["contradicted scores"]
    assert "counts one and the same success at every step" in told.why
    final = sample(coins(falling), ess_threshold=1.0)
    assert "contradicted scores" not in found(final, success=False)


@pytest.mark.parametrize(
    "settings",
    [{"ess_threshold": 0.0}, {"proposal": Sampling(temperature=1.5), "ess_threshold": 1.0}],
)
def test_it_is_asked_only_where_it_can_be_answered(settings, sample, found):
    assert "contradicted scores" not in found(sample(coins(falling), **settings))
    assert "contradicted scores" not in found(sample(coins(falling), "resample_move"))


@pytest.mark.parametrize("target", ["final", "product", "odds"])
def test_whole_generations_are_unbiased(target, sample):
    """Under the tower rule a parent's children score on average what it does."""
    runs = [
        sample(coins(target=target), seed=seed, resampling="multinomial", ess_threshold=1.0)
        for seed in range(6)
    ]
    families = np.array([family for run in runs for family in _families(run.history, target)])
    gaps, excess = families[:, 0], np.square(families[:, 0]) - families[:, 1]
    # martingale differences: four standard errors are passed by 1 in 16,000
    for values in (gaps, excess):
        assert abs(values.mean()) < 4 * values.std() / len(values) ** 0.5


def test_survivors_are_biased(sample):
    """What the history is needed for: nodes with descendants in the end score more than their
    parents, tower rule or not."""
    runs = [
        sample(coins(target="odds"), seed=seed, resampling="multinomial", ess_threshold=1.0)
        for seed in range(6)
    ]
    nodes = {
        id(node): node for run in runs for x in run.trajectories for node in x.path[2:]
    }.values()
    gaps = [success(node.token_ids) - success(node.parent.token_ids) for node in nodes]
    assert np.mean(gaps) > 4 * np.std(gaps) / len(gaps) ** 0.5


@pytest.mark.parametrize("target", ["final", "product", "odds"])
def test_scores_come_back_from_the_weights(target, sample):
    """Of every particle of a generation, those that left no descendants included."""
    known = {each_step((0,)), each_step((1,))}
    [run] = [sample(coins(each_step, target), resampling="multinomial", ess_threshold=1.0)]
    gaps = {round(r_bar, 6) for r_bar, _ in _families(run.history, target)}
    means = {
        round(k / m * 0.9 + (m - k) / m * 0.3 - r, 6)
        for m in range(2, 40)
        for k in range(m + 1)
        for r in known
    }
    assert len(gaps) > 10 and gaps <= means
