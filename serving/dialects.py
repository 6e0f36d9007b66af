"""Which sampler a request means, and how many solutions: by model, body or header.

    where               sampler                             solutions
    the model           pocket:particle_filter,
                        particle_filter-pocket (optillm)
    "motes" in the body "sampler"                           "particles", ...
    the body            "optillm_approach"                  "budget" (its_hub)
    a message           <optillm_approach>NAME</...>
    a header            X-Motes-Sampler                     X-ITS-Budget (its_hub)

A header goes before the body, that before a message, and a message before the model. optillm's
and its_hub's names of methods stand for the samplers that do the same.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from ..samplers.registry import known_samplers
from .asked_question import tagged_approach
from .bodies import ChatBody, CompletionBody
from .refusals import Refusal, one_line

SAMPLER_HEADER, BUDGET_HEADER = "x-motes-sampler", "x-its-budget"
MOST_BUDGET = 1000  # its_hub's
ELSEWHERE = ("x-its-endpoint", "x-its-api-key")  # its_hub's: another model to ask

# names of methods at optillm and its_hub
SAME = {
    "particle_filtering": "particle_filter",
    "self_consistency": "majority_vote",
    "bon": "best_of_n",
    "beam": "beam_search",
}


class Method(NamedTuple):
    """What a request says of how it is to be solved.

    Attributes:
        sampler: by its name here; None where it says nothing.
        budget: how many solutions; None where it says nothing.
    """

    sampler: str | None
    budget: int | None


def method_of(body: ChatBody | CompletionBody, headers: Mapping[str, str], name: str) -> Method:
    """Return the method that a request means.

    Args:
        body: of the request.
        headers: of the request, by lower-case name.
        name: of the model that is served.

    Raises:
        Refusal: the model or the sampler is unknown, or the budget no integer in 1 to 1000.

    Example:
        >>> body = CompletionBody(model="pocket:particle_filter", prompt="?", budget=8)
        >>> method_of(body, {}, "pocket")
        Method(sampler='particle_filter', budget=8)
    """
    for header in ELSEWHERE:
        if header in headers:
            raise Refusal(400, f"{header} asks for another model than this server's: leave it out")
    named = [
        headers.get(SAMPLER_HEADER),
        body.motes and body.motes.sampler,
        body.optillm_approach,
        tagged_approach(body),
        sampler_of_model(body.model, name),
    ]
    given = [text for text in named if text is not None]
    sampler = _known(given[0]) if given else None
    return Method(sampler, _budget(headers.get(BUDGET_HEADER), body.budget))


def sampler_of_model(model: str, name: str) -> str | None:
    """Return the sampler that a model's name says besides; None for the model alone.

    Raises:
        Refusal: it is another model.
    """
    if model == name:
        return None
    if model.startswith(f"{name}:"):
        return model[len(name) + 1 :]
    if model.endswith(f"-{name}"):
        return model[: -len(name) - 1]
    raise Refusal(
        404,
        f"model must be {name!r}, which this server has, or {name}:SAMPLER, not {model!r:.100}",
        param="model",
        code="model_not_found",
    )


def _known(text: str) -> str:
    known = known_samplers()
    plain = text.strip().replace("-", "_")
    sampler = _other_name(plain, known)
    if sampler not in known:
        raise Refusal(
            400,
            one_line(f"sampler must be one of {', '.join(known)}, not {text!r:.100}"),
            param="sampler",
        )
    return sampler


def _other_name(plain: str, known: Collection[str]) -> str:
    return plain if plain in known else SAME.get(plain, plain)


def _budget(header: str | None, body: int | None) -> int | None:
    if header is None:
        return body
    text = header.strip()
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= MOST_BUDGET):
        raise Refusal(
            400,
            f"{BUDGET_HEADER} must be an integer from 1 to {MOST_BUDGET}, not {header!r:.100}",
        )
    return int(text)
