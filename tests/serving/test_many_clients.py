"""Many clients at once, some of which go away or talk nonsense: nothing hangs, nothing leaks, and
every answer is that of `motes.solve`."""

from __future__ import annotations

import ctypes
import gc
import random
import resource
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from live_servers import QUESTIONS, Served, serving, until
from server_schema import bodies_not_allowed

import motes
from motes.models import Trajectory
from motes.serving import Defaults, Limits, Service

CLIENTS = 32
KINDS = ["whole", "stream", "gone", "late", "malformed"]
MALFORMED = [
    b"{",
    b"[]",
    b"\xff\xfe",
    b'{"model": "pocket", "messages": []}',
    b'{"model": "pocket", "messages": [{"role": "user", "content": ""}]}',
    b'{"model": "pocket", "messages": [{"role": "user", "content": "?"}], "seed": -1}',
    b'{"model": "pocket", "messages": [{"role": "user", "content": "?"}], "n": 1e99}',
    b"[" * 20_000,
    *bodies_not_allowed(100),
]


class Client:
    """Asks in a random way, so many times at least, and until the time is over."""

    def __init__(
        self,
        server: Served,
        clients: tuple[openai.OpenAI, httpx2.Client],
        number: int,
        times: int,
        until_time: float,
    ) -> None:
        self.server, self.times, self.until_time = server, times, until_time
        self.client, self.plain = clients  # each of which all threads may use
        self.random = random.Random(number)
        self.answers: list[tuple[str, int, dict[str, float], float]] = []
        self.kinds: list[str] = []

    def __call__(self) -> Client:
        while len(self.kinds) < self.times or time.monotonic() < self.until_time:
            kind = self.random.choice(KINDS)
            self.kinds.append(kind)
            if kind == "malformed":
                self.talk_nonsense()
            else:
                self.ask(kind)
        return self

    def talk_nonsense(self) -> None:
        if self.random.random() < 0.2:  # half a request
            host, port = self.server.url.removeprefix("http://").split(":")
            with socket.create_connection((host, int(port))) as raw:
                raw.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nContent-Le")
            return
        reply = self.plain.post(
            f"{self.server.url}/v1/chat/completions",
            content=self.random.choice(MALFORMED),
            headers={"content-type": "application/json"},
        )
        assert reply.status_code in (400, 404) and reply.json()["error"]["message"]

    def ask(self, kind: str) -> None:
        question, seed = self.random.choice(QUESTIONS[:4]), self.random.randrange(2)
        messages: Any = [{"role": "user", "content": question}]
        asked = {"model": "pocket", "messages": messages, "seed": seed}
        if kind == "late":
            try:
                self.client.with_options(timeout=0.02).chat.completions.create(**asked)
            except openai.APITimeoutError:
                return
            return
        if kind == "whole":
            self.keep(question, seed, self.client.chat.completions.create(**asked).motes)
            return
        last = None
        with self.client.chat.completions.create(**asked, stream=True) as chunks:
            for number, chunk in enumerate(chunks):
                last = chunk
                if kind == "gone" and number == 1:
                    return
        if last is not None:
            self.keep(question, seed, last.motes)

    def keep(self, question: str, seed: int, told: dict[str, Any]) -> None:
        answers = {row["answer"]: row["probability"] for row in told["answers"]}
        self.answers.append((question, seed, answers, told["log_evidence"]))


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def memory() -> int:
    """Resident bytes, without those that the allocator keeps for later (glibc's, where it is)."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def run_clients(
    server: Served, times: int, seconds: float = 0.0, count: int = CLIENTS
) -> list[Client]:
    end = time.monotonic() + seconds
    limits = httpx2.Limits(max_connections=2 * CLIENTS)
    address = f"{server.url}/v1"
    with (
        httpx2.Client(limits=limits) as plain,
        openai.OpenAI(
            base_url=address, api_key="none", max_retries=0, timeout=60, http_client=plain
        ) as client,
        ThreadPoolExecutor(count) as pool,
    ):
        asking = [Client(server, (client, plain), i, times, end) for i in range(count)]
        return list(pool.map(Client.__call__, asking))


def alive() -> int:
    """Trajectories that something holds."""
    gc.collect()
    return sum(type(thing) is Trajectory for thing in gc.get_objects())


def check_nothing_is_left(server: Served, trajectories: int) -> None:
    """Whether the engine is idle, and no more trajectories are alive than before."""
    engine = server.service.engine
    until(lambda: engine.running + engine.waiting == 0)
    until(lambda: not [t for t in threading.enumerate() if t.name == "batched run"])
    assert alive() <= trajectories
    assert len(server.service.lm._tree.own) == 0


def check_answers(clients: list[Client], alone: tuple[Any, Any]) -> int:
    """Whether every answer is that of `motes.solve`; return how many there were."""
    lm, prm = alone

    @cache
    def expected(question: str, seed: int) -> tuple[dict[str | None, float], float | None]:
        posterior = motes.solve(question, lm=lm, prm=prm, particles=2, seed=seed)
        return posterior.answers, posterior.log_evidence

    count = 0
    for client in clients:
        for question, seed, answers, log_evidence in client.answers:
            assert (answers, log_evidence) == expected(question, seed)
            count += 1
    return count


@pytest.fixture(scope="module")
def busy(models):
    limits = Limits(at_once=16, waiting=64, seconds=60, reports=8)
    with serving(Service(*models, defaults=Defaults(particles=2), limits=limits)) as server:
        yield server


@pytest.mark.slow
def test_a_crowd(busy, alone) -> None:
    trajectories = alive()
    run_clients(busy, 2, count=4)  # what is made once is made
    check_nothing_is_left(busy, trajectories)
    files = open_files()
    clients = run_clients(busy, 2)
    check_nothing_is_left(busy, trajectories)
    until(lambda: open_files() <= files)
    assert check_answers(clients, alone) > 8
    assert {kind for client in clients for kind in client.kinds} == set(KINDS)


@pytest.mark.statistics
def test_a_crowd_for_half_a_minute(busy, alone) -> None:
    trajectories = alive()
    clients = run_clients(busy, 1, 15.0)  # shapes of batches are compiled as they come
    check_nothing_is_left(busy, trajectories)
    files, before = open_files(), memory()
    clients += run_clients(busy, 1, 15.0)
    check_nothing_is_left(busy, trajectories)
    until(lambda: open_files() <= files)
    grown = (memory() - before) / 2**20
    count = check_answers(clients, alone)
    print(
        f"\n{count} answers, all equal; memory grew by {grown:.1f} MiB in a quarter of a minute",
        end=" ",
    )
    assert count > 25 and grown < 15
