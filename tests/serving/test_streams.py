"""Streams: what happens on the way, the text step by step, and what the answer is worth."""

from __future__ import annotations

from collections import Counter

import numpy as np
import openai
import pytest
from live_servers import QUESTIONS, until

import motes
from motes.ppl import Posterior


def stream(client, question=QUESTIONS[0], model="pocket", **more):
    return client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": question}], stream=True, **more
    )


def text_of(chunks, index=0) -> str:
    pieces = [choice for chunk in chunks for choice in chunk.choices if choice.index == index]
    return "".join(piece.delta.content or "" for piece in pieces)


def test_a_stream_says_what_the_whole_reply_says(client) -> None:
    whole = client.chat.completions.create(
        model="pocket", messages=[{"role": "user", "content": QUESTIONS[0]}], seed=4, n=3
    )
    chunks = list(stream(client, seed=4, n=3, stream_options={"include_usage": True}))
    for choice in whole.choices:
        assert text_of(chunks, choice.index) == choice.message.content
    *_, last, usage = chunks
    left_out = ("cost", "report")
    assert {key: value for key, value in last.motes.items() if key not in left_out} == {
        key: value for key, value in whole.motes.items() if key not in left_out
    }
    assert usage.choices == []
    assert usage.usage.completion_tokens == whole.usage.completion_tokens
    assert usage.usage.total_tokens == whole.usage.total_tokens
    ends = [choice.finish_reason for chunk in chunks for choice in chunk.choices]
    assert [end for end in ends if end] == [choice.finish_reason for choice in whole.choices]
    assert chunks[0].choices[0].delta.role == "assistant"


def test_each_step_of_each_particle_is_told(client, alone) -> None:
    lm, prm = alone
    posterior = motes.solve(QUESTIONS[1], lm=lm, prm=prm, particles=6, seed=9, ess_threshold=1.0)
    options = {"motes": {"progress": "particles", "ess_threshold": 1.0}}
    chunks = list(stream(client, QUESTIONS[1], seed=9, extra_body=options))
    events = [chunk.motes for chunk in chunks if "event" in (getattr(chunk, "motes", None) or {})]
    steps = [event for event in events if event["event"] == "steps"]
    assert [step["tokens"] for step in steps] == sorted(step["tokens"] for step in steps)
    assert steps[-1]["tokens"] == posterior.cost.generated_tokens
    nodes = {node["id"]: node for step in steps for node in step["nodes"]}
    assert len(nodes) == steps[-1]["steps"]
    scores: dict[str, float] = {}
    for event in events:
        scores |= event.get("scores", {})
    assert set(scores) == {str(node) for node in nodes}
    ends = [number for event in events for number in event.get("closed", [])]
    check_paths(posterior, nodes, scores, set(ends))
    told = [step["resampled"] for step in steps]
    # what is resampled among equal particles alone, or to one each, cannot be seen
    assert any(told) and np.all(~np.array(told) | posterior.history.resampled)


def check_paths(posterior: Posterior, nodes, scores, ends: set[int]) -> None:
    """Whether the final trajectories are among the paths that were told, with their scores."""
    told = Counter()
    for end in ends:
        path, rewards = [], []
        while end:
            path.append(nodes[end]["text"])
            rewards.append(scores[str(end)])
            end = nodes[end]["parent"]
        told[tuple(reversed(path)), tuple(reversed(rewards))] += 1
    for x, log_odds in zip(posterior.trajectories, posterior.log_odds, strict=True):
        rewards = motes.log_odds.sigmoid(log_odds).round(4).tolist()
        assert told[x.steps, tuple(rewards)] >= 1
    assert sum(told.values()) == len(ends)


def test_progress_can_be_left_out_or_in_few_words(client) -> None:
    quiet = list(stream(client, extra_body={"motes": {"progress": "none"}}))
    assert not any("event" in (getattr(chunk, "motes", None) or {}) for chunk in quiet)
    events = [getattr(chunk, "motes", None) for chunk in stream(client)]
    steps = [event for event in events if event and "event" in event]
    assert steps and all(set(event) == {"event", "steps", "tokens"} for event in steps)


def test_a_completion_streams_too(client) -> None:
    asked = {"model": "pocket", "prompt": QUESTIONS[2], "seed": 1}
    chunks = list(client.completions.create(**asked, stream=True))
    whole = client.completions.create(**asked)
    pieces = [choice.text for chunk in chunks for choice in chunk.choices]
    assert "".join(pieces) == whole.choices[0].text
    assert chunks[-1].motes["answers"] == whole.motes["answers"]


def test_what_fails_on_the_way_is_an_error_of_the_stream(small) -> None:
    with pytest.raises(openai.APIError, match="all 16 particles are dead at step 1"):
        list(stream(small.client(), "Is it dead?", "talker"))


def test_a_client_that_goes_away_ends_the_run(small, talker) -> None:
    talker.gate.clear()
    chunks = stream(small.client(), "Does it go on for ever?", "talker")
    next(iter(chunks))
    until(lambda: small.service.engine.running == 1)
    chunks.close()
    until(lambda: small.service.metrics.text().count(b"motes_cancelled_total 1.0") == 1)
    talker.gate.set()
    until(lambda: small.service.engine.running == 0)
    assert talker.calls == 1  # of 32
    assert list(stream(small.client(), "How many?", "talker"))
