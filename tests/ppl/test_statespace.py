"""The state-space model: how a particle moves, closes, is scored and weighed."""

import jax
import numpy as np
import pytest

from motes.models import FunctionReward, Sampling, TableLM
from motes.ppl import Odds, StateSpaceModel, StepwiseModel

EOS = 2


def lm(probs=(0.5, 0.3, 0.2)):
    return TableLM(lambda prefix: probs, eos=EOS, name="three tokens")


def keys(size, seed=0):
    return jax.random.split(jax.random.key(seed), size)


class CountingReward(FunctionReward):
    """Remembers the trajectories that it scored."""

    def __init__(self, fn=lambda x: 0.25 * x.depth):
        super().__init__(fn, name="counting")
        self.batches = []

    def score(self, trajectories):
        self.batches.append(list(trajectories))
        return super().score(trajectories)


def declare(**settings):
    defaults = {"lm": lm(), "prm": CountingReward(), "answer": lambda x: None, "max_steps": 3}
    return StateSpaceModel("how many?", **{**defaults, **settings})


def moved(model, size=40, proposal=None, times=1):
    """Populations before and after the last of `times` moves of the open particles."""
    stepwise = StepwiseModel(model, proposal or model.prior)
    after = stepwise.initial(keys(size), size)
    for t in range(1, times + 1):
        before = [particle for particle in after if stepwise.open(particle)]
        after = stepwise.move(t, keys(len(before), seed=t), before)
    return stepwise, before, after


def test_particles_start_at_one_root():
    first, second = StepwiseModel(declare(), Sampling()).initial(keys(2), 2)
    assert first.trajectory is second.trajectory
    assert first.trajectory.question == "how many?" and first.log_odds == ()


def test_end_of_text_finishes_and_max_steps_truncate():
    _, _, after = moved(declare(), times=3)
    assert {particle.trajectory.depth for particle in after} == {3}
    for particle in after:
        ended = particle.trajectory.token_ids[-1] == EOS
        assert (particle.trajectory.finished, particle.trajectory.truncated) == (ended, not ended)
    assert len({particle.trajectory.finished for particle in after}) == 2


def test_a_stated_answer_finishes():
    def answer(x):
        return "one" if 1 in x.token_ids else None

    for stop_at_answer, finished in ((True, {(1,), (EOS,)}), (False, {(EOS,)})):
        _, _, after = moved(declare(answer=answer, stop_at_answer=stop_at_answer))
        assert {particle.trajectory.token_ids for particle in after} == {(0,), (1,), (EOS,)}
        assert {
            particle.trajectory.token_ids for particle in after if particle.trajectory.finished
        } == finished


def test_answers_belong_to_finished_trajectories():
    model = declare(answer=lambda x: "yes", stop_at_answer=False, max_steps=1)
    _, _, after = moved(model)
    assert {(particle.trajectory.finished, model.answer_of(particle)) for particle in after} == {
        (True, "yes"),
        (False, None),
    }


def test_siblings_with_equal_tokens_are_one_node_scored_once():
    model = declare()
    _, before, after = moved(model, times=2)
    assert len(after) == len(before) > 6
    assert (
        len({id(particle.trajectory) for particle in after})
        == len({particle.trajectory.token_ids for particle in after})
        <= 6
    )
    for batch in model.prm.batches:
        tokens = [x.token_ids for x in batch]
        assert len(tokens) == len(set(tokens))
    for parent, child in zip(before, after, strict=True):
        assert child.trajectory.parent is parent.trajectory
        assert child.log_odds == (*parent.log_odds, 0.25 * 2)


def test_the_reward_model_sees_closed_trajectories():
    """A reward may depend on whether its step is the last."""
    model = declare(max_steps=1)
    moved(model)
    assert not any(x.open for batch in model.prm.batches for x in batch)


def test_potential_is_the_targets_times_prior_over_proposal():
    hot = Sampling(temperature=2.0)
    stepwise, before, after = moved(declare(target="odds", beta=0.5), proposal=hot, times=2)
    logits = np.log([0.5, 0.3, 0.2])
    token = [particle.trajectory.token_ids[-1] for particle in after]
    expected = 0.5 * 0.5 + (Sampling().log_probs(logits) - hot.log_probs(logits))[token]
    assert stepwise.log_potential(2, before, after) == pytest.approx(expected, abs=1e-14)


def test_prior_over_proposal_is_exactly_one_where_they_are_the_same():
    stepwise, before, after = moved(declare(prm=None), times=3)
    assert stepwise.log_potential(3, before, after).tolist() == [0.0] * len(after)


def test_without_a_reward_model_the_posterior_is_the_prior():
    model = declare(prm=None)
    assert model.likelihood is None and model.target_name == "prior" and model.score([]) == []
    _, _, after = moved(model)
    assert {particle.log_odds for particle in after} == {()}


def test_steps_outside_the_prior_weigh_nothing_and_are_not_scored():
    model = declare(prior=Sampling(top_k=2))
    stepwise, before, after = moved(model, proposal=Sampling())
    outside = np.array([particle.trajectory.token_ids == (EOS,) for particle in after])
    assert outside.any()
    assert np.array_equal(stepwise.log_potential(1, before, after) == -np.inf, outside)
    assert all(x.token_ids != (EOS,) for batch in model.prm.batches for x in batch)
    assert {particle.log_odds for particle, out in zip(after, outside, strict=True) if out} == {()}


@pytest.mark.parametrize("fault", ["nan", "shape"])
def test_faulty_scores_are_errors_that_name_model_and_trajectory(fault):
    class Faulty(CountingReward):
        def score(self, trajectories):
            return (
                np.full(len(trajectories), np.nan)
                if fault == "nan"
                else np.zeros((len(trajectories), 2))
            )

    error, message = {
        "nan": (
            FloatingPointError,
            r"reward model 'counting' gave a score that is NaN for <Trajectory .* 1 steps",
        ),
        "shape": (
            ValueError,
            r"reward model 'counting' gave values of shape \(3, 2\) for 3 trajectories",
        ),
    }[fault]
    with pytest.raises(error, match=message):
        moved(declare(prm=Faulty()))


def test_faulty_log_probabilities_are_errors_that_name_model_and_trajectory():
    class Faulty(TableLM):
        def extend(self, trajectories, keys, **settings):
            return [
                x.child("?", (0,), logprob=float("nan"), proposal_logprob=-1.0)
                for x in trajectories
            ]

    with pytest.raises(
        FloatingPointError,
        match=r"language model 'faulty' gave a step log-probability nan .* in <Trajectory",
    ):
        moved(declare(lm=Faulty(lambda prefix: [1.0], name="faulty"), prm=None))


def test_certainty_under_odds_is_an_error_that_names_model_and_trajectory():
    stepwise, before, after = moved(declare(target=Odds(), prm=CountingReward(lambda x: np.inf)))
    with pytest.raises(
        FloatingPointError, match=r"'odds' is infinite .* 'counting' does in <Trajectory"
    ):
        stepwise.log_potential(1, before, after)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"question": ""}, ValueError, "question must not be empty"),
        ({"question": " \n"}, ValueError, "question must not be empty"),
        ({"question": 3}, TypeError, "question must be a str"),
        ({"lm": "pocket"}, TypeError, "lm must be a language model"),
        ({"prm": "pocket"}, TypeError, "prm must be a reward model"),
        ({"target": "prodct"}, ValueError, "target must be one of product"),
        ({"beta": -1}, ValueError, "beta must be a finite number"),
        ({"prior": 0.8}, TypeError, "prior must be a Sampling"),
        ({"max_steps": 0}, ValueError, "max_steps must be at least 1"),
        ({"max_steps": 2.0}, TypeError, "max_steps must be an integer"),
        ({"max_tokens": 0}, ValueError, "max_tokens must be at least 1"),
        ({"max_tokens": "2"}, TypeError, "max_tokens must be an integer"),
        ({"answer": "42"}, TypeError, "answer must be a function"),
    ],
)
def test_bad_declarations(settings, error, message):
    with pytest.raises(error, match=message):
        StateSpaceModel(**{"question": "?", "lm": lm(), **settings})


def test_answers_must_be_texts():
    with pytest.raises(TypeError, match="answer must map a trajectory to a str or None, not to 42"):
        moved(declare(answer=lambda x: 42))
