"""What a server takes on at most."""

from __future__ import annotations

from dataclasses import dataclass

from .. import checks


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a server takes on at most; what is beyond is refused in a sentence.

    Attributes:
        at_once: requests under way at any time, which share forward passes.
        waiting: requests that wait for their turn.
        seconds: from a request's arrival to its reply, the wait included.
        body_bytes: of a request's body.
        trajectories: that one request may ask for: particles, runs, chains, iterations and whatever
            else multiplies them; and the largest of any other number that a sampler is set to.
        steps: that one request may declare (`max_steps`).
        choices: that one reply may have (`n`).
        reports: of past requests that can still be opened.

    Raises:
        TypeError, ValueError: an attribute is not of its kind, or out of its range.

    Example:
        >>> Limits(at_once=8).waiting
        64
    """

    at_once: int = 16
    waiting: int = 64
    seconds: float = 600.0
    body_bytes: int = 1 << 20
    trajectories: int = 16384
    steps: int = 1024
    choices: int = 128
    reports: int = 256

    def __post_init__(self) -> None:
        checks.settle(
            self,
            at_once=checks.count("at_once", self.at_once),
            waiting=checks.count("waiting", self.waiting, least=0),
            seconds=checks.positive("seconds", self.seconds),
            body_bytes=checks.count("body_bytes", self.body_bytes),
            trajectories=checks.count("trajectories", self.trajectories),
            steps=checks.count("steps", self.steps),
            choices=checks.count("choices", self.choices),
            reports=checks.count("reports", self.reports, least=0),
        )
