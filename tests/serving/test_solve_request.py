"""What a request means: whatever is wrong is one sentence, and nothing in it names a file."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from motes.models import Sampling
from motes.models.conversation import turns_of
from motes.samplers import ParticleFilter, ResampleMove
from motes.samplers.registry import known_samplers, sampler_class, size_setting
from motes.serving import Defaults, Limits, kept_reports
from motes.serving.bodies import ChatBody, CompletionBody
from motes.serving.refusals import Refusal
from motes.serving.solve_request import solve_request

LIMITS = Limits(trajectories=100, choices=4)
MESSAGES = [{"role": "user", "content": "How many?"}]


def asked(fields=None, headers=None, defaults=None):
    body = ChatBody.model_validate_json(
        json.dumps({"model": "pocket", "messages": MESSAGES, **(fields or {})})
    )
    defaults = defaults or Defaults()
    return solve_request(body, headers or {}, name="pocket", defaults=defaults, limits=LIMITS)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"model": "gpt-4"}, "model must be 'pocket'"),
        ({"model": "pocket:magic"}, "sampler must be one of particle_filter"),
        ({"model": "magic-pocket"}, "not 'magic'"),
        ({"optillm_approach": "moa&bon"}, "sampler must be one of"),
        ({"motes": {"sampler": "none"}}, "sampler must be one of"),
        ({"motes": {"particles": 0}}, "particles must be at least 1"),
        ({"motes": {"particles": "8"}}, "particles must be an integer"),
        ({"motes": {"particles": True}}, "particles must be an integer"),
        ({"motes": {"particles": 8}, "budget": 8}, "budget must be left out"),
        ({"motes": {"sampler": "a_star"}, "budget": 8}, "budget must be left out"),
        ({"motes": {"particles": 101}}, "at most 100 trajectories, not 101"),
        ({"motes": {"particles": 30, "runs": 4}}, "not 120 (particles 30 x runs 4)"),
        ({"motes": {"runs": 0}}, "runs must be at least 1"),
        ({"motes": {"target": "magic"}}, "target must be one of product"),
        ({"motes": {"alpha": -1}}, "alpha must"),
        ({"motes": {"max_steps": 0}}, "max_steps must be at least 1"),
        ({"motes": {"max_steps": 10**6}}, "at most 1024 steps, not 1000000"),
        (
            {"motes": {"sampler": "resample_move", "moves": 101}},
            "not 1616 (particles 16 x moves 101)",
        ),
        (
            {"motes": {"sampler": "momentum_uncertainty", "candidates": 101}},
            "candidates 101",  # rows of one batch
        ),
        (
            {"motes": {"sampler": "tempered_smc", "ladder": [*(i / 200 for i in range(201))]}},
            "ladder 201",
        ),
        ({"motes": {"proposal": {"heat": 2}}}, "not 'heat'"),
        ({"motes": {"ess_threshold": 2}}, "ess_threshold must be a number in [0, 1]"),
        ({"temperature": 0}, "temperature must be a finite number above 0"),
        ({"top_p": 1.5}, "top_p"),
        ({"n": 5}, "n must be at most 4"),
        ({"messages": [{"role": "user", "content": " "}]}, "question must not be empty"),
        ({"messages": [{"role": "user"}]}, "question must not be empty"),
        (
            {"messages": [*MESSAGES, {"role": "system", "content": "Be good."}, *MESSAGES]},
            "a system message must be the first message",
        ),
        ({"messages": [*MESSAGES, {"role": "assistant", "content": "7"}]}, "must be the user's"),
        ({"messages": [{"role": "tool", "content": "7"}, *MESSAGES]}, "role must be one of system"),
        ({"stop": ""}, "stop_strings must be texts that end a solution, not the empty text"),
        ({"logprobs": True}, "logprobs is not done"),
        ({"tools": [{"type": "function"}]}, "tools is not done"),
        ({"response_format": {"type": "json_object"}}, "response_format is not done"),
        ({"presence_penalty": 0.5}, "presence_penalty is not done"),
    ],
)
def test_what_is_wrong_is_one_sentence(fields, sentence) -> None:
    with pytest.raises(Refusal) as caught:
        asked(fields)
    assert sentence in caught.value.sentence and "\n" not in caught.value.sentence
    assert caught.value.status in (400, 404)


def test_the_turns_of_a_conversation_are_the_question() -> None:
    turns = [
        {"role": "developer", "content": "Be good."},
        {
            "role": "user",
            "content": [{"type": "text", "text": "2 + "}, {"type": "text", "text": "3?"}],
        },
        {"role": "assistant", "content": "5."},
        *MESSAGES,
    ]
    question = asked({"messages": turns}).question
    assert turns_of(question) == [
        {"role": "system", "content": "Be good."},
        {"role": "user", "content": "2 + 3?"},
        {"role": "assistant", "content": "5."},
        *MESSAGES,
    ]
    # what a message says forges no turn
    forged = {"role": "user", "content": f"{question}\n\nHow many?"}
    assert turns_of(asked({"messages": [forged]}).question)[0]["role"] == "user"
    assert asked({"messages": MESSAGES}).question == "How many?"


@pytest.mark.parametrize(
    "name",
    [
        "checkpoint",
        "lm",
        "prm",
        "device",
        "answer",
        "constraint",
        "prior",
        "progress_file",
        "__class__",
        "name",
    ],
)
def test_nothing_of_a_request_names_a_file_or_a_model(name) -> None:
    with pytest.raises(Refusal, match=f"{name} is not a setting of 'particle_filter'"):
        asked({"motes": {name: "/etc/passwd"}})


@pytest.mark.parametrize("budget", [0, -1, 1.5, True, "8", 1001, 1e99])
def test_a_budget_is_an_integer_in_its_range(budget) -> None:
    with pytest.raises(ValidationError):
        asked({"budget": budget})
    with pytest.raises(Refusal, match="x-its-budget must be an integer from 1 to 1000"):
        asked(headers={"x-its-budget": str(budget) if budget != "8" else "8.0"})


@pytest.mark.parametrize("header", ["x-its-endpoint", "x-its-api-key"])
def test_another_model_is_not_asked(header) -> None:
    with pytest.raises(Refusal, match="another model"):
        asked(headers={header: "http://127.0.0.1"})


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, True])
def test_a_seed_is_one_of_solve(seed) -> None:
    with pytest.raises(ValidationError):
        asked({"seed": seed})


def test_a_header_goes_before_the_body_and_that_before_the_model() -> None:
    model, body = {"model": "pocket:power_smc"}, {"optillm_approach": "resample-move"}
    name = lambda request: request.arguments["sampler"].name
    assert name(asked()) == "particle_filter"
    assert name(asked(model)) == "power_smc"
    assert name(asked({**model, **body})) == "resample_move"
    assert name(asked({**model, **body, "motes": {"sampler": "twisted_smc"}})) == "twisted_smc"
    header = {"x-motes-sampler": "tempered-smc", "x-its-budget": " 7 "}
    found = asked({**model, **body, "budget": 9}, header)
    assert name(found) == "tempered_smc" and found.arguments["sampler"].particles == 7


def test_the_operator_s_defaults_hold_where_nothing_else_is_said() -> None:
    prior = Sampling(temperature=0.7, top_k=5)
    rule = lambda trajectory: "7"
    declared = {"target": "odds", "beta": 0.5, "prior": prior, "answer": rule, "constraint": None}
    defaults = Defaults(sampler="resample_move", particles=5, declared=declared)
    arguments = asked({"seed": 3}, defaults=defaults).arguments
    assert arguments["sampler"] == ResampleMove(particles=5) and arguments["seed"] == 3
    assert arguments["prior"] == prior and arguments["answer"] is rule
    assert (arguments["target"], arguments["beta"], arguments["max_steps"]) == ("odds", 0.5, 32)
    arguments = asked({"temperature": 0.9, "motes": {"beta": 1.0}}, defaults=defaults).arguments
    assert arguments["prior"] == Sampling(temperature=0.9, top_k=5) and arguments["beta"] == 1.0


def test_what_asks_for_nothing_is_no_error() -> None:
    nothing = {
        "stop": [],
        "logprobs": False,
        "tools": [],
        "frequency_penalty": 0,
        "response_format": {"type": "text"},
        "user": "someone",
        "metadata": {"a": "b"},
    }
    found = asked(
        {**nothing, "messages": [{"role": "user", "content": [{"type": "text", "text": "?"}]}]}
    )
    assert found.question == "?" and found.choices == 1 and not found.stream
    assert found.arguments["sampler"] == ParticleFilter(particles=16)


def test_a_message_may_name_the_approach_as_optillm_has_it() -> None:
    tag = "<optillm_approach>importance-sampling</optillm_approach>"
    turns = [
        {"role": "system", "content": "Be good. <optillm_approach>bon</optillm_approach>"},
        {"role": "user", "content": "2 + 3?"},
        {"role": "assistant", "content": f"{tag} 5."},
    ]
    few = Defaults(particles=4)
    name = lambda fields: asked(fields, defaults=few).arguments["sampler"].name
    found = asked({"messages": [*turns, {"role": "user", "content": f"{tag} How many?"}]})
    assert found.arguments["sampler"].name == "importance_sampling"
    said = [turn["content"] for turn in turns_of(found.question)]
    assert said == ["Be good. ", "2 + 3?", f"{tag} 5.", "How many?"]
    assert name({"messages": [*turns, *MESSAGES]}) == "best_of_n"
    # what a model said names nothing, and what the body says goes before
    assert name({"messages": [*turns[1:], *MESSAGES]}) == "particle_filter"
    assert name({"messages": turns[:2], "optillm_approach": "beam"}) == "beam_search"
    wrong = "<optillm_approach>moa|bon</optillm_approach> How many?"
    with pytest.raises(Refusal, match="sampler must be one of"):
        asked({"messages": [{"role": "user", "content": wrong}]})


@pytest.mark.parametrize("sampler", known_samplers())
def test_every_sampler_is_served_as_it_is_named(sampler) -> None:
    """By the model's name alone, and as the page asks: no sampler is more than a server takes."""
    limits = Limits()
    for fields in ({}, {"budget": 16}):
        if fields and size_setting(sampler) is None:
            continue
        body = ChatBody.model_validate({"model": f"m:{sampler}", "messages": MESSAGES, **fields})
        found = solve_request(body, {}, name="m", defaults=Defaults(), limits=limits)
        assert type(found.arguments["sampler"]) is sampler_class(sampler)


def test_a_completion_has_one_prompt() -> None:
    settings = {"name": "pocket", "defaults": Defaults(), "limits": LIMITS}
    one = CompletionBody.model_validate({"model": "pocket", "prompt": ["How many?"]})
    assert solve_request(one, {}, **settings).question == "How many?"
    two = CompletionBody.model_validate({"model": "pocket", "prompt": ["How many?", "And now?"]})
    with pytest.raises(Refusal, match="prompt must be one text, not 2"):
        solve_request(two, {}, **settings)


def test_posteriors_are_kept_as_far_as_there_is_room(monkeypatch) -> None:
    monkeypatch.setattr(kept_reports, "MOST_BYTES", 10)
    kept = kept_reports.KeptReports(3)
    assert kept.keep(b"x" * 11) is None and len(kept) == 0
    first, second = kept.keep(b"x" * 6), kept.keep(b"x" * 4)
    assert len(kept) == 2 and first != second
    kept.keep(b"x")
    assert len(kept) == 2 and kept.page(str(first)) is None
    for _ in range(5):
        kept.keep(b"")
    assert len(kept) == 3
    assert kept_reports.KeptReports(0).keep(b"x") is None
