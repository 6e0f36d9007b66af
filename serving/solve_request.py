"""A request as `motes.solve` takes it, checked before it waits for its turn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from secrets import randbelow
from typing import Any, Literal

from .. import checks
from ..models import Sampling
from ..ppl.statespace import check_declaration
from ..samplers import Sampler, make_sampler
from ..samplers.registry import settings_of, size_setting
from .bodies import MOST_SEED, ChatBody, CompletionBody, MotesOptions, SolveBody
from .dialects import method_of
from .limits import Limits
from .refusals import Refusal, one_line

# settings that multiply: so many solutions are written
FACTORS = ("particles", "samples", "runs", "chains", "iterations", "expansions")
DECLARED = ("target", "beta", "alpha", "max_steps")  # what a request may declare by these names
LAW = ("temperature", "top_p", "top_k")
# what asks for nothing: these values stand for no such field
NOT_DONE: dict[str, tuple[Any, ...]] = {
    "stop": ([],),
    "logprobs": (False, 0),
    "logit_bias": ({},),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "tools": ([],),
    "functions": ([],),
    "response_format": ({"type": "text"},),
    "suffix": ("",),
    "echo": (False,),
    "best_of": (1,),
}


@dataclass(frozen=True, kw_only=True)
class Defaults:
    """What a request means that does not say it.

    Attributes:
        sampler: by name.
        particles: of samplers that have them (or samples, or iterations).
        declared: arguments of `motes.solve` that say what is sampled.

    Raises:
        TypeError, ValueError: there is no such sampler, or no such number of particles.

    Example:
        >>> Defaults(sampler="majority_vote", declared={"max_steps": 16}).particles
        16
    """

    sampler: str = "particle_filter"
    particles: int = 16
    declared: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        checks.settle(self, particles=checks.count("particles", self.particles))
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
    """

    question: str
    arguments: Mapping[str, Any]
    choices: int = 1
    stream: bool = False
    usage: bool = False
    progress: Literal["none", "steps", "particles"] = "steps"
    metadata: bool = True

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
    for field_name, nothing in NOT_DONE.items():
        value = getattr(body, field_name, None)
        if value is not None and value not in nothing:
            raise Refusal(400, f"{field_name} is not done by this server", param=field_name)
    choices = body.n or 1
    if choices > limits.choices:
        raise Refusal(400, f"n must be at most {limits.choices}, not {choices}", param="n")
    question = _chat_question(body) if isinstance(body, ChatBody) else _prompt(body)
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
    sampler = method.sampler or defaults.sampler
    settings = dict(options.model_extra or {})
    size = size_setting(sampler)
    if method.budget is not None:
        if size is None or size in settings:
            said = "has no particles" if size is None else f"is given its {size}"
            raise ValueError(f"budget must be left out where the sampler {sampler!r} {said}")
        settings[size] = method.budget
    elif size is not None:
        settings.setdefault(size, defaults.particles)
    if isinstance(body, ChatBody) and body.max_completion_tokens is not None:
        settings["budget"] = body.max_completion_tokens
    if options.proposal is not None:
        settings["proposal"] = _law(options.proposal, Sampling())
    made = make_sampler(sampler, **settings)
    runs = checks.count("runs", 1 if options.runs is None else options.runs)
    _check_size(made, runs, limits)
    declared = {**defaults.declared, **_declared(body, options, defaults)}
    check_declaration(question, **declared)
    seed = randbelow(MOST_SEED + 1) if body.seed is None else body.seed
    return {"sampler": made, "seed": seed, "runs": runs, **declared}


def _declared(body: SolveBody, options: MotesOptions, defaults: Defaults) -> dict[str, Any]:
    """Return what a request declares."""
    given = {name: getattr(options, name) for name in DECLARED}
    declared: dict[str, Any] = {"target": "product", "beta": 1.0, "max_steps": 32, "answer": None}
    declared |= defaults.declared
    declared |= {name: value for name, value in given.items() if value is not None}
    if body.max_tokens is not None:
        declared["max_tokens"] = body.max_tokens
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


def _check_size(sampler: Sampler, runs: int, limits: Limits) -> None:
    """Raise ValueError where more trajectories are asked for than the server takes on."""
    factors = {name: getattr(sampler, name, None) for name in FACTORS}
    factors = {name: value for name, value in factors.items() if isinstance(value, int)}
    factors["runs"] = runs
    asked = prod(factors.values())
    if asked > limits.trajectories:
        shown = " x ".join(f"{name} {value}" for name, value in factors.items() if value != 1)
        raise ValueError(
            f"a request may ask for at most {limits.trajectories} trajectories, not {asked} "
            f"({shown})"
        )


def _chat_question(body: ChatBody) -> str:
    """Return the question of a chat: the text of its one message."""
    *before, last = body.messages
    if before or last.role != "user":
        raise Refusal(
            400,
            "messages must be one message of the user, the question: this server's prompt (a "
            "system message, examples) is given to motes serve",
            param="messages",
        )
    if isinstance(last.content, list):
        return _valid("".join(part.text for part in last.content), "messages")
    return _valid(last.content or "", "messages")


def _prompt(body: CompletionBody) -> str:
    """Return the question of a completion: its prompt, or the one prompt of a list."""
    prompts = [body.prompt] if isinstance(body.prompt, str) else body.prompt
    if len(prompts) != 1:
        raise Refusal(400, f"prompt must be one text, not {len(prompts)}", param="prompt")
    return _valid(prompts[0], "prompt")


def _valid(text: str, param: str) -> str:
    """Return a text that has characters, none of which is half of one."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Refusal(400, f"{param} must be Unicode: it has a surrogate", param=param) from None
    return text
