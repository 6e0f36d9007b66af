"""The endpoints that solve: a reply at once, or a stream of what happens and how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from .bodies import ChatBody, CompletionBody
from .outcome import Outcome
from .refusals import Refusal
from .replies import AsciiJSON, ReplyForm, as_json, usage
from .service import Service
from .solve_request import SolveRequest, solve_request

# what the schema says of replies
REPLY = {
    "description": "The reply, or, where stream is true, server-sent events of its chunks.",
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["id", "object", "created", "model", "choices", "usage"],
            }
        },
        "text/event-stream": {"schema": {"type": "string"}},
    },
}
APPLIED = {"x-its-applied": "true"}  # as its_hub says that a reply is more than one plain answer
QUIET_SECONDS = 10.0  # of a stream, after which it says that it is still there


def solving_routes(service: Service) -> APIRouter:
    """Return the endpoints of a service."""
    replies: dict[int | str, dict[str, Any]] = {200: REPLY}
    router = APIRouter(prefix="/v1", responses=replies, default_response_class=AsciiJSON)

    @router.post("/chat/completions", summary="Solve a question that a chat asks")
    async def chat_completions(body: ChatBody, request: Request) -> Response:
        return await _solved(service, body, request)

    @router.post("/completions", summary="Solve the question that a prompt asks")
    async def completions(body: CompletionBody, request: Request) -> Response:
        return await _solved(service, body, request)

    return router


async def _solved(service: Service, body: ChatBody | CompletionBody, request: Request) -> Response:
    asked = solve_request(
        body,
        request.headers,
        name=service.name,
        defaults=service.defaults,
        limits=service.limits,
    )
    form = ReplyForm(chat=isinstance(body, ChatBody), model=body.model, metadata=asked.metadata)
    if asked.stream:
        return _StreamOfRun(_Stream(service, asked, form))
    outcome = await _while_there(request, _outcome(service, asked))
    reply = form.whole(outcome, service.metadata(asked, outcome))
    return AsciiJSON(reply, headers=APPLIED)


async def _outcome(service: Service, asked: SolveRequest) -> Outcome:
    try:
        async with asyncio.timeout(service.limits.seconds):
            return await service.outcome(service.submit(asked))
    except TimeoutError:
        raise _too_slow(service) from None


async def _while_there(request: Request, work: Any) -> Outcome:
    """Await some work, which is cancelled when the client goes away."""
    working = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait((working, gone), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise Refusal(408, "the client went away")
        return working.result()
    finally:
        for task in (working, gone):
            task.cancel()
            with suppress(asyncio.CancelledError, Refusal):
                await task


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _too_slow(service: Service) -> Refusal:
    return Refusal(504, f"there was no answer within {service.limits.seconds:g} s")


class _Stream:
    """The stream of one request: lines of server-sent events."""

    def __init__(self, service: Service, asked: SolveRequest, form: ReplyForm) -> None:
        self.service, self.asked, self.form = service, asked, form
        self._events: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        # refused here where too many wait, as long as the reply has no status yet
        self._job = service.submit(asked, self._tell)

    def _tell(self, event: dict[str, Any]) -> None:
        """Pass an event on, from the engine's thread."""
        self._loop.call_soon_threadsafe(self._events.put_nowait, event)

    def close(self) -> None:
        """Give up the run, if it still goes on."""
        self.service.engine.cancel(self._job)

    async def lines(self) -> AsyncIterator[str]:
        """Yield the lines; the run is given up where nobody reads them any more."""
        solving = asyncio.ensure_future(self._outcome())
        solving.add_done_callback(lambda _: self._events.put_nowait(None))
        try:
            yield _line(self.form.beginning())
            async for line in self._progress():
                yield line
            try:
                outcome = solving.result()
            except Refusal as refusal:
                yield _line(refusal.content())
                return
            motes = self.service.metadata(self.asked, outcome)
            for piece in self.form.pieces(outcome, motes):
                yield _line(piece)
            if self.asked.usage:
                yield _line(self.form.chunk([], usage=usage(outcome)))
            yield "data: [DONE]\n\n"
        finally:
            solving.cancel()

    async def _outcome(self) -> Outcome:
        try:
            async with asyncio.timeout(self.service.limits.seconds):
                return await self.service.outcome(self._job)
        except TimeoutError:
            raise _too_slow(self.service) from None

    async def _progress(self) -> AsyncIterator[str]:
        """Yield what the run does, until it has ended."""
        while True:
            try:
                event = await asyncio.wait_for(self._events.get(), QUIET_SECONDS)
            except TimeoutError:
                yield ": still here\n\n"
                continue
            if event is None:
                return
            yield _line(self.form.progress(event))


class _StreamOfRun(StreamingResponse):
    """A reply that gives up its run when it ends, however it ends."""

    def __init__(self, stream: _Stream) -> None:
        super().__init__(stream.lines(), media_type="text/event-stream", headers=APPLIED)
        self._stream = stream

    async def __call__(self, *connection: Any) -> None:
        try:
            await super().__call__(*connection)
        finally:
            self._stream.close()


def _line(content: object) -> str:
    return f"data: {as_json(content)}\n\n"
