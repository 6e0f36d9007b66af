"""Clients that hold a connection and say nothing, or never read: their places become free."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import httpx2
import pytest
from live_servers import Served, Talker, judge, serving, until

from motes.models import FunctionReward
from motes.serving import Limits, Service, gate, patient_connection

POST = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
)


@pytest.fixture
def tight(monkeypatch) -> Iterator[Served]:
    """A server with few places, whose patience is short."""
    monkeypatch.setattr(patient_connection, "HEAD_SECONDS", 0.5)
    monkeypatch.setattr(patient_connection, "READ_SECONDS", 0.5)
    monkeypatch.setattr(gate, "BODY_SECONDS", 0.5)
    limits = Limits(at_once=1, waiting=0, trajectories=4096)
    service = Service(Talker(), FunctionReward(judge), name="talker", limits=limits)
    with serving(service) as server:
        yield server


def connected(server: Served, sent: bytes, buffer: int | None = None) -> socket.socket:
    host, port = server.url.removeprefix("http://").split(":")
    opened = socket.socket()
    opened.settimeout(10)
    if buffer is not None:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    opened.connect((host, int(port)))
    opened.sendall(sent)
    return opened


def ended(opened: socket.socket) -> bool:
    """Whether the server ends a connection, within the time limit of the socket."""
    try:
        while opened.recv(1 << 16):
            pass
    except ConnectionError:
        pass
    return True


@pytest.mark.parametrize("head", [b"", b"POST", POST, b"GET /health HTTP/1.1\r\nX-Slow: "])
def test_half_a_head_is_waited_for_only_so_long(head, tight) -> None:
    with connected(tight, head) as opened:
        assert ended(opened)


def test_further_bytes_of_a_head_give_it_no_more_time(tight) -> None:
    with connected(tight, b"GET /health HTTP/1.1\r\n") as opened:
        for _ in range(100):
            try:
                opened.sendall(b"X: y\r\n")
            except ConnectionError:
                return
            time.sleep(0.05)
    pytest.fail("the server waits as long as bytes come")


def test_a_second_head_on_a_connection_is_waited_for_only_so_long(tight) -> None:
    with connected(tight, b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n") as opened:
        assert opened.recv(1 << 16).startswith(b"HTTP/1.1 200")
        opened.sendall(b"GET /hea")
        assert ended(opened)


def test_a_body_that_never_comes_is_refused(tight) -> None:
    with connected(tight, POST + b"Content-Length: 100\r\n\r\n{") as opened:
        assert opened.recv(1 << 16).startswith(b"HTTP/1.1 408")


def test_silent_clients_take_no_place_for_good(tight, monkeypatch) -> None:
    """More of them than the server takes, and a while later it answers as before."""
    monkeypatch.setattr(patient_connection, "HEAD_SECONDS", 2.0)  # until all have come
    with ExitStack() as stack:
        for _ in range(80):
            stack.enter_context(connected(tight, POST))
        assert httpx2.get(f"{tight.url}/health").status_code == 503
        until(lambda: httpx2.get(f"{tight.url}/health").status_code == 200, 10)


def test_a_reply_that_nobody_reads_is_given_up(tight) -> None:
    """A reply of some ten megabytes, more than the sockets' buffers hold."""
    asked = {
        "model": "talker",
        "messages": [{"role": "user", "content": "Does it go on for ever?"}],
        "budget": 2,
        "n": 128,
        "stream": True,
        "motes": {"max_steps": 256},
    }
    body = json.dumps(asked).encode()
    head = POST + f"Content-Length: {len(body)}\r\n\r\n".encode()
    with connected(tight, head + body, buffer=4096):
        until(lambda: b'route="/v1/chat/completions"' in tight.service.metrics.text(), 20)
