"""A plain server of texts, without log-probabilities: what runs over it, what is refused, and how
its faults end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from stub_servers import TableModel, TextStub, serving

import motes
from motes.models import FunctionReward, Sampling, StepRule, Trajectory, load_lm
from motes.models.engines.connection import ServerError

QUESTION = "How many pens has Ben?"
OTHER = Sampling(temperature=0.7)


@pytest.fixture
def stub() -> Iterator[TextStub]:
    with serving(TextStub(TableModel())) as running:
        assert isinstance(running, TextStub)
        yield running


def log_odds(x: Trajectory) -> float:
    return 0.1 * len(x.step_text) - 1


@pytest.fixture
def lm(stub: TextStub) -> Any:
    loaded = load_lm(stub.url, step=StepRule(cap=40), retries=0)
    stub.bodies.clear()
    return loaded


def solved(lm: Any, sampler: str, **settings: Any) -> Any:
    prm = FunctionReward(log_odds, name="length")
    run: dict[str, Any] = {"lm": lm, "prm": prm, "sampler": sampler, "max_steps": 3}
    return motes.solve(QUESTION, answer=first_letter, **run, **settings)


def first_letter(x: Trajectory) -> str | None:
    return x.step_text[:1] if x.finished else None


def log_likelihoods(posterior: Any, since: int = 0) -> np.ndarray:
    """The logarithm of the product of r over each trajectory's steps since one of them."""
    sums = []
    for x in posterior.trajectories:
        nodes = x.path[1 + since :]
        sums.append(sum(-np.log1p(np.exp(-log_odds(node))) for node in nodes))
    return np.array(sums)


def test_importance_sampling_weighs_by_the_likelihood(lm: Any, stub: TextStub) -> None:
    posterior = solved(lm, "importance_sampling", particles=6)
    values = log_likelihoods(posterior)
    total = np.logaddexp.reduce(values)
    np.testing.assert_allclose(posterior.log_weights, values - total, atol=1e-9)
    assert posterior.log_evidence == pytest.approx(total - np.log(6))
    assert len(stub.bodies) == sum(x.depth for x in posterior.trajectories)


def test_solutions_vote(lm: Any) -> None:
    posterior = solved(lm, "majority_vote", samples=6)
    np.testing.assert_allclose(posterior.log_weights, -np.log(6))
    read = [first_letter(x) for x in posterior.trajectories]
    assert posterior.answers == pytest.approx({name: read.count(name) / 6 for name in {*read}})


def test_a_filter_weighs_by_the_likelihood_since_its_last_resampling(lm: Any) -> None:
    posterior = solved(lm, "particle_filter", particles=6, ess_threshold=1.0)
    [*_, last] = np.flatnonzero(posterior.history.resampled)
    values = log_likelihoods(posterior, since=last)
    total = np.logaddexp.reduce(values)
    np.testing.assert_allclose(posterior.log_weights, values - total, atol=1e-9)
    assert all(np.isnan(x.logprob) for x in posterior.trajectories)


@pytest.mark.parametrize(
    ("sampler", "law"),
    [
        ("importance_sampling", {"proposal": OTHER}),
        ("particle_filter", {"proposal": OTHER}),
        ("particle_filter", {"prior": OTHER}),
        ("majority_vote", {"prior": OTHER}),
    ],
)
def test_another_law_is_refused_before_any_request(
    sampler: str, law: dict[str, Any], lm: Any, stub: TextStub
) -> None:
    with pytest.raises(ValueError, match=r"must be Sampling\(\) .*not Sampling\(temp") as caught:
        solved(lm, sampler, **law)
    assert "\n" not in str(caught.value) and stub.bodies == []


def empty(path: str, event: Any) -> Any:
    return event | {"choices": [{"text": "", "finish_reason": "length"}]}


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (
            lambda path, event: event | {"model": "gpt-oss"},
            "answers with the model 'gpt-oss', and 'stub' was asked$",
        ),
        (lambda path, event: b'{"choices": [', "answered with broken JSON"),
        (empty, "wrote no text where a step was asked for$"),
    ],
    ids=["another model", "half a JSON", "empty text"],
)
def test_a_fault_ends_the_run_in_one_sentence(
    fault: Callable[[str, Any], Any], words: str, lm: Any, stub: TextStub
) -> None:
    stub.fault = fault
    with pytest.raises(ServerError, match=words) as caught:
        solved(lm, "particle_filter", particles=3)
    assert "\n" not in str(caught.value)
