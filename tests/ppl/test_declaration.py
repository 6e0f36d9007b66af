"""A declaration is checked once, before there are models."""

from __future__ import annotations

import numpy as np
import pytest

from motes import solve, solve_many
from motes.models import FunctionReward, Sampling, TableLM
from motes.ppl import StateSpaceModel
from motes.ppl.declaration import PARTS, Declaration
from motes.ppl.targets import Odds


def one_step() -> TableLM:
    return TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)


@pytest.fixture
def checks_made(monkeypatch):
    """What every check of a declaration was of, in order."""
    questions, check = [], Declaration.__post_init__

    def counted(declaration):
        questions.append(declaration.question)
        check(declaration)

    monkeypatch.setattr(Declaration, "__post_init__", counted)
    return questions


@pytest.mark.parametrize("runs", [1, 3])
def test_a_question_is_checked_once(checks_made, runs):
    solve("?", lm=one_step(), prm=None, particles=2, max_steps=2, runs=runs)
    assert checks_made == ["?"]


def test_many_questions_are_checked_once_each(checks_made):
    solve_many(["a", "b", "c"], lm=one_step(), prm=None, particles=2, max_steps=2)
    assert checks_made == ["a", "b", "c"]


def test_a_model_made_of_a_declaration_is_the_same_as_one_made_of_its_parts():
    parts = {
        "target": "odds",
        "beta": np.float32(2.0),
        "alpha": 2,
        "prior": Sampling(temperature=0.5),
        "max_steps": np.int64(3),
        "max_tokens": np.int64(5),
        "stop_strings": ["Question:", "\n\n\n"],
        "answer": lambda x: "1",
        "stop_at_answer": False,
        "constraint": lambda x: True,
    }
    assert {"question", *parts} == set(PARTS)
    lm, prm = one_step(), FunctionReward(lambda x: 0.0)
    made = StateSpaceModel.of(Declaration("?", **parts), lm, prm)
    direct = StateSpaceModel("?", lm=lm, prm=prm, **parts)
    for name in [*PARTS, "lm", "prm", "likelihood"]:
        assert getattr(made, name) == getattr(direct, name)
        assert type(getattr(made, name)) is type(getattr(direct, name))
    assert made.likelihood == Odds(beta=2.0)
    assert type(made.max_tokens) is int and type(made.max_steps) is int


def test_a_model_without_a_reward_model_has_no_likelihood():
    assert StateSpaceModel.of(Declaration("?"), one_step(), None).likelihood is None


def test_the_models_of_a_declaration_are_checked():
    with pytest.raises(TypeError, match="lm must be a language model"):
        StateSpaceModel.of(Declaration("?"), "pocket", None)  # pyright: ignore
    with pytest.raises(TypeError, match="prm must be a reward model"):
        StateSpaceModel.of(Declaration("?"), one_step(), one_step())  # pyright: ignore


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"question": 3}, "question must be a str or a list of messages, not 3"),
        ({"question": " "}, "question must not be empty"),
        ({"target": "sum"}, "target must be one of"),
        ({"beta": -1}, "beta must be"),
        ({"alpha": 0}, "alpha must be"),
        ({"prior": 0.5}, "prior must be a Sampling, not 0.5"),
        ({"max_steps": 0}, "max_steps must be at least 1, not 0"),
        ({"max_tokens": 0}, "max_tokens must be at least 1, not 0"),
        ({"stop_strings": 7}, "stop_strings must be texts that end a solution, not 7"),
        ({"stop_strings": [".", ""]}, "not the empty text"),
        ({"stop_strings": "\ud800"}, "lone surrogates"),
        ({"answer": "1"}, "answer must"),
        ({"stop_at_answer": 1}, "stop_at_answer must"),
        ({"constraint": True}, "constraint must"),
    ],
)
def test_what_is_wrong_with_a_declaration_is_said(wrong, said):
    with pytest.raises((TypeError, ValueError), match=said):
        Declaration(**{"question": "?", **wrong})
