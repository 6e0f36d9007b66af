"""Which language model draws which components of a mixture, and whether all can write one tree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .. import checks
from . import calls
from .mixture import Component, Law, Mixture, components
from .protocols import LanguageModel, beside, capabilities, token_facts, underlying
from .sampling import Sampling


class Part(NamedTuple):
    """What one language model draws of a mixture.

    Attributes:
        lm: the language model.
        law: its components as a law of their own.
        places: their numbers in the mixture.
    """

    lm: LanguageModel
    law: Law
    places: list[int]


def parts_of(mixture: Mixture, lm: LanguageModel | None) -> list[Part]:
    """Return what each language model draws of a mixture, no model twice.

    Raises:
        TypeError: the model of a `Component` is none.
        ValueError: there is a `Sampling` and no model for it.
    """
    models: dict[int, LanguageModel] = {}
    members: dict[int, list[tuple[int, Sampling]]] = {}
    if lm is not None:
        models[id(underlying(lm))] = lm
    for place, component in enumerate(mixture.components):
        if isinstance(component, Component):
            own, sampling = component.lm, component.sampling
            if not isinstance(own, LanguageModel):
                raise TypeError(f"lm must be a language model, not {checks.shown(own)}")
        else:
            own, sampling = lm, component
        if own is None:
            raise ValueError(
                f"lm must be the language model of the component {component!r}, which has none of "
                "its own"
            )
        models.setdefault(id(underlying(own)), own)
        members.setdefault(id(underlying(own)), []).append((place, sampling))
    parts, weights = [], list(mixture.weights or ())
    for name, model in models.items():
        if name not in members:
            continue
        places = [place for place, _ in members[name]]
        samplings = [sampling for _, sampling in members[name]]
        law = Mixture(samplings, weights=[weights[place] for place in places], per=mixture.per)
        parts.append(Part(beside(lm, model), samplings[0] if len(samplings) == 1 else law, places))
    return parts


def check_parts(parts: Sequence[Part]) -> None:
    """Raise ValueError where models cannot write one tree, or do not tell what is needed."""
    first = parts[0].lm
    for part in parts:
        lm, can = part.lm, capabilities(part.lm)
        calls.check_sampling(lm, part.law, widest(part.law))
        if not can.scoring:
            raise ValueError(
                f"a mixture of models cannot have {lm.name!r} among them, which has no method "
                "`logprob` to score what the others wrote"
            )
        if can.step_rule != capabilities(first).step_rule:
            raise ValueError(
                f"the models of a mixture must end their steps alike, and {lm.name!r} does not as "
                f"{first.name!r} does: load both with the same step="
            )
        own, other = (token_facts(underlying(each)).tokenizer for each in (lm, first))
        if None not in (own, other) and own.get_vocab() != other.get_vocab():
            raise ValueError(
                f"the models of a mixture must write the same tokens, and those of {lm.name!r} are "
                f"not those of {first.name!r}"
            )


def widest(law: Law) -> Sampling:
    """Return the component of a law that leaves out the least."""
    samplings = components(law)
    return next((sampling for sampling in samplings if not sampling.truncates), samplings[0])
