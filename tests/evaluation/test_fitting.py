"""Fits of simulated evaluations by NUTS.

Simulation-based calibration (Talts, Betancourt, Simpson, Vehtari and Gelman 2018): parameters come
from the priors, results from them by a simulator that shares no line with the model, and the rank
of the truth among posterior draws is then uniform, ties broken at random. Ranks are counted in
equal bins and held against the uniform law by Pearson's chi-squared test; the least p-value times
the number of quantities is compared with LEVEL, which bounds the false alarms of a run of the test.
"""

from __future__ import annotations

import warnings
from dataclasses import asdict

import jax
import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import chisquare

from motes.evaluation import Evaluation, Priors, ScalingFit
from motes.evaluation.fit import fit_scaling
from motes.evaluation.scaling import HIDDEN, POPULATION, Data, accuracy, needed, scaling
from motes.ppl.nuts import chain

LEVEL = 1e-4
PRIORS = Priors()
PROBLEMS, TOGETHER = 8, 60
ARM = np.repeat(np.arange(2), 2)  # two samplers at two budgets each
X = np.array([-2.0, 2.0, -1.0, 1.0])
QUANTITIES = (
    *POPULATION,
    "level",
    "slope",
    "ceiling",
    "difficulty",
    "accuracy",
    "tokens",
    "log_likelihood",
)


def simulated(count: int, random: np.random.Generator) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """True parameters, and results of shape (count, PROBLEMS, 4)."""
    half, normal = (lambda scale: np.abs(random.normal(0, scale, count))), random.normal
    true = {
        "mu_level": normal(0, 2.0, count),
        "mu_slope": normal(0, 0.5, count),
        "mu_ceiling": normal(2.0, 1.5, count),
    }
    true |= {"tau_level": half(1.0), "tau_slope": half(0.25), "tau_ceiling": half(0.5)}
    true |= {"sigma_difficulty": half(2.0), "sigma_affinity": half(1.0)}
    for name in ("level", "slope", "ceiling"):
        true[name] = normal(true[f"mu_{name}"], true[f"tau_{name}"], (2, count)).T
    true["ceiling"] = 1 / (1 + np.exp(-true["ceiling"]))
    true["difficulty"] = normal(0, true["sigma_difficulty"], (PROBLEMS, count)).T
    affinity = normal(0, true["sigma_affinity"], (PROBLEMS, 2, count)).transpose(2, 0, 1)
    log_odds = (
        (true["level"][:, ARM] + true["slope"][:, ARM] * X)[:, None]
        - true["difficulty"][..., None]
        - affinity[..., ARM]
    )
    return true, random.uniform(size=log_odds.shape) < true["ceiling"][:, None, ARM] / (
        1 + np.exp(-log_odds)
    )


def posteriors(right: np.ndarray, warmup: int, draws: int) -> dict[str, np.ndarray]:
    """One chain for each set of results; by parameter, shape (count, draws, ...)."""

    @jax.jit
    def some(keys, right):
        def one(key, right):
            return chain(
                key,
                scaling,
                (Data(X, np.eye(2)[ARM], right), asdict(PRIORS)),
                warmup,
                draws,
                HIDDEN,
            )[0]

        return jax.vmap(one)(keys, right)

    batches = right.astype(np.int32).reshape(-1, TOGETHER, *right.shape[1:])
    found = [
        some(jax.random.split(jax.random.key(10 + i), TOGETHER), batch)
        for i, batch in enumerate(batches)
    ]
    return {name: np.concatenate([np.asarray(part[name]) for part in found]) for name in found[0]}


def quantities(values: dict[str, np.ndarray], right: np.ndarray) -> dict[str, np.ndarray]:
    """One number each, shape (count, draws): of the first sampler, problem and arm; and the
    log-likelihood without affinities."""
    spread = np.hypot(values["sigma_difficulty"], values["sigma_affinity"])
    first = [values[name][..., 0] for name in ("level", "slope", "ceiling")]
    log_odds = (values["level"][..., ARM] + values["slope"][..., ARM] * X)[..., None, :] - values[
        "difficulty"
    ][..., None]
    p = values["ceiling"][..., None, ARM] * expit(log_odds)
    log_likelihood = np.log(np.where(right[:, None], p, 1 - p)).sum(axis=(-1, -2))
    told = {name: values[name] for name in POPULATION} | dict(
        zip(("level", "slope", "ceiling"), first, strict=True)
    )
    told |= {"difficulty": values["difficulty"][..., 0], "log_likelihood": log_likelihood}
    return told | {
        "accuracy": accuracy(*first, spread, X[0]),
        "tokens": needed(0.4, *first, spread, X[0]),
    }


def p_value(true: dict[str, np.ndarray], drawn: dict[str, np.ndarray], bins: int) -> float:
    """Bonferroni's, of all quantities; `drawn` has as many draws as there are ranks but one, a
    multiple of `bins`."""
    least, random = 1.0, np.random.default_rng(5)
    for name in QUANTITIES:
        below, ties = (
            (drawn[name] < true[name]).sum(axis=1),
            (drawn[name] == true[name]).sum(axis=1),
        )
        counts = np.bincount(
            (below + random.integers(0, ties + 1)) * bins // (drawn[name].shape[1] + 1),
            minlength=bins,
        )
        least = min(least, chisquare(counts).pvalue)
    return len(QUANTITIES) * least


def check(count: int, warmup: int, draws: int, kept: int, bins: int) -> None:
    truth, right = simulated(count, np.random.default_rng(1))
    with jax.enable_x64(True):
        found = posteriors(right, warmup, draws)
    thinned = {
        name: value[:, (np.arange(kept) * 2 + 1) * draws // (2 * kept)]
        for name, value in found.items()
    }
    true, drawn = (
        quantities({name: value[:, None] for name, value in truth.items()}, right),
        quantities(thinned, right),
    )
    assert p_value(true, drawn, bins) > LEVEL
    # planted faults: draws that are moved, five times too narrow, or of somebody else's posterior
    sd, middle = (
        drawn["level"].std(axis=1, keepdims=True),
        drawn["slope"].mean(axis=1, keepdims=True),
    )
    others = quantities({name: np.roll(value, 1, axis=0) for name, value in thinned.items()}, right)
    assert p_value(true, drawn | {"level": drawn["level"] + sd}, bins) < LEVEL
    assert p_value(true, drawn | {"slope": middle + (drawn["slope"] - middle) / 5}, bins) < LEVEL
    assert p_value(true, others, bins) < LEVEL


@pytest.mark.statistics
def test_many_posteriors():
    check(count=120, warmup=200, draws=495, kept=99, bins=10)


def pair(advantage: float, seed: int, problems: int = 100) -> ScalingFit:
    """A fit of samplers a and b at three budgets, of one slope and ceiling, a being `advantage`
    doublings ahead."""
    random, doublings = np.random.default_rng(seed), np.tile([0.0, 2.0, 4.0], 2)
    ahead, slope = np.repeat([advantage, 0.0], 3), 0.5
    log_odds = (
        -1.5
        + slope * (doublings + ahead)
        - random.normal(0, 1, (problems, 1))
        - np.repeat(random.normal(0, 0.5, (problems, 2)), 3, 1)
    )
    right = random.uniform(size=log_odds.shape) < 0.95 * expit(log_odds)
    return fit_scaling(
        right, 100 * 2**doublings, ["a"] * 3 + ["b"] * 3, seed=seed, chains=2, warmup=200, draws=200
    )


@pytest.fixture(scope="module")
def ahead() -> ScalingFit:
    return pair(2.0, seed=3)


@pytest.mark.statistics
def test_a_known_ratio_is_found(ahead):
    """An interval of 99.9% leaves out the truth in one of a thousand data sets, by construction of
    none: the seed is fixed."""
    ratio = ahead.ratio("a", "b")
    low, high = ratio.interval(0.999)
    assert low < 4 < high and 2 < ratio.median < 8
    assert ratio.interval(0.95)[0] > 1  # 100 problems tell that a is better
    np.testing.assert_allclose(ahead.ratio("b", "a").draws, 1 / ratio.draws)
    at = 100 * 2 ** np.array([0.0, 2.0, 4.0])
    truth = [
        0.95
        * np.mean(
            expit(-1.5 + 0.5 * (x + 2) - np.random.default_rng(0).normal(0, 1.25**0.5, 100_000))
        )
        for x in (0, 2, 4)
    ]
    curve = ahead.curve("a", at, probability=0.999)
    assert np.all((curve.low < truth) & (truth < curve.high)) and np.all(
        curve.high - curve.low < 0.5
    )


@pytest.mark.statistics
def test_equal_samplers_have_a_ratio_of_one():
    """As above: intervals of 95% leave out 1 for at most one of twenty data sets, and the seed is
    fixed."""
    ratio = pair(0.0, seed=4).ratio("a", "b")
    low, high = ratio.interval()
    assert low < 1 < high and 0.4 < ratio.median < 2.5


@pytest.mark.statistics
def test_ratios_over_many_data_sets():
    """Of 20 intervals of 90% for a ratio of 4, under 14 hold it with probability 0.0024, were they
    frequentist: they are nearly that."""
    held = [
        low < 4 < high
        for low, high in (
            pair(2.0, seed=seed).ratio("a", "b").interval(0.9) for seed in range(100, 120)
        )
    ]
    assert sum(held) >= 14


@pytest.mark.slow
def test_the_data_tree(ahead):
    tree = ahead.to_datatree()
    assert dict(tree["posterior"].sizes) == {"chain": 2, "draw": 200, "sampler": 2, "problem": 100}
    assert set(tree["posterior"].data_vars) == {
        *POPULATION,
        "level",
        "slope",
        "ceiling",
        "difficulty",
    }
    np.testing.assert_array_equal(
        tree["posterior/level"].sel(sampler="b"), ahead.draws["level"][..., 1]
    )
    np.testing.assert_array_equal(tree["observed_data/right"], ahead.right)
    assert tree["constant_data/arm_sampler"].values.tolist() == ["a"] * 3 + ["b"] * 3
    assert set(tree["sample_stats"].data_vars) == {
        "diverging",
        "lp",
        "energy",
        "acceptance_rate",
        "n_steps",
    }
    assert tree.attrs["inference_library"] == "blackjax" and tree.attrs["seed"] == 3


@pytest.mark.slow
def test_an_evaluation_is_fitted_warned_of_and_drawn(run):
    evaluation = run()
    said = (
        r"^the fit is doubtful: the chains disagree .*too few draws .*; one budget cannot tell "
        r"how 'weights', 'vote' grows"
    )
    with pytest.warns(RuntimeWarning, match=said):
        fit = evaluation.fit(seed=2, chains=2, warmup=20, draws=10)
    assert fit.samplers == ("filter", "weights", "vote") and fit.right.shape == (5, 4)
    assert fit.measured("filter") == tuple(evaluation.tokens[:, :2].mean(axis=0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        again = evaluation.fit(seed=2, chains=2, warmup=20, draws=10)
    np.testing.assert_array_equal(fit.draws["level"], again.draws["level"])
    ax = evaluation.plot(fit)
    line = next(line for line in ax.lines if len(line.get_xdata()) > 2)
    np.testing.assert_allclose(line.get_ydata(), fit.curve("filter", line.get_xdata()).median)
    assert len(ax.collections) == 6  # bars and bands of three methods
    other = Evaluation(
        evaluation.arms[:1], 5, tuple(record for record in evaluation.records if record.arm == 0)
    )
    with pytest.raises(ValueError, match="fit must be of this evaluation's samplers"):
        other.plot(fit)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"seed": 0.5}, TypeError, "seed must be an integer"),
        ({"priors": 3}, TypeError, "priors must be a Priors"),
        ({"chains": 0}, ValueError, "chains must be at least 1"),
        ({"draws": 0}, ValueError, "draws must be at least 1"),
        ({"tokens": [0, 1]}, ValueError, "a fit needs the tokens of every arm"),
        ({"right": [[0, 2]]}, ValueError, "right must be true or false"),
        ({"samplers": ["a"]}, ValueError, "right must have shape"),
    ],
)
def test_bad_arguments(change, error, message):
    with pytest.raises(error, match=message):
        fit_scaling(**{"right": [[0, 1]], "tokens": [1, 2], "samplers": ["a", "b"]} | change)
