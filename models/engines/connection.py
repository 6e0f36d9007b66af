"""A server's HTTP, with one sentence for everything that can go wrong there.

What may pass by itself (a connection that fails, stalls or breaks off, an answer 5xx) is a
`PassingFailure`, which `Connection.patiently` tries again; all else is final. The key is read from
an environment variable; it stands in no message, no attribute with a public name and no file.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Generator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit
from weakref import finalize

from ... import checks

if TYPE_CHECKING:
    import httpx2

T = TypeVar("T")
KEY_VARIABLE = "MOTES_API_KEY"
CONNECT = 10.0  # seconds until a server must have taken a connection
IDLE = 2.0  # seconds that a connection is kept unused: llama.cpp closes it after five
FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0  # seconds before another try, doubled each time
QUOTED = 200  # characters of a server's own words in an error


class ServerError(RuntimeError):
    """A server that cannot be used, or no longer; one sentence.

    Example:
        >>> from motes.models import load_lm
        >>> try:
        ...     load_lm("http://127.0.0.1:9", retries=0)
        ... except ServerError as error:
        ...     print(str(error)[:41])
        the server at http://127.0.0.1:9 cannot b
    """


class PassingFailure(ServerError):
    """A failure that may pass: the request is worth another try."""


class Connection:
    """A server's address, and a bounded number of connections to it.

    Args:
        url: "http://HOST:PORT" or "https://...", with the path in front of the API's own, if any.
        timeout: seconds that a server may be silent.
        retries: how often a request is tried again that failed for a reason that may pass.
        at_once: the most requests under way at a time.
        key_variable: the environment variable that holds the key, where one is set.

    Raises:
        ImportError: the extra is not installed.
        ValueError: the address is none, or holds a user or a password.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float = 600.0,
        retries: int = 4,
        at_once: int = 32,
        key_variable: str = KEY_VARIABLE,
    ) -> None:
        self.url = checked_url(url)
        self.retries = checks.count("retries", retries, least=0)
        self.at_once = checks.count("at_once", at_once)
        try:
            import httpx2
        except ImportError:
            raise ImportError("servers need an HTTP client: pip install 'motes[server]'") from None
        key = os.environ.get(key_variable)
        self._client = httpx2.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx2.Timeout(checks.positive("timeout", timeout), connect=CONNECT, pool=None),
            limits=httpx2.Limits(
                max_connections=self.at_once,
                max_keepalive_connections=self.at_once,
                keepalive_expiry=IDLE,
            ),
        )

        finalize(self, self._client.close)

    def patiently(self, attempt: Callable[[], T]) -> T:
        """Return what a function returns, tried again as long as its failures may pass.

        Raises:
            ServerError: it failed for another reason, or once too often.
        """
        wait = FIRST_WAIT
        for number in range(self.retries + 1):
            try:
                return attempt()
            except PassingFailure as failure:
                if number == self.retries:
                    tries = f", {number + 1} times" if number else ""
                    raise ServerError(f"{failure}{tries}") from failure
            time.sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT)
        raise AssertionError("unreachable")

    def find(self, path: str) -> Any:
        """Return what the server shows at a path; None where it shows nothing, or no JSON.

        Raises:
            PassingFailure: it cannot be reached.
            ServerError: it wants a key, or another one.
        """
        response = self._sent("GET", path, None)
        if response.status_code in (401, 403):
            raise self._refused(response)
        if response.status_code != 200:
            return None
        try:
            return response.json()
        except ValueError:
            return None

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return the object that the server answers.

        Raises:
            PassingFailure: it cannot be reached, breaks off, or answers 5xx.
            ServerError: it refuses the request, or its answer is no JSON object.
        """
        response = self._sent("POST", path, body)
        if response.status_code != 200:
            raise self._refused(response)
        return self._object(response.text)

    def stream(self, path: str, body: Mapping[str, Any]) -> Generator[dict[str, Any], None, None]:
        """Yield the objects that the server sends one by one; closing this ends the request.

        Raises:
            PassingFailure, ServerError: as for `post`.
        """
        import httpx2

        try:
            # llama.cpp ends the connection with the stream, and does not say so
            last = {"Connection": "close"}
            with self._client.stream("POST", path, json=body, headers=last) as response:
                if response.status_code != 200:
                    response.read()
                    raise self._refused(response)
                for line in response.iter_lines():
                    content = line.removeprefix("data:").strip()
                    if line.startswith("data:") and content != "[DONE]":
                        yield self._object(content)
        except httpx2.TransportError as error:
            raise self._failed(error) from None

    def wrong(self, what: str) -> ServerError:
        """Return the error for an answer that cannot be used."""
        return ServerError(f"the server at {self.url} {what}")

    def _sent(self, method: str, path: str, body: Mapping[str, Any] | None) -> httpx2.Response:
        import httpx2

        try:
            return self._client.request(method, path, json=body)
        except httpx2.TransportError as error:
            raise self._failed(error) from None

    def _failed(self, error: httpx2.TransportError) -> PassingFailure:
        import httpx2

        if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout):
            what = "cannot be reached"
        elif isinstance(error, httpx2.TimeoutException):
            what = "was silent for too long (timeout=...)"
        else:
            what = "broke off the connection"
        return PassingFailure(f"the server at {self.url} {what}")

    def _refused(self, response: httpx2.Response) -> ServerError:
        status = response.status_code
        kind = PassingFailure if status >= 500 else ServerError
        if status in (401, 403):
            return kind(
                f"the server at {self.url} wants another key (status {status}): set the "
                f"environment variable {KEY_VARIABLE}, or name another with key_variable=..."
            )
        return kind(f"the server at {self.url} answered {status}: {_reason(response.text)}")

    def _object(self, text: str) -> dict[str, Any]:
        try:
            value = json.loads(text)
        except ValueError:
            raise self.wrong(f"answered with broken JSON: {text[-60:]!r}") from None
        if not isinstance(value, dict):
            raise self.wrong(f"answered {text[:60]!r} where a JSON object was expected")
        if value.get("error"):
            raise self.wrong(f"reports an error: {_reason(text)}")
        return value


def checked_url(url: str) -> str:
    """Return the address of a server without a slash at its end.

    Raises:
        ValueError: it is none, or holds a user or a password.

    Example:
        >>> checked_url("http://127.0.0.1:8000/v1/")
        'http://127.0.0.1:8000'
    """
    parts = urlsplit(url)
    if parts.username or parts.password:
        raise ValueError(
            "the address of a server must hold no user and no password: set the environment "
            f"variable {KEY_VARIABLE} to the key"
        )
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query:
        raise ValueError(f"the address of a server must be 'http://HOST:PORT', not {url!r}")
    return url.rstrip("/").removesuffix("/v1").rstrip("/")


def _reason(text: str) -> str:
    """Return a server's own words, in one line."""
    try:
        said = json.loads(text)["error"]
        text = said["message"] if isinstance(said, dict) else str(said)
    except (ValueError, KeyError, TypeError):
        pass
    line = " ".join(text.split())
    return line if len(line) <= QUOTED else f"{line[:QUOTED]} ..."
