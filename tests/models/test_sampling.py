"""Next-token distributions: two implementations, and a third by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from motes.models import Sampling
from motes.models.hosting.draws import draw, log_probs

LOGITS = arrays(
    np.float64, (3, 7), elements=st.one_of(st.sampled_from([0.0, 1.0, 2.0]), st.floats(-8, 8))
)
SAMPLINGS = st.builds(
    Sampling,
    temperature=st.floats(0.2, 3),
    top_p=st.one_of(st.just(1.0), st.floats(0.05, 1)),
    top_k=st.one_of(st.none(), st.integers(1, 9)),
)


@given(LOGITS, SAMPLINGS)
def test_numpy_and_torch_agree(logits: np.ndarray, sampling: Sampling) -> None:
    ours = sampling.log_probs(logits)
    theirs = log_probs(torch.from_numpy(logits), sampling).numpy()
    # at the edge of top-p a rounding may decide: then the sets differ by one token, and both are
    # right
    if np.array_equal(np.isfinite(ours), np.isfinite(theirs)):
        np.testing.assert_allclose(theirs, ours, atol=1e-12)
    else:
        assert sampling.top_p < 1
    np.testing.assert_allclose(np.exp(ours).sum(axis=-1), 1, atol=1e-12)


def test_by_hand() -> None:
    logits = np.log([0.4, 0.3, 0.2, 0.1])
    np.testing.assert_allclose(np.exp(Sampling(top_k=2).log_probs(logits)), [4 / 7, 3 / 7, 0, 0])
    np.testing.assert_allclose(np.exp(Sampling(top_p=0.7).log_probs(logits)), [4 / 7, 3 / 7, 0, 0])
    np.testing.assert_allclose(
        np.exp(Sampling(top_p=0.71).log_probs(logits)), [4 / 9, 3 / 9, 2 / 9, 0]
    )
    np.testing.assert_allclose(
        np.exp(Sampling(temperature=0.5).log_probs(logits)), np.array([16, 9, 4, 1]) / 30
    )
    # ties go to the smaller id
    np.testing.assert_allclose(np.exp(Sampling(top_k=1).log_probs(np.zeros(3))), [1, 0, 0])


@pytest.mark.parametrize("top_p", [1e-20, 1e-46, 1e-300])
def test_the_likeliest_token_is_kept_whatever_top_p(top_p: float) -> None:
    """Also where it is 0 in float32."""
    logits = np.array([[0.0, 1.0, 3.0, 2.0]], np.float32)
    sampling = Sampling(top_p=top_p)
    theirs = log_probs(torch.from_numpy(logits), sampling).numpy()
    np.testing.assert_array_equal(theirs, sampling.log_probs(logits))
    assert np.exp(theirs).tolist() == [[0.0, 0.0, 1.0, 0.0]]


def test_a_token_of_probability_zero_is_never_drawn() -> None:
    log_q = torch.log(torch.tensor([[0.0, 0.5, 0.0, 0.5, 0.0]], dtype=torch.float64)).expand(4, 5)
    edges = torch.tensor([0.0, 0.5, np.nextafter(0.5, 0), np.nextafter(1, 0)], dtype=torch.float64)
    assert draw(log_q, edges).tolist() == [1, 3, 1, 3]


def test_which_proposals_cover_which_priors() -> None:
    assert Sampling(temperature=2).covers(Sampling(top_k=5))
    assert Sampling(top_k=5, temperature=2).covers(Sampling(top_k=5))
    assert Sampling(top_k=9).covers(Sampling(top_k=5, top_p=0.5))
    assert Sampling(top_p=0.9).covers(Sampling(top_p=0.9))
    assert not Sampling(top_k=5).covers(Sampling())
    assert not Sampling(top_k=4).covers(Sampling(top_k=5))
    assert not Sampling(top_p=0.9, temperature=0.5).covers(Sampling(top_p=0.9))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0.0}, "temperature must be a finite number above 0, not 0.0"),
        ({"temperature": float("nan")}, "temperature must be a finite number above 0"),
        ({"top_p": 0.0}, r"top_p must be a finite number in \(0, 1\]"),
        ({"top_p": 1.1}, r"top_p must be a finite number in \(0, 1\]"),
        ({"top_k": 0}, "top_k must be at least 1"),
    ],
)
def test_bad_settings(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Sampling(**options)
