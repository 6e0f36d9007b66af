"""The parts of a report that are words and numbers: the answers, what was found, what holds of the run, and how it was run."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from math import isnan
from typing import Any, NamedTuple

from ...ppl.posterior.posterior import Posterior
from ..facts import (
    cost_in_words,
    evidence_in_words,
    mixing_in_words,
    population_in_words,
    rates_in_words,
)
from ..formatting import plus_minus
from ..plots.shades import shades
from .visible_text import short

MOST = 12  # answers by name
LONGEST = 160  # characters of an answer
PACKAGES = ("motes", "numpy", "jax", "torch", "transformers", "numpyro", "matplotlib")

GUARANTEES = {
    "invariant": (
        "The chains leave the declared target as it is: run for long enough, their draws are from "
        "it."
    ),
    "consistent": "With more and more particles the weighted sample becomes the declared target.",
    "heuristic": (
        "Nothing is promised: the weights do not converge to the declared target, however many "
        "particles there are."
    ),
}
EVIDENCES = {
    "unbiased": (
        "On average over seeds the estimate of the evidence is right, with any number of particles."
    ),
    "consistent": "The estimate of the evidence becomes right with many particles; with few it is biased.",
    "none": "There is no estimate of the evidence, or none that anything is known of.",
}


class Row(NamedTuple):
    """A bar.

    Attributes:
        answer: what it is called; None for no answer.
        single: whether it is one answer.
        shade: its number.
        probability: in [0, 1].
        error: the Monte Carlo standard error; None where it is undefined.
        words: both.
    """

    answer: str | None
    single: bool
    shade: int
    probability: float
    error: float | None
    words: str


def answers(posterior: Posterior) -> list[Row]:
    """The most probable ones, the others together, and last no answer."""
    shade = {
        answer: number for number, group in enumerate(shades(posterior)) for answer in group.answers
    }
    errors = {
        answer: None if isnan(error) else error for answer, error in posterior.answer_mcse.items()
    }
    stated = [answer for answer in posterior.answers if answer is not None]
    named, others = stated[:MOST], stated[MOST:]

    def row(answer: str | None) -> Row:
        name = None if answer is None else short(answer, LONGEST) or "(empty)"
        probability = posterior.answers[answer]
        return Row(
            name,
            answer is not None,
            shade[answer],
            probability,
            errors[answer],
            plus_minus(probability, errors[answer]),
        )

    rows = [row(answer) for answer in named]
    if others:
        total = sum(posterior.answers[answer] for answer in others)
        rows.append(
            Row(
                f"{len(others)} other{'s' * (len(others) != 1)}",
                False,
                shade[others[0]],
                total,
                None,
                f"{total:.3f}",
            )
        )
    return [*rows, row(None)] if None in posterior.answers else rows


def facts(posterior: Posterior) -> dict[str, str]:
    """What holds of the run, by name; those that there are."""
    found = {
        "Sampler": posterior.sampler,
        "Target": posterior.target,
        "Guarantee": f"{posterior.guarantee.capitalize()}. {GUARANTEES[posterior.guarantee]}",
        "Log-evidence": evidence_in_words(posterior),
        "Evidence": f"{posterior.evidence.capitalize()}. {EVIDENCES[posterior.evidence]}",
        "Population": population_in_words(posterior),
        "Chains": mixing_in_words(posterior),
        "Rates": rates_in_words(posterior),
        "Cost": cost_in_words(posterior.cost),
        "Cost of a step": posterior.step_cost,
        "Paper": posterior.paper,
    }
    return {name: fact for name, fact in found.items() if fact}


def settings(posterior: Posterior) -> dict[str, str]:
    """Everything that the run was asked to do, in words; the prompt as a text, not as ids."""
    shown = {
        name: value for name, value in posterior.settings.items() if name != "prompt_token_ids"
    }
    return {name.replace("_", " "): _value(value) for name, value in shown.items()}


def costs(posterior: Posterior) -> dict[str, str]:
    """What was computed, counted."""
    counted = posterior.cost.asdict()
    return {
        name.replace("_", " "): f"{value:,.2f}" if isinstance(value, float) else f"{value:,}"
        for name, value in counted.items()
    }


def versions() -> dict[str, str]:
    """Of Python and of what matters for the numbers, on the machine that writes the report."""
    return {"Python": platform.python_version()} | {name: _version(name) for name in PACKAGES}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_value(of)}" for name, of in value.items()) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(map(_value, value)) or "none"
    if value is None or value == "":
        return "none"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
