"""Servers that run in a thread of the tests, and clients of them."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from typing import Any

import openai

from motes.models import TableLM, Trajectory
from motes.models.pocket import problems
from motes.serving import Service, background

QUESTIONS = [problem.question for problem in islice(problems("test", seed=7, steps=2), 8)]


class Served:
    """A server that runs, its service, and clients of it."""

    def __init__(self, service: Service, url: str) -> None:
        self.service, self.url = service, url
        self._clients = ExitStack()

    def client(self, key: str = "no key", **options: Any) -> openai.OpenAI:
        options = {"max_retries": 0, "timeout": 60.0, **options}
        client = openai.OpenAI(base_url=f"{self.url}/v1", api_key=key, **options)
        return self._clients.enter_context(client)

    def close_clients(self) -> None:
        self._clients.close()


@contextmanager
def serving(service: Service, key: str | None = None) -> Iterator[Served]:
    """Serve at a free port as long as the block lasts."""
    with background(service, key=key) as address:
        served = Served(service, address)
        yield served
        served.close_clients()


TEXTS = ("Ben has 7 + 3 = 10.\n\n", "The answer is 17.", "The answer is 18.")


class Talker(TableLM):
    """Adds, or answers 17 or 18; waits before each step as long as `gate` is closed.

    Where the question says "bad", its step has no log-probability; where it says "for ever", no
    step is an answer.
    """

    def __init__(self) -> None:
        super().__init__(lambda prefix: [0.5, 0.3, 0.2])
        self.texts = TEXTS
        self.calls = 0
        self.gate = threading.Event()
        self.gate.set()
        self.asked = threading.Event()

    def extend(self, trajectories, keys, *, sampling=None, prior=None) -> list[Trajectory]:
        self.calls += 1
        self.asked.set()
        assert self.gate.wait(60)
        drawn = super().extend(trajectories, keys, sampling=sampling, prior=prior)
        return [
            x.child(
                self.texts[0 if "for ever" in x.question else y.token_ids[-1]],
                y.step_token_ids,
                logprob=math.nan if "bad" in x.question else y.step_logprob,
                proposal_logprob=y.step_proposal_logprob,
            )
            for x, y in zip(trajectories, drawn, strict=True)
        ]


def judge(x: Trajectory) -> float:
    """Judges 18 wrong, and everything impossible where the question says "dead"."""
    if "dead" in x.question:
        return -math.inf
    return -2.0 if "18" in x.text else 2.0


def until(holds: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait until something holds."""
    give_up = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < give_up, "it never came to hold"
        time.sleep(0.01)
