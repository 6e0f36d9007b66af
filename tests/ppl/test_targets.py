"""Targets: potentials multiply to the declared likelihood, in log space, whatever the log-odds."""

from math import exp, inf, log, prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from motes.ppl import TARGETS, Final, Odds, Product
from motes.ppl.targets import resolve

LOG_ODDS = st.one_of(st.floats(-800, 800), st.sampled_from([-inf, -800.0, 0.0, 800.0, inf]))
PATHS = st.lists(LOG_ODDS, min_size=1, max_size=8)
BETAS = st.sampled_from([0.0, 0.3, 1.0, 2.5])
ALL = st.one_of(
    st.builds(Product, beta=BETAS),
    st.builds(Odds, beta=BETAS),
    st.builds(
        Final,
        beta=BETAS,
        aggregate=st.sampled_from(["last", "min", "product", "mean"]),
        floor=st.sampled_from([1e-12, 0.01, 0.9]),
    ),
)


def potentials(target, path) -> list[float]:
    return [
        target.log_potential(path[: t + 1], closed=t + 1 == len(path)) for t in range(len(path))
    ]


@settings(deadline=None)  # a busy machine is no fault
@given(ALL, PATHS)
def test_potentials_multiply_to_the_likelihood(target, path):
    if isinstance(target, Odds):
        path = [min(value, 800.0) for value in path]
    total, expected = sum(potentials(target, path)), target.log_likelihood(path)
    # eight terms of at most 800 * 2.5, each rounded at 2**-53: 1e-11 at worst, a telescoping sum
    # twice that
    assert total == expected or total == pytest.approx(expected, abs=1e-10)


@settings(deadline=None)
@given(PATHS.filter(lambda path: all(-30 < value < 30 for value in path)), BETAS)
def test_likelihoods_on_the_natural_scale(path, beta):
    """Against the definitions, where floating point holds r and 1 - r; |log L| is at most 600, so
    that 1e-10 is ample."""
    r = [1 / (1 + exp(-value)) for value in path]
    odds = [p / (1 / (1 + exp(value))) for p, value in zip(r, path, strict=True)]
    likelihoods = {
        "product": prod(r),
        "odds": prod(odds),
        "final": r[-1],
        "final-min": min(r),
        "final-product": prod(r),
        "final-mean": sum(r) / len(r),
    }
    assert likelihoods.keys() == TARGETS.keys()
    for name, likelihood in likelihoods.items():
        assert resolve(name, beta).log_likelihood(path) == pytest.approx(
            beta * log(likelihood), abs=1e-10
        )


@pytest.mark.parametrize(
    ("name", "path", "expected"),
    [
        ("product", [-800.0, 800.0], -800.0),
        ("product", [-inf, inf], -inf),
        ("product", [inf, inf], 0.0),
        ("product", [40.0], -exp(-40)),
        ("odds", [-800.0, 700.0], -100.0),
        ("odds", [-inf, 3.0], -inf),
        ("final", [-inf, 0.0], -log(2)),
        ("final", [inf, -800.0], -800.0),
        ("final-min", [800.0, -800.0, 3.0], -800.0),
        ("final-min", [-inf, 3.0], -inf),
        ("final-product", [-500.0, -500.0], -1000.0),
        ("final-mean", [-800.0, -800.0], -800.0),
        ("final-mean", [-inf, inf], -log(2)),
        ("final-mean", [-inf, -inf], -inf),
    ],
)
def test_extreme_log_odds(name, path, expected):
    target = resolve(name)
    assert target.log_likelihood(path) == pytest.approx(expected, rel=1e-14, abs=0)
    assert sum(potentials(target, path)) == pytest.approx(expected, rel=1e-12, abs=1e-13)


@pytest.mark.parametrize("name", TARGETS)
def test_beta_zero_is_the_prior_even_where_the_likelihood_is_zero(name):
    target = resolve(name, beta=0.0)
    assert potentials(target, [-inf, 2.0, -inf]) == [0.0, 0.0, 0.0]
    assert target.log_likelihood([-inf, 2.0, -inf]) == 0.0


@pytest.mark.parametrize(
    ("aggregate", "alive"), [("last", True), ("mean", True), ("min", False), ("product", False)]
)
def test_an_early_zero_is_final_only_where_it_cannot_be_made_good(aggregate, alive):
    target = Final(aggregate=aggregate, floor=0.01)
    first, second = potentials(target, [-inf, 0.0])
    assert first == (pytest.approx(log(0.01)) if alive else -inf)
    assert np.isfinite(second)
    assert target.log_potential([-inf], closed=True) == -inf  # at the end it is what it is


def test_products_by_two_names_are_one_distribution():
    path = [0.3, -1.2, 4.0]
    assert resolve("final-product").log_likelihood(path) == pytest.approx(
        resolve("product").log_likelihood(path), abs=1e-15
    )


def test_odds_of_certainty_are_an_error():
    for call in (
        lambda: Odds().log_potential([0.0, inf], closed=False),
        lambda: Odds().log_likelihood([inf, 0.0]),
    ):
        with pytest.raises(FloatingPointError, match="probability 1"):
            call()


def test_names():
    assert [resolve(name).name for name in TARGETS] == list(TARGETS)
    assert str(resolve("final-min")) == "final-min"
    assert str(resolve("odds", beta=0.5)) == "odds, likelihood to the power 0.5"


def test_unknown_target_lists_the_known():
    with pytest.raises(
        ValueError,
        match=(
            "target must be one of product, odds, final, final-min, final-product, final-mean, "
            "not 'prodct'"
        ),
    ):
        resolve("prodct")


def test_bad_targets():
    with pytest.raises(TypeError, match="target must be a name or a Target"):
        resolve(3)
    with pytest.raises(ValueError, match="beta must be left at 1"):
        resolve(Product(), beta=0.5)
    with pytest.raises(ValueError, match="aggregate must be one of last, min, product, mean"):
        Final(aggregate="max")
    with pytest.raises(ValueError, match=r"floor must be a finite number in \(0, 1\)"):
        Final(floor=0.0)


@pytest.mark.parametrize("beta", [-1, inf, float("nan"), "1", None, True])
def test_beta_out_of_range(beta):
    with pytest.raises((TypeError, ValueError), match="beta must be a (finite )?number"):
        resolve("product", beta)
