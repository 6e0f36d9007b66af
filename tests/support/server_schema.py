"""The server's own schema, and requests made from it."""

from __future__ import annotations

import json
from typing import Any

import schemathesis
from hypothesis import HealthCheck, given, settings
from live_servers import Talker, judge
from schemathesis import GenerationMode

from motes.models import FunctionReward
from motes.serving import Limits, Service
from motes.serving.application import application

MODES = {"allowed": GenerationMode.POSITIVE, "not allowed": GenerationMode.NEGATIVE}


def small_service() -> Service:
    """Return a service of a model that answers at once."""
    limits = Limits(trajectories=64, choices=4, seconds=20, reports=4)
    return Service(Talker(), FunctionReward(judge), name="pocket", limits=limits)


SCHEMA = schemathesis.openapi.from_dict(application(small_service()).app.openapi())
OPERATIONS: list[Any] = [result.ok() for result in SCHEMA.get_all_operations()]


def bodies_not_allowed(count: int) -> list[bytes]:
    """Return bodies that the schema of a chat forbids, the same each time."""
    [chat] = [each for each in OPERATIONS if each.path == "/v1/chat/completions"]
    bodies: list[bytes] = []

    @given(case=chat.as_strategy(generation_mode=MODES["not allowed"]))
    @settings(
        max_examples=count,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    def noted(case: schemathesis.Case) -> None:
        if isinstance(case.body, dict | list | str | int | float | bool):
            bodies.append(json.dumps(case.body).encode())

    noted()
    return bodies
