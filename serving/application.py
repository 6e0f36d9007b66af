"""The application: the endpoints of a service, behind their gate."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version
from importlib.resources import files
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, PlainTextResponse
from starlette.exceptions import HTTPException

from ..samplers.registry import known_samplers
from .bodies import ErrorBody
from .dialects import sampler_of_model
from .gate import App, Gate
from .refusals import Refusal, one_line
from .replies import AsciiJSON
from .service import Service
from .solving_routes import solving_routes

PAGE = {"page.css": "text/css", "page.js": "text/javascript"}
AS_HTML: dict[str, Any] = {"content": {"text/html": {"schema": {"type": "string"}}}}
NO_ROUTE = {
    404: "there is nothing at this path: /openapi.json lists what there is",
    405: "this path does not take this method: /openapi.json lists what it takes",
}
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def application(
    service: Service, *, key: str | None = None, hosts: Collection[str] | None = None
) -> App:
    """Return a service as an ASGI application.

    Args:
        service: which starts when the application does, and ends with it.
        key: that requests must have, as OpenAI's clients send it; None where none is needed.
        hosts: by which names requests may call this machine; None for any.

    Example:
        >>> from motes.models import TableLM
        >>> from motes.serving import Service
        >>> served = application(Service(TableLM(lambda prefix: [0.5, 0.5], eos=1), None))
        >>> callable(served)
        True
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service.engine.start()
        yield
        await asyncio.to_thread(service.engine.close)

    app = FastAPI(
        title="motes",
        version=version("motes"),
        summary="An OpenAI-compatible server whose answers come with their posterior.",
        lifespan=lifespan,
        docs_url=None,  # its page would fetch scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        default_response_class=AsciiJSON,
        responses={"4XX": {"model": ErrorBody}, "5XX": {"model": ErrorBody}},
    )
    app.include_router(solving_routes(service))
    _add_models(app, service)
    _add_reports(app, service)
    _add_health(app, service)
    _add_page(app)
    _add_errors(app)
    return Gate(
        app,
        key=key,
        hosts=hosts,
        body_bytes=service.limits.body_bytes,
        metrics=service.metrics,
    )


def _add_models(app: FastAPI, service: Service) -> None:
    def described(model: str) -> dict[str, object]:
        return {"id": model, "object": "model", "created": service.began, "owned_by": "motes"}

    @app.get(
        "/v1/models", summary="List the model, alone and with each sampler, the usual one first"
    )
    async def models() -> Response:
        usual = service.defaults.sampler
        samplers = [usual, *(sampler for sampler in known_samplers() if sampler != usual)]
        names = [service.name, *(f"{service.name}:{sampler}" for sampler in samplers)]
        return AsciiJSON({"object": "list", "data": [described(name) for name in names]})

    @app.get("/v1/models/{model:path}", summary="Describe a model")
    async def model(model: str) -> Response:
        sampler = sampler_of_model(model, service.name)
        if sampler is not None and sampler.replace("-", "_") not in known_samplers():
            raise Refusal(404, f"there is no sampler {sampler!r:.100}", code="model_not_found")
        return AsciiJSON(described(model))


def _add_reports(app: FastAPI, service: Service) -> None:
    @app.get("/reports/{name}", summary="Open the report of a reply", responses={200: AS_HTML})
    async def report(name: str) -> Response:
        text = await asyncio.to_thread(service.reports.page, name)
        if text is None:
            raise Refusal(404, "there is no such report (any more)")
        return HTMLResponse(text, headers={"content-security-policy": "sandbox allow-scripts"})


def _add_health(app: FastAPI, service: Service) -> None:
    @app.get("/health", summary="Say that the server runs")
    async def health() -> Response:
        return AsciiJSON({"status": "ok"})

    @app.get("/ready", summary="Say whether requests are taken")
    async def ready() -> Response:
        if not service.engine.ready:
            raise Refusal(503, "requests are not taken")
        return AsciiJSON({"status": "ready"})

    @app.get("/metrics", summary="Count, for Prometheus", response_class=PlainTextResponse)
    async def metrics() -> Response:
        return PlainTextResponse(service.metrics.text())


def _add_page(app: FastAPI) -> None:
    folder = files(__package__ or "").joinpath("page")

    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        text = folder.joinpath("page.html").read_text(encoding="utf-8")
        return HTMLResponse(text, headers={"content-security-policy": PAGE_POLICY})

    for name, kind in PAGE.items():
        content = folder.joinpath(name).read_bytes()

        @app.get(f"/page/{name}", include_in_schema=False)
        async def part(content: bytes = content, kind: str = kind) -> Response:
            return Response(content, media_type=kind)


def _add_errors(app: FastAPI) -> None:
    """Have every error be one sentence, in OpenAI's form."""

    @app.exception_handler(Refusal)
    async def refused(request: Request, error: Refusal) -> Response:
        headers = {"retry-after": "1"} if error.status in (429, 503) else None
        return AsciiJSON(error.content(), error.status, headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        refusal = _invalid(_telling(error.errors()))
        return AsciiJSON(refusal.content(), refusal.status)

    @app.exception_handler(HTTPException)
    async def missing(request: Request, error: HTTPException) -> Response:
        refusal = Refusal(
            error.status_code, NO_ROUTE.get(error.status_code, one_line(error.detail))
        )
        return AsciiJSON(refusal.content(), refusal.status, error.headers)

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> Response:
        return AsciiJSON(Refusal(500, "the server failed").content(), 500)


def _telling(errors: Sequence[Any]) -> Mapping[str, Any]:
    """Return the error to tell: where a value may be of several kinds, of the one that it is most.

    Such a value is wrong in each of them; the error that stands deepest is of the kind meant.
    """
    first, place = errors[0], errors[0]["loc"][:-1]
    if len(place) < 2:
        return first
    alike = [error for error in errors if error["loc"][: len(place)] == place]
    return max(alike, key=lambda error: len(error["loc"]))


def _invalid(error: Mapping[str, Any]) -> Refusal:
    """Say what is wrong with a body."""
    if error["type"] == "json_invalid":
        return Refusal(400, one_line(f"the body is not JSON: {error['ctx']['error']}"))
    parts = [str(part) for part in error["loc"][1:]]
    place = ".".join(part for part in parts if "[" not in part)  # kinds, such as list[TextPart]
    if not place:
        return Refusal(400, "the body must be a JSON object")
    return Refusal(400, one_line(f"{place}: {error['msg']}"), param=place)
