"""Servers that run in a thread of the tests, and clients of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

import openai

from motes.models.pocket import problems
from motes.serving import Service
from motes.serving.server import server as server_of

QUESTIONS = [problem.question for problem in islice(problems("test", seed=7, steps=2), 8)]


class Served:
    """A server that runs, its service, and clients of it."""

    def __init__(self, service: Service, url: str) -> None:
        self.service, self.url = service, url

    def client(self, key: str = "no key", **options: Any) -> openai.OpenAI:
        options = {"max_retries": 0, "timeout": 60.0, **options}
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key=key, **options)


@contextmanager
def serving(service: Service, key: str | None = None) -> Iterator[Served]:
    """Serve at a free port as long as the block lasts."""
    server = server_of(service, host="127.0.0.1", port=0, key=key)
    thread = threading.Thread(target=server.run, name="server")
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield Served(service, f"http://127.0.0.1:{port}")
    finally:
        server.should_exit = True
        thread.join()
