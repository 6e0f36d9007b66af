"""A service on a socket of this machine."""

from __future__ import annotations

import ipaddress
import logging
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from threading import Thread

import uvicorn

from .application import application
from .patient_connection import PatientConnection
from .service import Service

HERE = ("localhost", "127.0.0.1", "::1")  # names of this machine for itself
LEAST_KEY = 16  # characters of a key
DRAIN_SECONDS = 5  # in which requests under way may end when the server is stopped


def is_loopback(host: str) -> bool:
    """Return whether an address is reached from this machine alone.

    Example:
        >>> is_loopback("127.0.0.1"), is_loopback("0.0.0.0"), is_loopback("example.org")
        (True, False, False)
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_exposure(host: str, key: str | None) -> None:
    """Raise ValueError where others could reach a server that asks for no key, or a short one.

    Example:
        >>> check_exposure("127.0.0.1", None)
        >>> check_exposure("0.0.0.0", None)
        Traceback (most recent call last):
        ValueError: host '0.0.0.0' is reached from other machines: a key is needed
    """
    if key is None and not is_loopback(host):
        raise ValueError(f"host {host!r} is reached from other machines: a key is needed")
    if key is not None and (len(key) < LEAST_KEY or not key.isascii() or not key.isprintable()):
        raise ValueError(f"the key must have at least {LEAST_KEY} printable ASCII characters")


def serve(
    service: Service,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    key: str | None = None,
    announced: Callable[[str], None] | None = None,
) -> None:
    """Serve until interrupted.

    Args:
        service: the models, and how requests are solved.
        host: the address to listen at; of this machine alone where left out.
        port: the port; 0 for any that is free.
        key: that requests must have; needed where other machines can reach the server.
        announced: called with the server's address once it listens.

    Raises:
        ValueError: others could reach the server, and there is no key.

    Example:
        >>> from motes.models import TableLM
        >>> from motes.serving import Service
        >>> serve(Service(TableLM(lambda prefix: [1.0]), None), host="0.0.0.0")
        Traceback (most recent call last):
        ValueError: host '0.0.0.0' is reached from other machines: a key is needed
    """
    server(service, host=host, port=port, key=key, announced=announced).run()


@contextmanager
def background(
    service: Service, *, host: str = "127.0.0.1", port: int = 0, key: str | None = None
) -> Iterator[str]:
    """Serve in a thread of this process as long as a block lasts.

    Args:
        service: the models, and how requests are solved.
        host, port, key: as `serve` takes them; at any port that is free where left out.

    Yields:
        The server's address.

    Raises:
        ValueError: as `serve`.
        OSError: the port is not free.

    Example:
        >>> from motes.models import TableLM
        >>> from motes.serving import Service
        >>> with background(Service(TableLM(lambda prefix: [1.0]), None)) as address:
        ...     print(address[:17])
        http://127.0.0.1:
    """
    listening: Future[str] = Future()
    ours = server(service, host=host, port=port, key=key, announced=listening.set_result)
    thread = Thread(target=_run, args=(ours, listening), name="motes server")
    thread.start()
    try:
        yield listening.result()
    finally:
        ours.should_exit = True
        thread.join()


def _run(ours: uvicorn.Server, listening: Future[str]) -> None:
    """Run a server, and say so if it never listens."""
    with suppress(SystemExit):
        ours.run()
    if not listening.done():
        listening.set_exception(OSError(f"the server cannot listen at port {ours.config.port}"))


class _Announcing(uvicorn.Server):
    """A server that says where it listens."""

    def __init__(self, config: uvicorn.Config, announced: Callable[[str], None] | None) -> None:
        super().__init__(config)
        self._announced = announced

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and self._announced is not None:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            self._announced(f"http://{f'[{host}]' if ':' in host else host}:{port}")


def server(
    service: Service,
    *,
    host: str,
    port: int,
    key: str | None,
    announced: Callable[[str], None] | None = None,
) -> uvicorn.Server:
    """Return the server that `serve` runs. Raises as it does."""
    check_exposure(host, key)
    logging.getLogger("motes.serving").setLevel(logging.INFO)
    config = uvicorn.Config(
        application(service, key=key, hosts=HERE if key is None else None),
        host=host,
        port=port,
        http=PatientConnection,
        ws="none",
        access_log=False,  # it would log the names of reports
        log_config=None,  # how things are logged is the process's own affair
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=DRAIN_SECONDS,
        limit_concurrency=4 * (service.limits.at_once + service.limits.waiting) + 64,
    )
    return _Announcing(config, announced)
