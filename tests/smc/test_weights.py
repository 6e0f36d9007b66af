import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from motes.smc import ess, log_mean_exp, log_sum_exp, normalise

LOG_WEIGHTS = st.lists(st.one_of(st.floats(-800, 800), st.just(-np.inf)), min_size=1, max_size=20)


@settings(deadline=None)  # a busy machine is no fault
@given(LOG_WEIGHTS)
def test_normalised_weights_sum_to_one(values):
    log_weights, total = normalise(np.array(values))
    if total == -np.inf:
        assert np.all(log_weights == -np.inf)
    else:
        # N roundings of relative size 2**-53, in a sum of N <= 20 terms and in log-weights of at
        # most 1600
        assert np.exp(log_weights).sum() == pytest.approx(1, abs=1e-12)
        assert np.array_equal(log_weights == -np.inf, np.array(values) == -np.inf)


@settings(deadline=None)
@given(LOG_WEIGHTS, st.randoms())
def test_order_and_scale_do_not_matter(values, random):
    shuffled = random.sample(values, len(values))
    assert ess(np.array(shuffled)) == pytest.approx(ess(np.array(values)), rel=1e-9)
    assert ess(np.array(values) - 500) == pytest.approx(ess(np.array(values)), rel=1e-9)


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ([1, 1, 1, 1], 4),
        ([1, 0, 0], 1),
        ([0, 0], 0),
        ([1, 1, 0, 0], 2),
        ([0.5, 0.25, 0.25], 1 / 0.375),
    ],
)
def test_ess_of_known_weights(weights, expected):
    with np.errstate(divide="ignore"):
        assert ess(np.log(np.array(weights, float))) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("shift", [-1e5, -800.0, 0.0, 800.0, 1e5])
def test_sums_neither_overflow_nor_underflow(shift):
    log_weights = shift + np.log([1.0, 2.0, 3.0])
    assert log_sum_exp(log_weights) == pytest.approx(shift + np.log(6), rel=1e-14)
    assert log_mean_exp(log_weights) == pytest.approx(shift + np.log(2), rel=1e-14)


def test_all_dead_is_minus_infinity():
    assert log_sum_exp(np.array([-np.inf, -np.inf])) == -np.inf
    assert log_mean_exp(np.array([-np.inf])) == -np.inf
    assert log_sum_exp(np.array([])) == -np.inf


@pytest.mark.parametrize("fault", [np.nan, np.inf])
def test_faulty_weights_are_errors_that_name_their_source(fault):
    with pytest.raises(FloatingPointError, match=f"log_potential at step 3 is {fault} at slot 1"):
        normalise(np.array([0.0, fault, -np.inf]), source="log_potential at step 3")


def test_float32_is_summed_in_float64():
    log_weights = np.full(10**6, -np.log(10**6), np.float32)
    normalised, total = normalise(log_weights)
    assert normalised.dtype == np.float64
    assert total == pytest.approx(float(log_weights[0]) + np.log(10**6), abs=1e-11)
