"""What a server takes on, what it refuses, and that what one request does harms no other."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx2
import openai
import pytest
from live_servers import Talker, judge, serving, until

import motes
from motes.models import FunctionReward
from motes.serving import Limits, Service
from motes.serving.server import check_exposure

KEY = "a key of many letters"


def ask(client, question="How many?", **more):
    return client.chat.completions.create(
        model="talker", messages=[{"role": "user", "content": question}], **more
    )


def post(server, content: str | bytes, **headers: str):
    kinds = {"content-type": "application/json", **headers}
    address = f"{server.url}/v1/chat/completions"
    return httpx2.post(address, content=content, headers=kinds, timeout=60)


def get(url: str, **more):
    """Ask as patiently as a busy machine needs: a report is drawn in seconds."""
    return httpx2.get(url, timeout=60, **more)


def message_of(reply) -> str:
    return reply.json()["error"]["message"]


def test_a_full_queue_refuses_in_a_sentence(small, talker) -> None:
    talker.gate.clear()
    engine = small.service.engine
    with ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(ask, small.client(), seed=0) for _ in range(3)]
        until(lambda: engine.running + engine.waiting == 3)
        with pytest.raises(openai.RateLimitError, match="busy with 3 requests"):
            ask(small.client())
        with pytest.raises(openai.RateLimitError, match="try again later"):
            ask(small.client(), stream=True)
        talker.gate.set()
        answers = [job.result().motes["answers"] for job in waiting]
    assert answers[0] == answers[1] == answers[2]


def test_a_client_that_tries_again_gets_its_answer(small, talker) -> None:
    """OpenAI's client does by itself, after the second that the refusal names."""
    talker.gate.clear()
    engine = small.service.engine
    with ThreadPoolExecutor(4) as pool:
        first = [pool.submit(ask, small.client(), seed=0) for _ in range(3)]
        until(lambda: engine.running + engine.waiting == 3)
        late = pool.submit(ask, small.client(max_retries=5), seed=0)
        until(lambda: b'status="429"} 1.0' in small.service.metrics.text())
        talker.gate.set()
        assert late.result().motes["answers"] == first[0].result().motes["answers"]


def test_a_request_that_takes_too_long_ends(talker) -> None:
    limits = Limits(seconds=1.5)
    service = Service(talker, FunctionReward(judge), name="talker", limits=limits)
    with serving(service) as server:
        talker.gate.clear()
        with pytest.raises(openai.InternalServerError, match=r"no answer within 1\.5 s") as caught:
            ask(server.client())
        assert caught.value.status_code == 504
        with pytest.raises(openai.APIError, match=r"no answer within 1\.5 s"):
            list(ask(server.client(), stream=True))
        talker.gate.set()
        until(lambda: service.engine.running == 0)
        assert ask(server.client()).motes["answer"] == "17"


def test_a_client_that_stops_waiting_ends_its_run(small, talker) -> None:
    talker.gate.clear()
    with pytest.raises(openai.APITimeoutError):
        ask(small.client(timeout=0.3), "Does it go on for ever?")
    until(lambda: b"motes_cancelled_total 1.0" in small.service.metrics.text())
    talker.gate.set()
    until(lambda: small.service.engine.running == 0)
    assert talker.calls == 1  # of 32
    assert ask(small.client()).motes["answer"] == "17"


def test_a_request_that_waits_and_is_given_up_makes_room(small, talker) -> None:
    talker.gate.clear()
    engine = small.service.engine
    with ThreadPoolExecutor(2) as pool:
        under_way = [pool.submit(ask, small.client()) for _ in range(2)]
        until(lambda: engine.running + engine.waiting == 2)
        with pytest.raises(openai.APITimeoutError):
            ask(small.client(timeout=0.3))
        until(lambda: engine.running + engine.waiting == 2)
        talker.gate.set()
        assert all(job.result().motes["answer"] == "17" for job in under_way)


def test_what_one_request_does_harms_no_other(small, talker) -> None:
    good = motes.solve("How many?", lm=Talker(), prm=FunctionReward(judge), particles=16, seed=3)
    talker.gate.clear()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(ask, small.client(), seed=3)
        until(talker.asked.is_set)
        bad = pool.submit(ask, small.client(), "A bad one?", seed=3)
        until(lambda: small.service.engine.waiting == 1)
        talker.gate.set()
        with pytest.raises(openai.InternalServerError, match="gave a step log-probability nan"):
            bad.result()
        answers = {row["answer"]: row["probability"] for row in first.result().motes["answers"]}
    assert answers == good.answers
    with pytest.raises(openai.UnprocessableEntityError, match="are dead at step 1"):
        ask(small.client(), "Is it dead?")
    assert ask(small.client(), seed=3).motes["log_evidence"] == good.log_evidence


def test_a_server_that_ends_gives_up_its_runs(talker) -> None:
    threads = threading.active_count()
    service = Service(talker, FunctionReward(judge), name="talker")
    with ThreadPoolExecutor(1) as pool:
        with serving(service) as server:
            talker.gate.clear()
            asked = pool.submit(ask, server.client())
            until(talker.asked.is_set)
            threading.Timer(0.3, talker.gate.set).start()
        assert isinstance(asked.exception(), openai.APIError | None)
    assert not service.engine.ready
    until(lambda: threading.active_count() <= threads)


@pytest.mark.parametrize(
    ("content", "headers", "status", "sentence"),
    [
        ("{", {}, 400, "the body is not JSON"),
        ("[]", {}, 400, "the body must be a JSON object"),
        ("[" * 4000, {}, 400, ""),
        (b'{"model": "\xff"}', {}, 400, ""),
        ("{}", {}, 400, "model: Field required"),
        ("{}", {"content-type": "text/plain"}, 415, "the body must be JSON"),
        ('{"model": "' + "x" * 5000 + '"}', {}, 413, "at most 4,096 bytes"),
        (
            '{"model": "talker", "messages": [{"role": "user", "content": '
            '[{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}]}]}',
            {},
            400,
            "messages.0.content.0.type: Input should be 'text'",
        ),
        ('{"model": "talker", "motes": {"' + "x" * 3000 + '": 1}}', {}, 400, ""),
        ("{}", {"host": "evil.example"}, 421, "does not answer to the name 'evil.example'"),
        ('{"model": "\\ud800", "messages": [{"role": "user", "content": "?"}]}', {}, 400, "model"),
        (
            '{"model": "talker", "messages": [{"role": "user", "content": "\\ud800"}]}',
            {},
            400,
            "must be Unicode",
        ),
    ],
)
def test_bad_bodies_are_refused(content, headers, status, sentence, small) -> None:
    reply = post(small, content, **headers)
    assert reply.status_code == status and sentence in message_of(reply)
    assert set(reply.json()["error"]) == {"message", "type", "param", "code"}
    assert len(message_of(reply)) < 2100


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:1", "127.0.0.1:80", "[::1]:8000", "[::1]"]
)
def test_names_of_this_machine(host, small) -> None:
    reply = get(f"{small.url}/health", headers={"host": host})
    assert reply.status_code == 200


def test_a_long_body_in_pieces_is_refused_before_it_is_read(small) -> None:
    reply = post(small, (b"x" * 1000 for _ in range(100)))
    assert reply.status_code == 413


def test_a_key_is_asked_for_and_never_logged(talker, caplog) -> None:
    caplog.set_level(logging.DEBUG)
    service = Service(talker, FunctionReward(judge), name="talker")
    with serving(service, key=KEY) as server:
        with pytest.raises(openai.AuthenticationError, match="a key is needed"):
            ask(server.client())
        with pytest.raises(openai.AuthenticationError, match="a key is needed"):
            server.client(KEY + "x").models.list()
        assert get(f"{server.url}/metrics").status_code == 401
        for path in ("/", "/health", "/ready", "/page/page.css"):
            assert get(server.url + path).status_code == 200
        reply = ask(server.client(KEY), "What is the secret?")
        assert get(server.url + reply.motes["report"]).status_code == 200
    logged = [line for line in caplog.messages if line.startswith(("GET", "POST"))]
    assert len(logged) == 9
    text = "\n".join(logged)
    assert KEY not in text and "secret" not in text and reply.motes["report"] not in text
    assert "POST /v1/chat/completions 200" in text and "GET /reports/{name} 200" in text


@pytest.mark.parametrize(
    ("host", "key", "piece"),
    [
        ("0.0.0.0", None, "reached from other machines"),
        ("::", None, "reached from other machines"),
        ("example.org", None, "reached from other machines"),
        ("127.0.0.1", "short", "at least 16"),
        ("0.0.0.0", "é" * 20, "printable ASCII"),
    ],
)
def test_no_server_is_open_to_others_without_a_key(host, key, piece) -> None:
    with pytest.raises(ValueError, match=piece):
        check_exposure(host, key)
    check_exposure("::1", None)
    check_exposure("0.0.0.0", KEY)


def test_reports_are_kept_for_a_while(small) -> None:
    first, *others = [ask(small.client(), seed=seed).motes["report"] for seed in range(3)]
    assert get(small.url + first).status_code == 404
    for other in others:
        page = get(small.url + other)
        assert page.status_code == 200 and "How many?" in page.text
        assert page.headers["content-security-policy"] == "sandbox allow-scripts"
    for path in ("/reports/..%2f..%2fetc%2fpasswd", "/reports/x", "/page/..%2fserver.py", "/no"):
        reply = get(small.url + path)
        assert reply.status_code == 404 and message_of(reply).startswith("there is no")
    reply = get(f"{small.url}/v1/chat/completions")
    assert reply.status_code == 405 and "does not take this method" in message_of(reply)


def test_health_and_metrics(small) -> None:
    assert get(f"{small.url}/health").json() == {"status": "ok"}
    assert get(f"{small.url}/ready").json() == {"status": "ready"}
    ask(small.client())
    lines = get(f"{small.url}/metrics").text.splitlines()
    assert 'motes_requests_total{route="/v1/chat/completions",status="200"} 1.0' in lines
    assert "motes_running 0.0" in lines and "motes_request_seconds_count 1.0" in lines
    generated = [line for line in lines if line.startswith("motes_generated_tokens_total ")]
    assert float(generated[0].split()[1]) == small.service.lm.cost.generated_tokens > 0
