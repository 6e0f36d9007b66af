"""Requests made from the server's own schema, those that it allows and those that it does not."""

from __future__ import annotations

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from live_servers import serving
from schemathesis.specs.openapi.checks import positive_data_acceptance
from server_schema import MODES, OPERATIONS, small_service

PATHS = {
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/models",
    "/v1/models/{model}",
    "/reports/{name}",
    "/health",
    "/ready",
    "/metrics",
}


@pytest.fixture(scope="module")
def url():
    with serving(small_service()) as server:
        yield server.url


def send(operation, mode: str, url: str, examples: int) -> None:
    """Send requests; each reply must be one that the schema has, and no fault of the server.

    That a request has the form which the schema asks for does not make it one that can be solved.
    """

    @given(case=operation.as_strategy(generation_mode=MODES[mode]))
    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=examples < 100,
        suppress_health_check=list(HealthCheck),
    )
    def checked(case: schemathesis.Case) -> None:
        case.call_and_validate(base_url=url, excluded_checks=[positive_data_acceptance])

    checked()


def test_all_paths_are_in_the_schema() -> None:
    assert {operation.path for operation in OPERATIONS} == PATHS


# where there is no body, hardly anything is not allowed
CASES = [
    pytest.param(operation, mode, id=f"{operation.label}, {mode}")
    for operation in OPERATIONS
    for mode in (MODES if operation.method == "post" else ("allowed",))
]


@pytest.mark.parametrize(("operation", "mode"), CASES)
def test_the_schema_holds(operation, mode, url) -> None:
    send(operation, mode, url, 8)


@pytest.mark.statistics
@pytest.mark.parametrize(("operation", "mode"), CASES)
def test_the_schema_holds_of_many(operation, mode, url) -> None:
    send(operation, mode, url, 400)
