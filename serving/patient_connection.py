"""Connections that wait for their clients only so long.

uvicorn waits for ever for the rest of a request's head, and for a client that doesn't read its
reply. Either way a few hundred silent clients would take all the places that there are. A body that
comes slowly is the gate's affair, a slow solution the service's.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 10.0  # in which a request's head must have come
READ_SECONDS = 60.0  # in which a client must have read what waits for it


class PatientConnection(H11Protocol):
    """One client's connection, given up where the client is silent for too long."""

    _head: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._await_head()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread = self.loop.call_later(READ_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._unread = _cancelled(self._unread)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._head, self._unread = _cancelled(self._head), _cancelled(self._unread)

    def _await_head(self) -> None:
        """Wait for a head from its first byte on; further bytes give it no more time."""
        if self.cycle is not None and not self.cycle.response_complete:
            self._head = _cancelled(self._head)
        elif self._head is None:
            self._head = self.loop.call_later(HEAD_SECONDS, self._no_head)

    def _no_head(self) -> None:
        self._head = None
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()


def _cancelled(timer: Any) -> None:
    if timer is not None:
        timer.cancel()
