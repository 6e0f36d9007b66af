"""Servers on the pocket, in float64, where a draw does not depend on what else is in a batch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import pytest
from live_servers import Served, Talker, judge, serving

from motes.models import FunctionReward, load_lm, load_prm
from motes.serving import Defaults, Limits, Service


@pytest.fixture(scope="session")
def models() -> tuple[Any, Any]:
    return load_lm("pocket", dtype="float64", probe=False), load_prm(
        "pocket", dtype="float64", probe=False
    )


@pytest.fixture(scope="session")
def alone() -> tuple[Any, Any]:
    """The same models for `motes.solve`, beside the engine that has its own."""
    return load_lm("pocket", dtype="float64", probe=False), load_prm(
        "pocket", dtype="float64", probe=False
    )


@pytest.fixture(scope="session")
def served(models: tuple[Any, Any]) -> Iterator[Served]:
    """The server that tests share."""
    limits = Limits(at_once=8, waiting=64, seconds=60)
    with serving(Service(*models, defaults=Defaults(particles=6), limits=limits)) as server:
        yield server


@pytest.fixture(scope="session")
def client(served: Served) -> openai.OpenAI:
    return served.client()


@pytest.fixture
def talker() -> Talker:
    return Talker()


@pytest.fixture
def small(talker: Talker) -> Iterator[Served]:
    """A server of `talker` that takes two requests at once, and lets one wait."""
    limits = Limits(at_once=2, waiting=1, seconds=30, body_bytes=4096, reports=2)
    service = Service(talker, FunctionReward(judge), name="talker", limits=limits)
    with serving(service) as server:
        yield server
        talker.gate.set()
