"""Fits against second ways of computing them, in degenerate cases, and what is raised before
anything is fitted.

Every shape of data is compiled once, which takes most of the time, so that all tests share two of
them.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from arviz_stats.base import array_stats
from judged import Recorder, simulated
from scipy.stats import norm

from motes.models import Trajectory
from motes.ppl.calibration import CalibratedReward, LabelledStep, Priors, calibrate

LIMIT = 5  # standard errors; a right fit exceeds it with probability 6e-7 by the normal law
QUIET = pytest.mark.filterwarnings("ignore:the calibration of:RuntimeWarning")
BARE = Priors(
    sigma_depth=1e-4, sigma_problem=1e-4, false_positive=(1, 1e5), false_negative=(1, 1e5)
)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def errors(draws: np.ndarray, mean: float, sd: float) -> tuple[float, float]:
    """How far the draws' mean and standard deviation lie from these, in Monte Carlo standard
    errors."""
    return (
        abs(draws.mean() - mean) / array_stats.mcse(draws, method="mean").item(),
        abs(draws.std() - sd) / array_stats.mcse(draws, method="sd").item(),
    )


@cache
def bare_fit() -> CalibratedReward:
    """120 steps without effects or errors, so that what is left is logistic regression: intercept
    -0.5, slope 0.7."""
    return calibrate(
        *simulated(1, lambda log_odds, t, j: sigmoid(-0.5 + 0.7 * log_odds)), priors=BARE
    )


def grid_moments(reward: CalibratedReward, prior_sd: float, false_positive: float) -> np.ndarray:
    """Posterior means and standard deviations of a and log b by quadrature, without effects; shape
    (2, 2)."""
    labels = reward.calibration.labels
    a, log_b = np.meshgrid(np.linspace(-2.5, 1.5, 201), np.linspace(-2.5, 1.2, 201), indexing="ij")
    r = (1 - false_positive) * sigmoid(a[..., None] + np.exp(log_b)[..., None] * labels.log_odds)
    log_density = (
        np.where(labels.right, np.log(r), np.log1p(-r)).sum(axis=-1)
        + norm.logpdf(a, 0, prior_sd)
        + norm.logpdf(log_b)
    )
    weight = np.exp(log_density - log_density.max())
    weight /= weight.sum()
    means = np.array([(weight * x).sum() for x in (a, log_b)])
    return np.array(
        [
            means,
            [
                np.sqrt((weight * (x - m) ** 2).sum())
                for x, m in zip((a, log_b), means, strict=True)
            ],
        ]
    )


@pytest.mark.statistics
def test_logistic_regression_against_a_grid():
    """Four comparisons: a right fit fails with probability 3e-6. Another prior, or a rate of error,
    on the grid is seen."""
    reward = bare_fit()
    assert reward.calibration.check() == []
    draws = (reward.calibration.draws["intercept"], np.log(reward.calibration.draws["slope"]))

    def furthest(prior_sd: float, false_positive: float) -> float:
        moments = grid_moments(reward, prior_sd, false_positive)
        return max(max(errors(x, *moments[:, i])) for i, x in enumerate(draws))

    assert furthest(1.5, 0.0) < LIMIT
    assert furthest(0.5, 0.0) > LIMIT
    assert furthest(1.5, 0.05) > LIMIT


def few(right, log_odds=None) -> tuple[Recorder, list[LabelledStep]]:
    """Twelve steps of one problem, all at depth 1."""
    root = Trajectory(question="the only one?")
    nodes = [root.child(str(i), (i,), logprob=0.0, proposal_logprob=0.0) for i in range(12)]
    log_odds = np.linspace(-4, 4, 12) if log_odds is None else log_odds
    return Recorder(lambda x: float(log_odds[int(x.step_text)])), [
        LabelledStep(x, bool(y)) for x, y in zip(nodes, right, strict=True)
    ]


def weighed_prior(log_odds, right, shift: float = 0.0):
    """The posterior by importance sampling, from 400,000 draws of the prior written down anew:
    values by name, and their weights."""
    random = np.random.default_rng(11)
    size = 400_000
    sigma_depth, sigma_problem = np.abs(random.normal(size=(2, size)))
    fn = random.beta(2, 9, size)
    fp = (1 - fn) * random.beta(1, 6, size)
    a, b = random.normal(0, 1.5, size), np.exp(random.normal(size=size))
    c, u = sigma_depth * random.normal(size=size), sigma_problem * random.normal(size=size)
    s = sigmoid(a[:, None] + b[:, None] * (np.clip(log_odds, -15, 15) + shift) + (c + u)[:, None])
    r = fn[:, None] + (1 - fp - fn)[:, None] * s
    weight = np.where(right, r, 1 - r).prod(axis=1)
    values = {
        "intercept": a,
        "slope": b,
        "sigma_depth": sigma_depth,
        "sigma_problem": sigma_problem,
        "false_positive": fp,
    }
    values |= {"false_negative": fn, "depth_effect": c, "problem_effect": u}
    return values, weight / weight.sum()


@pytest.mark.statistics
def test_the_whole_model_against_weighed_draws_of_its_prior():
    """Eight means: a right fit fails with probability 5e-6. Scores that are shifted by 2
    are seen."""
    right = np.arange(12) % 4 > 1
    reward = calibrate(*few(right), priors=Priors(false_positive=(1, 6), false_negative=(2, 9)))
    assert reward.calibration.check() == []

    def furthest(shift: float) -> float:
        values, weight = weighed_prior(np.linspace(-4, 4, 12), right, shift)
        distances = []
        for name, x in values.items():
            draws = reward.calibration.draws[name].reshape(4, 1000)
            mean = (weight * x).sum()
            error = np.hypot(
                (weight**2 * (x - mean) ** 2).sum() ** 0.5,
                array_stats.mcse(draws, method="mean").item(),
            )
            distances.append(abs(draws.mean() - mean) / error)
        return max(distances)

    assert furthest(0.0) < LIMIT < furthest(2.0)


@pytest.mark.slow
@QUIET
@pytest.mark.parametrize("right", [True, False])
def test_one_kind_of_label(right):
    """The prior keeps the fit proper, and it says what it does not know; certainties of the reward
    model are no trouble."""
    prm, labelled = few([right] * 12, [np.inf] * 6 + [-np.inf] * 6)
    reward = calibrate(prm, labelled)
    assert reward.calibration.check()[-1].startswith(
        "every one of the 12 labelled steps is " + ("right" if right else "wrong")
    )
    sure, sure_not = reward.score([labelled[0].trajectory, labelled[-1].trajectory])
    assert np.isfinite([sure, sure_not]).all()
    assert sure > sure_not  # b > 0
    assert sure > 0 if right else sure_not < 0


@pytest.mark.statistics
@QUIET
@pytest.mark.parametrize("right", [True, False])
def test_one_label(right):
    prm, labelled = few([right] * 12)
    reward = calibrate(prm, labelled[-1:])
    assert np.isfinite(reward.score([labelled[0].trajectory])).all()
    assert reward.calibration.predictive["score"].counts.tolist() == [1]


@pytest.mark.slow
def test_warns_of_a_misfit():
    """A reward model that is right in the middle, and wrong at both ends."""
    prm, labelled = simulated(2, lambda log_odds, t, j: 0.95 if abs(log_odds) < 1.3 else 0.05)
    with pytest.warns(
        RuntimeWarning,
        match="of 'recorder' is doubtful: .*does not fit the shares of right steps by score",
    ):
        calibrate(prm, labelled)


@pytest.mark.slow
@QUIET
def test_depths_and_problems_are_told_apart():
    """Half of the problems, and the first depth, are hopeless: differences of 6 in log-odds, where
    posterior deviations are about 1."""
    prm, labelled = simulated(
        3, lambda log_odds, t, j: sigmoid(log_odds - 6 * (j % 2) - 6 * (t == 1) + 3)
    )
    draws = calibrate(prm, labelled).calibration.draws
    problem, depth = (
        draws["problem_effect"].mean(axis=(0, 1)),
        draws["depth_effect"].mean(axis=(0, 1)),
    )
    assert problem[0::2].min() > problem[1::2].max()
    assert depth[0] < depth[1:].min() - 2


@pytest.mark.slow
def test_a_seed_decides_everything():
    again = calibrate(
        *simulated(1, lambda log_odds, t, j: sigmoid(-0.5 + 0.7 * log_odds)), priors=BARE
    )
    np.testing.assert_array_equal(
        again.calibration.draws["slope"], bare_fit().calibration.draws["slope"]
    )
    other = calibrate(
        *simulated(1, lambda log_odds, t, j: sigmoid(-0.5 + 0.7 * log_odds)), priors=BARE, seed=1
    )
    assert not np.any(other.calibration.draws["slope"] == bare_fit().calibration.draws["slope"])
    # and every chain has random numbers of its own
    assert len(np.unique(other.calibration.draws["slope"][:, -1])) == 4


# --- bad input
# ------------------------------------------------------------------------------------------


def never(x: Trajectory) -> float:
    raise AssertionError("asked before its arguments were looked at")


X = Trajectory(question="?").child("", (1,), logprob=0.0, proposal_logprob=0.0)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"prm": None}, TypeError, "prm must be a reward model"),
        ({"labelled": "steps"}, TypeError, "labelled must be a sequence of LabelledStep"),
        ({"labelled": iter([(X, True)])}, TypeError, "labelled must be a sequence of LabelledStep"),
        ({"labelled": []}, ValueError, "labelled must hold at least one step"),
        ({"labelled": [(X, True), X]}, TypeError, r"labelled\[1\] must be a LabelledStep"),
        (
            {"labelled": [(X, 1.0)]},
            TypeError,
            r"labelled\[0\].right must be True or False, not 1.0",
        ),
        (
            {"labelled": [(Trajectory(question="?"), True)]},
            ValueError,
            r"labelled\[0\] must be of a trajectory with at least one step",
        ),
        ({"seed": 0.5}, TypeError, "seed must be an integer"),
        ({"priors": {}}, TypeError, "priors must be a Priors"),
        ({"chains": 0}, ValueError, "chains must be at least 1"),
        ({"draws": 2.5}, TypeError, "draws must be an integer"),
        ({"warmup": 0}, ValueError, "warmup must be at least 1"),
        ({"held": 4001}, ValueError, "held must be at most 4000, not 4001"),
    ],
)
def test_bad_input_before_anything_is_scored(changes, error, message):
    arguments = {"prm": Recorder(never), "labelled": [LabelledStep(X, True)]} | changes
    with pytest.raises(error, match=message):
        calibrate(arguments.pop("prm"), arguments.pop("labelled"), **arguments)


@pytest.mark.parametrize(
    "name",
    ["intercept", "slope", "sigma_depth", "sigma_problem", "false_positive", "false_negative"],
)
def test_bad_priors(name):
    for value in (0, -1.0, float("inf"), "1", True, (1.0,), (1.0, 0.0), None):
        with pytest.raises((TypeError, ValueError), match=f"{name} must be"):
            Priors(**{name: value})


def test_bad_scores_before_anything_is_fitted():
    with pytest.raises(
        FloatingPointError, match="'recorder' gave a score that is NaN for <Trajectory"
    ):
        calibrate(Recorder(lambda x: float("nan")), [LabelledStep(X, True)])
    prm = Recorder(never)
    prm.score = lambda trajectories: np.zeros(3)
    with pytest.raises(
        ValueError, match=r"'recorder' gave values of shape \(3,\) for 1 trajectories"
    ):
        calibrate(prm, [LabelledStep(X, True)])
