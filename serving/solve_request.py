"""A request as `motes.solve` takes it, checked before it waits for its turn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from math import prod
from secrets import randbelow
from typing import Any, Literal

from .. import checks
from ..models import Sampling
from ..ppl.declaration import Declaration
from ..samplers import make_sampler
from ..samplers.registry import settings_of, size_setting
from .asked_question import check_done, question_of
from .bodies import MOST_SEED, ChatBody, CompletionBody, MotesOptions, SolveBody
from .dialects import method_of
from .limits import Limits
from .refusals import Refusal, one_line

# Every other number that a sampler is set to is a factor of what one request may cost, and so is
# the length of a ladder: a sampler that is added later is bounded before anybody thinks of it.
NO_FACTORS = (
    "budget",
    "warmup",
    "starts",
    "tries",
    "batch",
    "every",
    "ramp",
    "answers",
    "least_steps",
    "most_steps",
    "least_visits",
)
DECLARED = ("target", "beta", "alpha", "max_steps")  # what a request may declare by these names
LAW = ("temperature", "top_p", "top_k")


@dataclass(frozen=True, kw_only=True)
class Defaults:
    """What a request means that does not say it.

    Attributes:
        sampler: by name.
        particles: of samplers that have them (or samples, or iterations).
        iterations: of samplers that have particles as well: each writes as many solutions.
        declared: arguments of `motes.solve` that say what is sampled.

    Raises:
        TypeError, ValueError: there is no such sampler, or no such number of particles.

    Example:
        >>> Defaults(sampler="majority_vote", declared={"max_steps": 16}).particles
        16
    """

    sampler: str = "particle_filter"
    particles: int = 16
    iterations: int = 16
    declared: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("particles", "iterations"):
            checks.settle(self, **{name: checks.count(name, getattr(self, name))})
        settings_of(self.sampler)


@dataclass(frozen=True, kw_only=True)
class SolveRequest:
    """What is to be solved, and what the reply shows.

    Attributes:
        question: what is asked.
        arguments: of `motes.solve`, without the models.
        choices: how many the reply has.
        stream: whether the reply comes piece by piece.
        usage: whether a stream ends with the usage.
        progress: what a stream tells on the way.
        metadata: whether the reply has `motes`.
        solutions: whether it has all solutions, in its_hub's `metadata`.
    """

    question: str
    arguments: Mapping[str, Any]
    choices: int = 1
    stream: bool = False
    usage: bool = False
    progress: Literal["none", "steps", "particles"] = "steps"
    metadata: bool = True
    solutions: bool = False

    @property
    def seed(self) -> int:
        """The seed, given or drawn."""
        return self.arguments["seed"]


def solve_request(
    body: ChatBody | CompletionBody,
    headers: Mapping[str, str],
    *,
    name: str,
    defaults: Defaults,
    limits: Limits,
) -> SolveRequest:
    """Return what a request asks for.

    Args:
        body: of the request.
        headers: of the request, by lower-case name.
        name: of the model that is served.
        defaults: what a request means that does not say it.
        limits: what is taken on at most.

    Raises:
        Refusal: it asks for something that is not done here, or that is out of its range.
    """
    check_done(body)
    choices = body.n or 1
    if choices > limits.choices:
        raise Refusal(400, f"n must be at most {limits.choices}, not {choices}", param="n")
    question = question_of(body)
    options = body.motes or MotesOptions()  # type: ignore[call-arg]
    try:
        arguments = _arguments(question, body, options, headers, name, defaults, limits)
    except (TypeError, ValueError) as error:
        raise Refusal(400, one_line(error)) from None
    return SolveRequest(
        question=question,
        arguments=arguments,
        choices=choices,
        stream=bool(body.stream),
        usage=body.stream_options is not None and body.stream_options.include_usage,
        progress=options.progress,
        metadata=not body.return_response_only,
        solutions=body.return_response_only is False,
    )


def _arguments(
    question: str,
    body: ChatBody | CompletionBody,
    options: MotesOptions,
    headers: Mapping[str, str],
    name: str,
    defaults: Defaults,
    limits: Limits,
) -> dict[str, Any]:
    """Return arguments of `motes.solve`, checked. Raises TypeError, ValueError or Refusal."""
    method = method_of(body, headers, name)
    name_of_sampler = method.sampler or defaults.sampler
    settings = _settings(name_of_sampler, method.budget, body, options, defaults)
    sampler = make_sampler(name_of_sampler, **settings)
    runs = checks.count("runs", 1 if options.runs is None else options.runs)
    declared = {**defaults.declared, **_declared(body, options, defaults)}
    Declaration(question, **declared)  # raises what is wrong before the request has to wait
    _check_size(sampler, runs, declared["max_steps"], limits)
    seed = randbelow(MOST_SEED + 1) if body.seed is None else body.seed
    return {"sampler": sampler, "seed": seed, "runs": runs, **declared}


def _settings(
    sampler: str,
    budget: int | None,
    body: ChatBody | CompletionBody,
    options: MotesOptions,
    defaults: Defaults,
) -> dict[str, Any]:
    """Return the settings of a sampler that a request asks for."""
    settings = dict(options.model_extra or {})
    size = size_setting(sampler)
    if budget is not None:
        if size is None or size in settings:
            said = "has no particles" if size is None else f"is given its {size}"
            raise ValueError(f"budget must be left out where the sampler {sampler!r} {said}")
        settings[size] = budget
    elif size is not None:
        settings.setdefault(size, defaults.particles)
    if size == "particles" and "iterations" in settings_of(sampler):
        settings.setdefault("iterations", defaults.iterations)
    if isinstance(body, ChatBody) and body.max_completion_tokens is not None:
        settings["budget"] = body.max_completion_tokens
    if options.proposal is not None:
        settings["proposal"] = _law(options.proposal, Sampling())
    return settings


def _declared(body: SolveBody, options: MotesOptions, defaults: Defaults) -> dict[str, Any]:
    """Return what a request declares."""
    given = {name: getattr(options, name) for name in DECLARED}
    declared: dict[str, Any] = {"target": "product", "beta": 1.0, "max_steps": 32, "answer": None}
    declared |= defaults.declared
    declared |= {name: value for name, value in given.items() if value is not None}
    if body.max_tokens is not None:
        declared["max_tokens"] = body.max_tokens
    if body.stop is not None:
        declared["stop_strings"] = body.stop
    law = {name: getattr(body, name) for name in LAW}
    prior = defaults.declared.get("prior") or Sampling()
    declared["prior"] = _law({k: v for k, v in law.items() if v is not None}, prior)
    return declared


def _law(given: Mapping[str, Any], rest: Sampling) -> Sampling:
    """Return a law of tokens: what is given, and the rest of another."""
    for name in given:
        if name not in LAW:
            raise ValueError(f"proposal must say {', '.join(LAW)}, not {name!r:.100}")
    return Sampling(**{name: given.get(name, getattr(rest, name)) for name in LAW})


def _check_size(sampler: Any, runs: int, max_steps: int, limits: Limits) -> None:
    """Raise ValueError where more is asked for than the server takes on."""
    if max_steps > limits.steps:
        raise ValueError(f"a request may ask for at most {limits.steps} steps, not {max_steps}")
    numbers: dict[str, int] = {}
    for setting in fields(sampler):
        value = getattr(sampler, setting.name)
        if isinstance(value, int):
            numbers[setting.name] = value
        elif isinstance(value, tuple):
            numbers[setting.name] = len(value)
    numbers.pop("budget", None)
    numbers["runs"] = runs
    factors = {
        name: value for name, value in numbers.items() if name not in NO_FACTORS and value > 1
    }
    most = max([prod(factors.values()), *numbers.values()])
    if most > limits.trajectories:
        shown = " x ".join(f"{name} {value}" for name, value in factors.items())
        raise ValueError(
            f"a request may ask for at most {limits.trajectories} trajectories, not {most} "
            f"({shown})"
        )
