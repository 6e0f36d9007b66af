"""Errors as OpenAI's clients read them: a status, and one sentence in a JSON object."""

from __future__ import annotations

from typing import Any

KINDS = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}
CODES = {
    401: "invalid_api_key",
    404: "not_found",
    408: "timeout",
    413: "body_too_large",
    415: "not_json",
    421: "unknown_host",
    422: "no_posterior",
    429: "busy",
    500: "internal_error",
    503: "not_ready",
    504: "timeout",
}

MOST_CHARACTERS = 2000  # of a sentence


class Refusal(Exception):
    """Says why there is no reply.

    Attributes:
        status: of HTTP.
        sentence: for whoever asked.
        param: the part of the request that is wrong; None where none is.
        code: a word for programs.

    Example:
        >>> Refusal(404, "there is no such model", param="model").content()["error"]["type"]
        'not_found_error'
    """

    def __init__(
        self, status: int, sentence: str, *, param: str | None = None, code: str | None = None
    ) -> None:
        super().__init__(sentence)
        self.status, self.sentence, self.param = status, sentence, param
        self.code = code or CODES.get(status, "bad_request")

    def content(self) -> dict[str, Any]:
        """Return the body of the reply."""
        by_status = "invalid_request_error" if self.status < 500 else "server_error"
        return {
            "error": {
                "message": self.sentence,
                "type": KINDS.get(self.status, by_status),
                "param": self.param,
                "code": self.code,
            }
        }


def one_line(message: object) -> str:
    r"""Return a message on one line, which repeats no more than a few words of a long request.

    Example:
        >>> one_line("no\n such  sampler")
        'no such sampler'
    """
    line = " ".join(str(message).split())
    return line if len(line) <= MOST_CHARACTERS else f"{line[:MOST_CHARACTERS]} ..."
