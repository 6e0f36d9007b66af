"""What every request passes before anything reads it: host, key, kind and size.

A server without a key is for this machine alone. A page of any other site can make a browser send
it requests, so that two things are asked of each: it must name this machine (and not another name
that was pointed here), and what it posts must be declared as JSON (which a browser only lets
through for pages of the same origin).
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any, TypeAlias

from .metrics import Metrics
from .refusals import Refusal
from .replies import AsciiJSON

LOG = logging.getLogger("motes.serving")
BODY_SECONDS = 30.0  # in which a body must have come
OPEN = ("/", "/health", "/ready")  # what needs no key; and what stands in these folders
OPEN_FOLDERS = ("/page/", "/reports/")
POSTED = ("POST", "PUT", "PATCH")
SAFE = {
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cache-control": b"no-store",
}

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]


class Gate:
    """Lets requests through to an application, or refuses them in a sentence.

    Args:
        app: the application.
        key: that requests must have; None where none is needed.
        hosts: by which names requests may call this machine; None for any.
        body_bytes: of a body, at most.
        metrics: where requests are counted.
    """

    def __init__(
        self,
        app: App,
        *,
        key: str | None,
        hosts: Collection[str] | None,
        body_bytes: int,
        metrics: Metrics,
    ) -> None:
        self.app, self.hosts, self.body_bytes, self.metrics = app, hosts, body_bytes, metrics
        self._key = None if key is None else key.encode()

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Serve one connection's request; see the ASGI specification."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status = time.perf_counter(), 0

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                there = {name for name, _ in message["headers"]}
                safe = [(name, value) for name, value in SAFE.items() if name not in there]
                message["headers"] = [*message["headers"], *safe]
            await send(message)

        try:
            self._check(scope)
            body = await self._body(scope, receive)
        except Refusal as refusal:
            reply = AsciiJSON(refusal.content(), refusal.status)
            await reply(scope, receive, sent)
        else:
            await self.app(scope, _replayed(body, receive), sent)
        finally:
            self._count(scope, status, time.perf_counter() - began)

    def _check(self, scope: MutableMapping[str, Any]) -> None:
        headers: dict[bytes, bytes] = dict(scope["headers"])
        host = _host(headers.get(b"host", b"").decode("latin-1"))
        if self.hosts is not None and host not in self.hosts:
            raise Refusal(421, f"this server does not answer to the name {host!r:.100}")
        path = scope["path"]
        if self._key is not None and path not in OPEN and not path.startswith(OPEN_FOLDERS):
            scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
            if scheme.lower() != b"bearer" or not hmac.compare_digest(given, self._key):
                raise Refusal(401, "a key is needed: Authorization: Bearer KEY")
        kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if scope["method"] in POSTED and kind != b"application/json":
            raise Refusal(415, "the body must be JSON: Content-Type: application/json")
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length[:18]) > self.body_bytes:
            raise self._too_large()

    async def _body(self, scope: MutableMapping[str, Any], receive: Receive) -> bytes:
        """Read the body, which is small and must come soon."""
        parts: list[bytes] = []
        size, more = 0, True
        try:
            async with asyncio.timeout(BODY_SECONDS):
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise Refusal(408, "the client went away before its request was read")
                    parts.append(message.get("body", b""))
                    size += len(parts[-1])
                    if size > self.body_bytes:
                        raise self._too_large()
                    more = message.get("more_body", False)
        except TimeoutError:
            raise Refusal(408, f"the body did not come within {BODY_SECONDS:g} s") from None
        return b"".join(parts)

    def _too_large(self) -> Refusal:
        return Refusal(413, f"the body must have at most {self.body_bytes:,} bytes")

    def _count(self, scope: MutableMapping[str, Any], status: int, seconds: float) -> None:
        """Count a request, and log it: its route, never its texts, headers or names of reports."""
        route = getattr(scope.get("route"), "path", None) or "other"
        self.metrics.requests.labels(route, str(status)).inc()
        LOG.info("%s %s %s %.3f s", scope["method"][:10], route, status, seconds)


def _host(header: str) -> str:
    """Return the name in a Host header, without its port and an address's brackets.

    Example:
        >>> _host("LocalHost:8000"), _host("[::1]:8000"), _host("[::1]")
        ('localhost', '::1', '::1')
    """
    host = header.lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Give a body that was read once more, and then whatever comes behind it."""
    waiting = [body]

    async def replayed() -> Message:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        return await receive()

    return replayed
