"""OpenAI's own client against the server: what comes back is what `motes.solve` says."""

from __future__ import annotations

import asyncio
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import openai
import pytest
from live_servers import QUESTIONS, until

import motes
from motes.models import Sampling


def ask(client, question=QUESTIONS[0], model="pocket", **more):
    return client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": question}], **more
    )


def solved(alone, question=QUESTIONS[0], **arguments):
    lm, prm = alone
    if arguments.get("sampler") not in ("majority_vote", "suffix_metropolis"):
        arguments = {"particles": 6, **arguments}
    return motes.solve(question, lm=lm, prm=prm, **arguments)


def check_same(reply, posterior) -> None:
    """Whether a reply has what a posterior says, number by number."""
    told = reply.motes
    assert told["answer"] == posterior.answer
    assert {row["answer"]: row["probability"] for row in told["answers"]} == posterior.answers
    assert told["log_evidence"] == posterior.log_evidence
    assert told["ess"] == posterior.ess.tolist()
    assert told["findings"] == [finding._asdict() for finding in posterior.check()]
    assert reply.usage.completion_tokens == posterior.cost.generated_tokens
    labels = dict(zip(posterior.trajectories, posterior.labels, strict=True))
    best = next(x for x in posterior.distinct if labels[x] == posterior.answer)
    assert reply.choices[0].message.content == best.text
    assert reply.choices[0].motes["probability"] == posterior.answers[posterior.answer]


def test_an_answer_is_that_of_solve(client, alone) -> None:
    reply = ask(client, seed=5)
    check_same(reply, solved(alone, seed=5))
    assert (reply.object, reply.model, reply.choices[0].finish_reason) == (
        "chat.completion",
        "pocket",
        "stop",
    )
    prompt = motes.models.prompt_of(alone[0], QUESTIONS[0])
    assert prompt is not None and reply.usage.prompt_tokens == len(prompt.token_ids)
    total = reply.usage.prompt_tokens + reply.usage.completion_tokens
    assert reply.usage.total_tokens == total
    assert reply.motes["cost"]["prm_tokens"] > 0


def test_a_conversation_is_answered_as_solve_answers_it(client, alone) -> None:
    turns = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": QUESTIONS[1]},
        {"role": "assistant", "content": "The answer is 9."},
        {"role": "user", "content": QUESTIONS[0]},
    ]
    reply = client.chat.completions.create(model="pocket", messages=turns, seed=5)
    posterior = solved(alone, turns, seed=5)
    check_same(reply, posterior)
    assert reply.usage.prompt_tokens == len(posterior.settings["prompt_token_ids"])
    assert reply.choices[0].message.content != ask(client, seed=5).choices[0].message.content


def test_requests_at_once_share_forward_passes_and_draw_what_each_would_alone(
    served, client, alone
) -> None:
    expected = [solved(alone, question, seed=3) for question in QUESTIONS[:5]]
    passes, engine = served.service.lm.cost.forward_passes, served.service.engine
    gate = threading.Event()
    engine.submit(lambda batched: gate.wait(60))  # until all have come
    until(lambda: engine.running == 1 and not engine.waiting)  # so that none gets in beside it
    with ThreadPoolExecutor(5) as pool:
        asked = [pool.submit(ask, client, question, seed=3) for question in QUESTIONS[:5]]
        until(lambda: engine.waiting == 5)
        gate.set()
        replies = [reply.result() for reply in asked]
    for reply, posterior in zip(replies, expected, strict=True):
        check_same(reply, posterior)
    alone_passes = sum(posterior.cost.forward_passes for posterior in expected)
    assert served.service.lm.cost.forward_passes - passes < alone_passes / 2


def test_the_asynchronous_client(served, client) -> None:
    expected = ask(client, seed=4)
    messages = [{"role": "user", "content": QUESTIONS[0]}]

    async def asked():
        async with openai.AsyncOpenAI(base_url=f"{served.url}/v1", api_key="none") as other:
            create = other.chat.completions.create
            settings = {"model": "pocket", "messages": messages, "seed": 4}
            replies = await asyncio.gather(*[create(**settings) for _ in range(3)])
            chunks = [chunk async for chunk in await create(**settings, stream=True)]
        return replies, "".join(chunk.choices[0].delta.content or "" for chunk in chunks)

    replies, text = asyncio.run(asked())
    for reply in replies:
        assert reply.motes["answers"] == expected.motes["answers"]
        assert reply.choices[0].message.content == text == expected.choices[0].message.content


def test_the_client_s_own_helper_for_streams(client) -> None:
    messages = [{"role": "user", "content": QUESTIONS[0]}]
    with client.chat.completions.stream(model="pocket", messages=messages, seed=4, n=2) as events:
        final = events.get_final_completion()
    whole = ask(client, seed=4, n=2)
    for streamed, choice in zip(final.choices, whole.choices, strict=True):
        assert streamed.message.content == choice.message.content
        assert streamed.finish_reason == choice.finish_reason


def test_a_seed_is_drawn_and_told_where_none_is_given(client, alone) -> None:
    first, second = ask(client), ask(client)
    assert first.motes["seed"] != second.motes["seed"]
    check_same(first, solved(alone, seed=first.motes["seed"]))


@pytest.mark.parametrize(
    ("request_", "arguments"),
    [
        ({"model": "pocket:importance_sampling"}, {"sampler": "importance_sampling"}),
        ({"model": "majority-vote-pocket"}, {"sampler": "majority_vote", "samples": 6}),
        (
            {"model": "pocket", "extra_body": {"optillm_approach": "self_consistency"}},
            {"sampler": "majority_vote", "samples": 6},
        ),
        ({"extra_body": {"budget": 4}}, {"particles": 4}),
        ({"extra_headers": {"X-ITS-Budget": "5"}, "extra_body": {"budget": 4}}, {"particles": 5}),
        (
            {
                "model": "pocket:importance_sampling",
                "extra_headers": {"X-Motes-Sampler": "resample_move"},
                "extra_body": {"motes": {"particles": 6, "moves": 2}},
            },
            {"sampler": "resample_move", "particles": 6, "moves": 2},
        ),
        (
            {
                "model": "pocket:importance_sampling",
                "extra_body": {"motes": {"sampler": "particle_filter", "ess_threshold": 0.9}},
            },
            {"ess_threshold": 0.9},
        ),
        (
            {"temperature": 0.5, "top_p": 0.9, "extra_body": {"top_k": 8}},
            {"prior": Sampling(temperature=0.5, top_p=0.9, top_k=8)},
        ),
        (
            {
                "extra_body": {
                    "motes": {
                        "runs": 2,
                        "particles": 4,
                        "target": "odds",
                        "beta": 0.5,
                        "alpha": 1.5,
                        "max_steps": 5,
                        "proposal": {"temperature": 1.2},
                    }
                }
            },
            {
                "runs": 2,
                "particles": 4,
                "target": "odds",
                "beta": 0.5,
                "alpha": 1.5,
                "max_steps": 5,
                "proposal": Sampling(temperature=1.2),
            },
        ),
        ({"max_completion_tokens": 200}, {"budget": 200}),
        ({"max_tokens": 30}, {"max_tokens": 30}),
        ({"stop": ["owns", "So the"]}, {"stop_strings": ["owns", "So the"]}),
        (
            {
                "model": "pocket:suffix_metropolis",
                "extra_body": {"budget": 3, "motes": {"chains": 2, "warmup": 1, "starts": 1}},
            },
            {
                "sampler": "suffix_metropolis",
                "chains": 2,
                "iterations": 3,
                "warmup": 1,
                "starts": 1,
            },
        ),
    ],
    ids=lambda value: "",
)
def test_methods_and_budgets(request_, arguments, client, alone) -> None:
    posterior = solved(alone, seed=1, **arguments)
    reply = ask(client, seed=1, **request_)
    assert reply.motes["sampler"] == posterior.sampler
    for name, value in reply.motes["settings"].items():
        assert json.loads(json.dumps(posterior.settings[name])) == value
    assert {row["answer"]: row["probability"] for row in reply.motes["answers"]} == (
        posterior.answers
    )


def test_choices(client, alone) -> None:
    posterior = solved(alone, seed=2, particles=8)
    reply = ask(client, seed=2, n=5, extra_body={"budget": 8})
    assert [choice.index for choice in reply.choices] == list(range(5))
    texts = {
        x.text: label for x, label in zip(posterior.trajectories, posterior.labels, strict=True)
    }
    for choice in reply.choices:
        assert choice.motes["answer"] == texts[choice.message.content]
    assert reply.choices[0].motes["answer"] == posterior.answer


def test_a_solution_that_is_cut_off_ends_by_its_length(client, alone) -> None:
    posterior = solved(alone, seed=0, max_tokens=1)
    reply = ask(client, seed=0, max_tokens=1, n=4)
    reasons = {x.text: "stop" if x.finished else "length" for x in posterior.trajectories}
    assert "length" in reasons.values()
    for choice in reply.choices:
        assert choice.finish_reason == reasons[choice.message.content]
        assert (choice.motes["answer"] is None) == (choice.finish_reason == "length")


def test_a_solution_ends_at_a_stop_text_which_is_no_part_of_it(client, alone) -> None:
    posterior = solved(alone, seed=5, stop_strings=["answer"])
    reply = ask(client, seed=5, stop="answer", n=3)
    assert {x.text for x in posterior.trajectories} >= {c.message.content for c in reply.choices}
    for choice in reply.choices:
        assert "answer" not in choice.message.content and choice.finish_reason == "stop"
    whole = ask(client, seed=5).choices[0].message.content
    assert whole.startswith(reply.choices[0].message.content) and "answer" in whole


def test_only_the_response_or_all_of_it_as_its_hub_has_them(client, alone) -> None:
    reply = ask(client, extra_body={"return_response_only": True})
    assert not hasattr(reply, "motes") and not hasattr(reply.choices[0], "motes")
    posterior = solved(alone, seed=5)
    reply = ask(client, seed=5, extra_body={"return_response_only": False})
    told = reply.metadata
    assert told["algorithm"] == "particle_filter"
    assert told["responses"] == [x.text for x in posterior.trajectories]
    assert told["weights"] == np.exp(posterior.log_weights).tolist()
    assert told["responses"][told["selected_index"]] == reply.choices[0].message.content
    assert "metadata" not in ask(client).to_dict(exclude_unset=True)


@pytest.mark.parametrize("stream", [False, True])
def test_a_header_says_that_more_than_one_answer_was_drawn(stream, client) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model="pocket", messages=[{"role": "user", "content": QUESTIONS[0]}], stream=stream
    )
    assert raw.headers["x-its-applied"] == "true"


def test_completions(client, alone) -> None:
    reply = client.completions.create(model="pocket", prompt=QUESTIONS[0], seed=5)
    posterior = solved(alone, seed=5)
    assert reply.object == "text_completion" and reply.motes["answer"] == posterior.answer
    [choice] = reply.choices
    assert choice.text in {x.text for x in posterior.trajectories}
    assert choice.finish_reason == "stop"


def test_models(client) -> None:
    names = [model.id for model in client.models.list()]
    assert names[0] == "pocket" and "pocket:particle_filter" in names
    assert client.models.retrieve("pocket:particle_filter").id == "pocket:particle_filter"
