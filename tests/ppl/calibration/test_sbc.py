"""Simulation-based calibration (Talts, Betancourt, Simpson, Vehtari and Gelman 2018).

Parameters are drawn from the prior, labels with them, and a posterior given the labels: the rank of
the true value among posterior draws is then uniform, for every parameter, and for the
log-likelihood, without which a fit that had never seen the labels would pass (Modrák et al. 2023).
Ranks are counted in equal bins and held against the uniform law by Pearson's chi-squared test; the
least p-value of the nine quantities times nine is compared with LEVEL, which bounds the false
alarms of a run of the test.
"""

from __future__ import annotations

from dataclasses import asdict

import jax
import numpy as np
import pytest
from numpyro.infer import Predictive
from scipy.stats import chisquare

from motes.ppl.calibration import Priors
from motes.ppl.calibration.reliability import (
    HIDDEN,
    POPULATION,
    Data,
    Sizes,
    log_rates,
    reliability,
    sized,
)
from motes.ppl.nuts import chain

LEVEL = 1e-4
STEPS, SIZES, TOGETHER = 24, Sizes(2, 3), 8
BELIEFS = asdict(Priors())
QUANTITIES = (*POPULATION, "depth_effect", "problem_effect", "log_likelihood")

random = np.random.default_rng(0)
DATA = Data(random.normal(0, 2, STEPS), np.arange(STEPS) % 2, np.arange(STEPS) % 3)


def simulated(count: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """True parameters, and labels of shape (count, STEPS)."""
    values = Predictive(reliability, num_samples=count)(jax.random.key(1), DATA, SIZES, BELIEFS)
    values = {name: np.asarray(value) for name, value in values.items()}
    return {
        name: value for name, value in values.items() if name not in (*HIDDEN, "right")
    }, values["right"]


def posteriors(right: np.ndarray, warmup: int, draws: int) -> dict[str, np.ndarray]:
    """One chain for each row of labels; by parameter, shape (count, draws, ...)."""

    @jax.jit
    def some(keys, right):
        return jax.vmap(
            lambda key, labels: chain(
                key, sized(SIZES), (DATA._replace(right=labels), BELIEFS), warmup, draws, HIDDEN
            )[0]
        )(keys, right)

    batches = right.reshape(-1, TOGETHER, STEPS)
    found = [
        some(jax.random.split(jax.random.key(10 + i), TOGETHER), batch)
        for i, batch in enumerate(batches)
    ]
    return {name: np.concatenate([np.asarray(part[name]) for part in found]) for name in found[0]}


def quantities(values: dict[str, np.ndarray], right: np.ndarray) -> dict[str, np.ndarray]:
    """One number each: the first effect, and the log-likelihood of the labels; shape (count,
    draws)."""
    logit = values["intercept"][..., None] + values["slope"][..., None] * DATA.log_odds
    logit = (
        logit
        + values["depth_effect"][..., DATA.depth]
        + values["problem_effect"][..., DATA.problem]
    )
    log_right, log_wrong = log_rates(
        logit, values["false_positive"][..., None], values["false_negative"][..., None]
    )
    log_likelihood = np.where(right[:, None], log_right, log_wrong).sum(axis=-1)
    firsts = {name: values[name][..., 0] for name in ("depth_effect", "problem_effect")}
    return {name: values[name] for name in POPULATION} | firsts | {"log_likelihood": log_likelihood}


def p_value(true: dict[str, np.ndarray], drawn: dict[str, np.ndarray], bins: int) -> float:
    """Bonferroni's, of all quantities; `drawn` has as many draws as there are ranks but one, a
    multiple of `bins`."""
    least = 1.0
    for name in QUANTITIES:
        ranks = (drawn[name] < true[name]).sum(axis=1)
        counts = np.bincount(ranks * bins // (drawn[name].shape[1] + 1), minlength=bins)
        least = min(least, chisquare(counts).pvalue)
    return len(QUANTITIES) * least


def check(count: int, warmup: int, draws: int, kept: int, bins: int) -> None:
    with jax.enable_x64(True):
        truth, right = simulated(count)
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
    sd = drawn["intercept"].std(axis=1, keepdims=True)
    middle = drawn["slope"].mean(axis=1, keepdims=True)
    others = quantities({name: np.roll(value, 1, axis=0) for name, value in thinned.items()}, right)
    assert p_value(true, drawn | {"intercept": drawn["intercept"] + sd}, bins) < LEVEL
    assert p_value(true, drawn | {"slope": middle + (drawn["slope"] - middle) / 5}, bins) < LEVEL
    assert p_value(true, others, bins) < LEVEL


@pytest.mark.statistics
def test_many_posteriors():
    check(count=240, warmup=250, draws=495, kept=99, bins=20)
